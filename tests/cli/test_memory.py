"""Memory does not grow with the file."""

import os
from pathlib import Path

import orjson

from tests.cli.conftest import Gradbook

LINE = 100_000  # bytes
FEW, MANY = 300, 1_200  # lines; one batch is 80, and SQLite keeps 16 MB of pages
GROWTH = 50_000  # KiB that it may be more, by chance, for a file with 88,000 more


def peak(gradbook: Gradbook, *arguments: str | Path) -> int:
    """The most memory that the command had, in KiB."""
    process = gradbook.start(*arguments)
    with process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.returncode == 0, process.stderr.read()
        process.stdout.read()
    return usage.ru_maxrss


def test_memory_is_constant(gradbook: Gradbook) -> None:
    gradbook.ok("workspace", "add", "default")
    used = {}
    for count in (FEW, MANY):
        with (gradbook.folder / f"{count}.jsonl").open("wb") as file:
            for n in range(count):
                file.write(orjson.dumps({"fields": {"text": f"{n} " + "x" * LINE}}) + b"\n")
        imported = peak(gradbook, "import", f"{count}.jsonl", "--dataset", f"d{count}")
        exported = peak(gradbook, "export", "--dataset", f"d{count}", "--output", "out.jsonl")
        used[count] = imported, exported
        assert (gradbook.folder / "out.jsonl").read_bytes() == (gradbook.folder / f"{count}.jsonl").read_bytes()
    assert used[MANY][0] - used[FEW][0] < GROWTH
    assert used[MANY][1] - used[FEW][1] < GROWTH
