"""The watch over running tasks: one that is not heard of is `lost`, and FAILED after a long time.

Every server sweeps now and then. A sweep is two UPDATEs that find what is silent and check it in the same breath: a
report that comes at the same time stands in the row, which is left alone, or finds the task as the sweep left it.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, and_, bindparam, literal_column, not_, or_, select, true, update

from app.background import in_background
from app.db.changes import change_number
from app.db.database import Database
from app.db.statement import Statement
from app.db.types import Instant
from app.db.unit_of_work import UnitOfWork
from app.training.lifecycle import insert_attempts
from app.training.tables import TaskStatus, TrainTask
from app.training.topics import publish_task

_log = logging.getLogger(__name__)

BOUND = 500  # tasks that one transaction fails, or marks: it holds their rows
_PAUSE = 15.0  # seconds between sweeps, at most

_task = TrainTask.__table__


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a running task may be silent before it is lost, and before it is failed."""

    lost: datetime.timedelta
    failed: datetime.timedelta


def watching(database: Database, patience: Patience) -> AbstractAsyncContextManager[None]:
    """Watch over running tasks while the block lasts."""
    return in_background(_keep_watching(database, patience))


async def _keep_watching(database: Database, patience: Patience) -> None:
    # Who could not report while no server ran is heard first.
    await asyncio.sleep(patience.lost.total_seconds())
    while True:
        try:
            await sweep_all(database, patience)
        except Exception:  # noqa: BLE001 - the database may be away for a while; nothing is lost by waiting
            _log.exception("the watch over training tasks failed; it will be tried again")
        await asyncio.sleep(min(patience.lost.total_seconds() / 4, _PAUSE))


async def sweep_all(database: Database, patience: Patience) -> int:
    """Sweep, a bounded number of tasks in each transaction, and return of how many tasks the state changed.

    Where nothing is silent, it takes one read and no transaction.
    """
    changed = 0
    while True:
        now = datetime.datetime.now(datetime.UTC)
        cutoffs = {"latest": now - min(patience.lost, patience.failed), "failed": now - patience.failed}
        if not await database.read(*_ANY.on(database.dialect, **cutoffs)):
            return changed
        found = await database.transact(sweep, patience)
        changed += found
        if not found:  # others have them
            return changed


def sweep(uow: UnitOfWork, patience: Patience) -> int:
    """Fail what is silent for very long, with the next attempt if there are to be more, and mark what is lost.

    Returns how many tasks that were. `end_time` of what fails is when it was last heard of.
    """
    hours = patience.failed.total_seconds() / 3600
    error = (
        f"Nothing was heard of it for {hours:g} hours (GRADBOOK_FAILED_AFTER_HOURS): the process that ran it counts as"
        " dead. What it still reports is taken."
    )
    values = {"status": TaskStatus.FAILED, "lost": False, "error": error, "end_time": _task.c.heartbeat_at}
    failed = _change(uow, _is_silent(uow.now - patience.failed), **values, updated_at=uow.now)
    insert_attempts(uow, [row.id for row in failed], only_if_left=True)
    lost = _change(uow, and_(_is_silent(uow.now - patience.lost), not_(_task.c.lost)), lost=true())
    for row in (*failed, *lost):
        publish_task(uow, row.id)
    return len(failed) + len(lost)


def _change(uow: UnitOfWork, is_due: ColumnElement[bool], **values: Any) -> Sequence[Row[Any]]:
    """Change some of the tasks that are due, those silent for longest first."""
    # What others write at this moment is left to them: nobody waits, and no two sweeps wait for each other.
    due = select(_task.c.id).where(is_due).order_by(_task.c.heartbeat_at).limit(BOUND)
    due = due.with_for_update(key_share=True, skip_locked=True)
    write = (
        update(TrainTask)
        .where(_task.c.id.in_(select(due.cte("due").c.id)), is_due)
        .values(changed=change_number(), **values)
        .returning(_task.c.id)
    )
    return uow.connection.execute(write).all()


def _is_silent(cutoff: Any) -> ColumnElement[bool]:
    """Whether a task runs, as far as is known, and was not heard of since; to start is to be heard of."""
    return and_(_task.c.status == TaskStatus.RUNNING, _task.c.heartbeat_at <= cutoff)


_LATEST, _FAILED = bindparam("latest", type_=Instant), bindparam("failed", type_=Instant)
_ANY = Statement(
    select(_task.c.id)
    .where(_is_silent(_LATEST), or_(not_(_task.c.lost), _is_silent(_FAILED)))
    .limit(literal_column("1", Integer()))
)
