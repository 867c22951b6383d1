"""A dataset that files go into and come out of."""

import io
from collections.abc import Iterable
from typing import Any

import orjson

from app.annotation.records import OnConflict
from app.annotation.transfer.exporting import count_records, export_records
from app.annotation.transfer.importing import BadLine, ImportOptions, Tally, import_records
from app.annotation.transfer.lines import read_lines
from app.db import Database

Line = dict[str, Any]


def as_file(lines: Iterable[Line | bytes]) -> bytes:
    return b"".join(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines)


def passages(count: int, first: int = 0) -> list[Line]:
    return [{"externalId": f"x{n}", "fields": {"text": f"Text {n}"}} for n in range(first, first + count)]


class Transfer:
    """A dataset that files go into and come out of."""

    def __init__(self, database: Database, dataset: int, workspace: int) -> None:
        self.database = database
        self.dataset = dataset
        self.workspace = workspace
        self.bad: list[tuple[int, str]] = []
        self.batches: list[int] = []

    async def load(
        self, lines: Iterable[Line | bytes], on_conflict: OnConflict = OnConflict.SKIP, *, create_users: bool = False
    ) -> tuple[int, int, int, int]:
        """Import: how many were added, updated, skipped, bad."""
        self.bad, self.batches = [], []
        file = io.BytesIO(as_file(lines))
        options = ImportOptions(self.dataset, self.workspace, on_conflict, create_users)

        def note(line: BadLine) -> None:
            self.bad.append((line.number, line.reason))

        def count(tally: Tally) -> None:
            self.batches.append(tally.lines)

        tally = await import_records(self.database, read_lines(file), options, note, count)
        assert tally.lines == tally.added + tally.updated + tally.skipped + tally.bad
        assert tally.bad == len(self.bad)
        return tally.added, tally.updated, tally.skipped, tally.bad

    async def dump(self) -> list[bytes]:
        """Export."""
        lines = [line async for page in export_records(self.database, self.dataset) for line in page]
        assert len(lines) == await count_records(self.database, self.dataset)
        return lines
