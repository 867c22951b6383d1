"""CSV: RFC 4180 in UTF-8, the first line names the columns. Comma, semicolon, tab or | between the cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from app.annotation.checks import invalid, shown
from app.annotation.datasets import QuestionInput
from app.annotation.record_items import Shape
from app.annotation.transfer.columns import Columns, column_names, row_of
from app.annotation.transfer.line_format import BadLineError, Read, Spot, encoding_problem, read_at
from app.annotation.transfer.lines import MAX_LINE_BYTES, demand_utf8
from app.errors import GradbookError

MAX_CELL = 16_000_000  # characters; Python's parser holds four bytes of each
DELIMITERS = ",;\t|"

_BOM = b"\xef\xbb\xbf"


class CsvSource:
    """A CSV file that is open, from where it stands."""

    unit = "line"

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._beginning = file.tell()

    def check(self) -> None:
        """Read all of it. Raises INVALID_INPUT for what makes the rest unreadable: nothing is stored of such a file."""
        for _ in self._rows():
            pass

    def records(self, shape: Shape | None) -> Iterator[Read]:
        """The rows as records; a row that does not fit its header is a bad one."""
        rows = self._rows()
        _, header = next(rows)
        columns = Columns(header, shape, typed=False)
        for spot, cells in rows:
            yield read_at(spot, lambda cells=cells: columns.item(_fitting(cells, header)))  # type: ignore[misc]

    def questions(self) -> Sequence[QuestionInput]:
        """It says nothing about them."""
        return ()

    def _rows(self) -> Iterator[tuple[Spot, list[str]]]:
        """The rows with their places, the header first."""
        self._file.seek(self._beginning)
        csv.field_size_limit(MAX_CELL)  # one for the process
        first = self._file.readline(MAX_LINE_BYTES)
        demand_utf8(first)
        self._file.seek(self._beginning)
        lines = _Lines(self._file)
        rows = csv.reader(lines, delimiter=_delimiter(first), strict=True)
        is_first = True
        while True:
            start = lines.begin_row()
            try:
                cells = next(rows)
            except StopIteration:
                break
            except csv.Error as error:
                raise _damage(error, start, lines.number) from None
            if not cells:
                continue
            if is_first:
                cells = _header(cells)
                is_first = False
            yield Spot(start, lines.row_bytes, lines.end), cells
        if is_first:
            raise invalid("The file is empty, expected CSV with the names of the columns in its first line.")


def write_csv(items: Iterable[dict[str, Any]], shape: Shape, *, header: bool = False) -> bytes:
    """Some records as CSV, with or without the names of the columns before them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    if header:
        writer.writerow(column_names(shape))
    writer.writerows(row_of(item, shape, typed=False) for item in items)
    return text.getvalue().encode()


class _Lines:
    """The lines of a file as text, with their ends, and how far a row has come; a row may go over several."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.end = 0
        self.row_bytes = 0
        self._row = 1

    def begin_row(self) -> int:
        """A new row begins; the number of its first line."""
        self.row_bytes = 0
        self._row = self.number + 1
        return self._row

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        data = self._file.readline(MAX_LINE_BYTES)
        if not data:
            raise StopIteration
        self.number += 1
        self.row_bytes += len(data)
        if self.row_bytes >= MAX_LINE_BYTES:
            raise invalid(
                f"The row that begins in line {self._row:,} is longer than {MAX_LINE_BYTES:,} bytes: is a quote not "
                "closed? Nothing was imported."
            )
        offset, self.end = self.end, self.end + len(data)
        if self.number == 1:
            data = data.removeprefix(_BOM)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            problem = encoding_problem(data, offset, error)
            raise invalid(f"Line {self.number:,}: {problem} Nothing was imported.") from None


def _delimiter(first: bytes) -> str:
    """What stands between the names of the columns: what makes the most of them."""
    text = first.removeprefix(_BOM).decode(errors="replace")
    return max(DELIMITERS, key=lambda one: len(next(csv.reader([text], delimiter=one), [])))


def _header(cells: Sequence[str]) -> list[str]:
    names = [name.strip() for name in cells]
    if empty := [place for place, name in enumerate(names, 1) if not name]:
        raise invalid(f"Column {empty[0]} of {len(names)} has no name: the first line names the columns.")
    return names


def _fitting(cells: list[str], header: Sequence[str]) -> list[str]:
    if len(cells) < len(header) or any(cells[len(header) :]):
        raise BadLineError(
            f"The row has {len(cells)} cells, the header {len(header)} columns: is a separator or a quote missing, "
            f"or one too many? It begins {shown(cells[0])}."
        )
    return cells


def _damage(error: csv.Error, start: int, line: int) -> GradbookError:
    said = str(error)
    if "field limit" in said:
        what = f"has a cell of more than {MAX_CELL:,} characters: is a quote not closed?"
    elif "unexpected end of data" in said:
        what = "has a quote that is not closed until the file ends: was it copied completely?"
    else:
        what = f'is no CSV at line {line:,} ({said}): write a quote inside of quotes twice, "".'
    return invalid(f"The row that begins in line {start:,} {what} Nothing was imported.")
