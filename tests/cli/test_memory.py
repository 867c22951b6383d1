"""Memory does not grow with the file."""

import os
from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow
from pyarrow import parquet

from tests.cli.conftest import Gradbook

LINE = 100_000  # bytes
FEW, MANY = 300, 1_200  # lines; one batch is 80, and SQLite keeps 16 MB of pages
GROWTH = 50_000  # KiB that it may be more, by chance, for a file with 88,000 more


def peak(gradbook: Gradbook, *arguments: str | Path, code: int = 0) -> int:
    """The most memory that the command had, in KiB."""
    process = gradbook.start(*arguments)
    with process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.returncode == code, process.stderr.read()
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


def test_what_unpacks_to_far_more_needs_no_memory(unmigrated: Callable[[str], Gradbook]) -> None:
    """A text of a megabyte, which two thousand rows mean, and a cell of 100 MB: some kilobytes, and a plain file."""
    gradbook = unmigrated("gradbook.db")
    gradbook.ok("migrate")
    with (gradbook.folder / "small.csv").open("w") as file:
        file.write("text\nhello\n")
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 2_000, pyarrow.int32()), ["x" * 1_000_000])
    parquet.write_table(pyarrow.table({"text": text}), gradbook.folder / "bomb.parquet", store_schema=False)
    with (gradbook.folder / "cell.csv").open("wb") as file:
        file.write(b'text\n"' + b"x" * 100_000_000 + b'"\n')
    assert (gradbook.folder / "bomb.parquet").stat().st_size < 1_000_000

    usual = peak(gradbook, "import", "small.csv", "--dataset", "d")
    assert peak(gradbook, "import", "bomb.parquet", "--dataset", "d", code=1) - usual < 200_000
    assert peak(gradbook, "import", "cell.csv", "--dataset", "d", code=1) - usual < 400_000
    assert gradbook.ok("export", "--dataset", "d").out == '{"fields":{"text":"hello"}}\n'
