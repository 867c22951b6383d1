"""The compactor: in the background, many small chunks become few large ones.

What is stored is never changed, only replaced. Chunks are read and rewritten outside of any transaction; then one short
transaction exchanges them, if the old ones are all still there. So several processes may do it at once, one may end at
any moment, and every reader sees either the old chunks or the new ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from app.annotation.sql import IDS, POSTGRESQL, SQLITE, statement
from app.background import in_background
from app.db.database import Database
from app.db.statement import Statement
from app.db.unit_of_work import UnitOfWork

if TYPE_CHECKING:  # numpy comes with the first chunk
    from app.training.metrics.chunks import Chunk

_log = logging.getLogger(__name__)

FULL = 4_096  # points of a metric that wait, or
MANY = 64  # chunks of a metric that wait: they are compacted. When the task has ended, whatever waits is.
_METRICS = 200  # that are looked for at once
_CHUNKS = 1_024  # of one task that are rewritten at once, at most, with
_POINTS = 32 * FULL  # points; of fewer than 2 * FULL, the rest of before and what waits might fill nothing more


class Due(NamedTuple):
    """A task with metrics to compact."""

    task_id: int
    metric_ids: tuple[int, ...]


class OutrunError(Exception):
    """Somebody else compacted the chunks, or removed them, while they were being rewritten."""


def compacting(database: Database, seconds: float) -> AbstractAsyncContextManager[None]:
    """Compact every so many seconds while the block lasts."""
    return in_background(_keep_compacting(database, seconds))


async def _keep_compacting(database: Database, seconds: float) -> None:
    damaged: set[int] = set()
    while True:
        await asyncio.sleep(seconds)
        try:
            await compact_waiting(database, damaged)
        except Exception:  # noqa: BLE001 - the database may be away for a while; nothing is lost by waiting
            _log.exception("compaction failed; it will be tried again")


async def compact_waiting(database: Database, damaged: set[int]) -> int:
    """Compact until nothing waits or others do it, and return how many exchanges it took.

    Tasks whose chunks cannot be read are logged, noted in `damaged`, and left as they are.
    """
    exchanges = 0
    while found := [due for due in await find_due(database) if due.task_id not in damaged]:
        before = exchanges
        for due in found:
            try:
                exchanges += await compact_task(database, due)
            except ValueError:
                _log.exception("chunks of training task tsk_%s cannot be compacted", due.task_id)
                damaged.add(due.task_id)
        if exchanges == before:
            break
    return exchanges


async def find_due(database: Database) -> list[Due]:
    """Tasks of which enough waits, or which have ended, some of their metrics each."""
    rows = await database.read(*_DUE.on(database.dialect))
    return [Due(task_id, tuple(row[1] for row in found)) for task_id, found in groupby(rows, itemgetter(0))]


async def compact_task(database: Database, due: Due) -> bool:
    """Replace what waits of these metrics, up to a bound, in one transaction; False if somebody else was faster.

    Raises ValueError for chunks that are damaged or overlap.
    """
    rows = await database.read(*_waiting(database.dialect_name).on(database.dialect, ids=due.metric_ids))
    old, new = await asyncio.to_thread(_rewritten, rows)
    try:
        await database.transact(exchange, due.task_id, old, new)
    except OutrunError:
        return False
    return True


def exchange(uow: UnitOfWork, task_id: int, old: Sequence[int], new: Sequence[tuple[int, Chunk]]) -> None:
    """Put new chunks, each with its metric's id, in the place of old ones. Raises OutrunError if one is gone."""
    from app.training.chunk_rows import insert_chunks  # noqa: PLC0415 - numpy comes with the first chunk

    # Whoever purges the task waits until this ends; whoever reports to it does not.
    uow.fetch(*_hold(uow.dialect_name).on(uow.dialect, task_id=task_id))
    gone = uow.fetch(*_remove(uow.dialect_name).on(uow.dialect, ids=old))
    if len(gone) != len(old):
        raise OutrunError
    if new:
        insert_chunks(uow, task_id, new)


def _rewritten(rows: Sequence[tuple[Any, ...]]) -> tuple[list[int], list[tuple[int, Chunk]]]:
    """The ids of the chunks to replace, and the chunks that replace them, each with its metric's id."""
    from app.training.metrics.chunks import Chunk  # noqa: PLC0415 - numpy comes with the first chunk
    from app.training.metrics.compaction import compact  # noqa: PLC0415

    old: list[int] = []
    new: list[tuple[int, Chunk]] = []
    for metric_id, group in groupby(rows, itemgetter(0)):
        found = list(group)
        compacted = compact((Chunk(*row[2:]) for row in found), FULL)
        old += [row[1] for row in found]
        new += [(metric_id, chunk) for chunk in compacted.full]
        if compacted.rest is not None:
            new.append((metric_id, compacted.rest))
    return old, new


_DUE = statement(f"""
    SELECT metric_chunk.task_id, metric_chunk.metric_id
    FROM metric_chunk JOIN train_task ON train_task.id = metric_chunk.task_id
    WHERE NOT compacted GROUP BY metric_chunk.task_id, metric_chunk.metric_id, end_time
    HAVING sum(metric_chunk.points) >= {FULL} OR count(*) >= {MANY} OR end_time IS NOT NULL
    ORDER BY metric_chunk.task_id, metric_chunk.metric_id LIMIT {_METRICS}""")


@cache
def _waiting(name: str) -> Statement:
    """(metric, id, what a Chunk is made of) of what is to be rewritten: by metric its rest, then the small ones."""
    return statement(f"""
        WITH waiting AS (
            SELECT id, row_number() OVER placed AS place, sum(points) OVER placed - points AS before
            FROM metric_chunk WHERE metric_id {IDS[name]} AND (NOT compacted OR points < {FULL})
            WINDOW placed AS (ORDER BY metric_id, first_arrival ROWS UNBOUNDED PRECEDING)
        )
        SELECT metric_id, metric_chunk.id, points, lowest_step, highest_step, first_arrival, last_arrival,
            steps, "values", times, arrivals, pyramid, minimum, maximum
        FROM waiting JOIN metric_chunk ON metric_chunk.id = waiting.id
        WHERE place <= {_CHUNKS} AND before < {_POINTS} ORDER BY metric_id, first_arrival""")


@cache
def _hold(name: str) -> Statement:
    lock = {POSTGRESQL: "FOR KEY SHARE", SQLITE: ""}
    return statement(f"SELECT id FROM train_task WHERE id = :task_id {lock[name]}")


@cache
def _remove(name: str) -> Statement:
    return statement(f"DELETE FROM metric_chunk WHERE id {IDS[name]} RETURNING id")
