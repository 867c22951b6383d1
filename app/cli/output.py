"""What commands print: results on standard output, everything else on standard error; colours only on a terminal.

Texts are other people's: nothing in them reaches the terminal as anything but text (see app.visible).
"""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.annotation.checks import errors_of
from app.annotation.transfer.line_format import path_text
from app.errors import GradbookError
from app.visible import visible


def say(text: str) -> None:
    """A result; of one or more lines."""
    sys.stdout.write(f"{visible(text, lines=True)}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A remark beside the result, on standard error."""
    sys.stderr.write(f"{visible(text, lines=True)}\n")


def show_error(error: GradbookError | OSError) -> None:
    """One line for each thing that is wrong."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for line in _lines(error):
        console.print(Text.assemble(("Error: ", "bold red"), visible(line, lines=True)))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table for people; into a pipe or a file, a row a line with tabs between, and no heading."""
    if not sys.stdout.isatty():
        for row in rows:
            say("\t".join(visible(" ".join(cell.split("\t"))) for cell in row))
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(Text(visible(column)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell, lines=True)) for cell in row))
    Console(highlight=False).print(table)


def _lines(error: GradbookError | OSError) -> list[str]:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return [f"{where}{error.strerror or error}."]
    return [f"{path_text(one.path)}: {one.message}" if one.path else one.message for one in errors_of(error)]
