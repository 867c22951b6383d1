"""Records from a file into a dataset, batch by batch: what is bad is reported, what is good is kept.

A batch is one transaction, so an import that ends in the middle, be it by a crash, can be run again: what is there is
found by its key and not added twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.accounts.access import OPERATOR
from app.accounts.viewer import Viewer
from app.annotation.records import AddRecordsInput, Key, OnConflict, Outcome, RecordResult, add_records
from app.annotation.transfer.aside import aside
from app.annotation.transfer.line_format import BadLine, Read, RecordLine, reason
from app.annotation.transfer.people import find_people
from app.db import Database, UnitOfWork

BATCH_LINES = 1_000
BATCH_BYTES = 8_000_000  # of lines; a batch holds one that is longer alone


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Where records go, and what becomes of those that are there already, and of people that are not."""

    dataset_id: int
    workspace_id: int
    on_conflict: OnConflict = OnConflict.SKIP
    create_users: bool = False
    viewer: Viewer = OPERATOR
    """Who imports."""
    aside: bool = False
    """Whether the file is read beside the event loop, for a server that has others to answer meanwhile."""


@dataclass(slots=True)
class Tally:
    """How far an import is; `end` is the place in the file up to which everything is done."""

    lines: int = 0
    added: int = 0
    updated: int = 0
    skipped: int = 0
    bad: int = 0
    end: int = 0


async def import_records(
    database: Database,
    records: Iterable[Read],
    options: ImportOptions,
    on_bad: Callable[[BadLine], None],
    on_batch: Callable[[Tally], None],
) -> Tally:
    """Import all records. `on_bad` gets the bad ones in their order, `on_batch` how far it is.

    Memory does not grow with the file, statements do not grow with the records of a batch. Raises NOT_FOUND when the
    dataset is gone, FORBIDDEN for an ANNOTATOR, DATABASE_BUSY, OUTCOME_UNKNOWN; batches that were reported stay.
    """
    tally = Tally()
    async for batch in _read(_batches(records), options):
        good = [item for item in batch if isinstance(item, RecordLine)]
        results = await database.transact(_write, good, options, viewer=options.viewer) if good else []
        refused = {line.number: result for line, result in zip(good, results, strict=True) if result.errors}
        tally.lines += len(batch)
        tally.added += sum(result.outcome is Outcome.ADDED for result in results)
        tally.updated += sum(result.outcome is Outcome.UPDATED for result in results)
        tally.skipped += sum(result.outcome is Outcome.SKIPPED for result in results)
        tally.end = batch[-1].end
        for item in batch:
            if isinstance(item, BadLine):
                tally.bad += 1
                on_bad(item)
            elif item.number in refused:
                tally.bad += 1
                on_bad(_refused(item, refused[item.number]))
        on_batch(tally)
    return tally


async def _read(batches: Iterator[list[Read]], options: ImportOptions) -> AsyncIterator[list[Read]]:
    while batch := await aside(next, batches, None) if options.aside else next(batches, None):
        yield batch


def _refused(line: RecordLine, result: RecordResult) -> BadLine:
    return BadLine(line.number, line.length, line.end, " ".join(reason(error) for error in result.errors))


def _batches(items: Iterable[Read]) -> Iterator[list[Read]]:
    """Batches with each key at most once: of two lines with one key the second meets the first in the database."""
    batch: list[Read] = []
    keys: set[Key] = set()
    size = 0
    for item in items:
        key = item.record.key if isinstance(item, RecordLine) else None
        if batch and (len(batch) == BATCH_LINES or size + item.length > BATCH_BYTES or key in keys):
            yield batch
            batch, size = [], 0
            keys.clear()
        batch.append(item)
        size += item.length
        if key is not None and key != (None, None):
            keys.add(key)
    if batch:
        yield batch


def _write(uow: UnitOfWork, lines: Sequence[RecordLine], options: ImportOptions) -> list[RecordResult]:
    names = {answers.username for line in lines for answers in line.answers}
    people, errors = find_people(uow, names, options.workspace_id, create=options.create_users)
    known: list[RecordLine] = []
    results: dict[int, RecordResult] = {}
    for line in lines:
        wrong = [
            errors[answers.username].below("responses", index, "user")
            for index, answers in enumerate(line.answers)
            if answers.username in errors
        ]
        if wrong:
            results[line.number] = RecordResult(line.number, Outcome.REFUSED, None, tuple(wrong))
        else:
            known.append(line)
    batch = AddRecordsInput(options.dataset_id, [line.with_users(people) for line in known], options.on_conflict)
    results |= {line.number: result for line, result in zip(known, add_records(uow, batch, BATCH_LINES), strict=True)}
    return [results[line.number] for line in lines]
