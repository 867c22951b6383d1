"""What other people wrote comes to the terminal as text and as nothing else."""

from __future__ import annotations

import sys
from typing import Any

import orjson
import pytest
from rich.console import Console

from app.cli import output
from app.cli.charts import Charts, Drawn
from app.cli.progress import Meter
from app.errors import Code, GradbookError
from app.visible import visible
from tests.cli.conftest import Gradbook

EVIL = "a\x1b]0;title\x07\x1b[2J\x9b31m\u202eb\x00\x08\x7f\rc"
STEERING = set("\x1b\x07\x9b\u202e\x00\x08\x7f\r")


def test_everything_but_text_is_escaped_as_in_json() -> None:
    assert visible("Zoë 漢字 🎉 e\u0301\n\t.", lines=True) == "Zoë 漢字 🎉 e\u0301\n\t."
    assert visible("a\n\tb") == r"a\n\tb"
    assert visible("\x1b[0m\x9b\ud800\u2028\r\n", lines=True) == "\\u001b[0m\\u009b\\ud800\\u2028\\r\n"
    for written in (orjson.dumps([EVIL]).decode(), orjson.dumps({EVIL: EVIL}, option=orjson.OPT_INDENT_2).decode()):
        assert orjson.loads(visible(written, lines=True)) == orjson.loads(written)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_commands_print_nothing_that_steers_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    monkeypatch.setenv("TERM", "dumb")  # without bold headings
    output.say(EVIL)
    output.note(EVIL)
    output.show_error(GradbookError(Code.INVALID_INPUT, EVIL, (EVIL,)))
    output.show_error(OSError(2, EVIL, EVIL))
    output.show_table([EVIL, "b"], [(EVIL, f"{EVIL}\nforged\t1")])
    Meter("records", None).print(EVIL)
    told = capsys.readouterr()
    assert "\\u001b[2J" in told.out
    assert told.err.count("\\u001b[2J") >= 4
    assert not set(told.out + told.err) & STEERING
    if not is_terminal:
        assert told.out.splitlines()[-1].endswith("\\nforged 1")


def test_charts_have_titles_that_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    charts = Charts()
    curve: dict[str, list[Any]] = {"steps": [], "values": [], "minimums": [], "maximums": []}
    charts.update(EVIL, [Drawn(EVIL, curve)], 1)
    Console(width=200, height=50).print(charts)
    told = capsys.readouterr().out
    assert told.count("\\u001b[2J") == 2
    assert not set(told) & STEERING


def test_a_task_with_an_evil_name_is_listed_and_shown(gradbook: Gradbook) -> None:
    gradbook.ok("workspace", "add", "default")
    gradbook.ok("user", "add", "olga", "--role", "owner")
    config = gradbook.folder / "config.json"
    config.write_bytes(orjson.dumps({"output_name": EVIL.replace("\x00", ""), "epoch": 1}))
    made = gradbook.ok("task", "import", config).out
    task = made.split()[-1]
    assert not set(made) & STEERING
    for arguments in (("list",), ("show", task)):
        told = gradbook.ok("task", *arguments).out
        assert "a\\u001b]0;title" in told
        assert not set(told) & STEERING
    listed = orjson.loads(gradbook.ok("task", "list", "--json").out)
    assert listed[0]["modelName"] == EVIL.replace("\x00", "")
