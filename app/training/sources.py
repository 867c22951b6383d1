"""Sources: the reporting processes of a task, each of which numbers its reports from 0.

Whoever calls these holds the lock of the task's row, so that nobody else moves its sources meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import bindparam, insert, select, update

from app.annotation.checks import shown
from app.db.statement import Statement
from app.db.types import Instant, Snowflake, Text
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError
from app.training.tables import MetricSource

_table = MetricSource.__table__


class Turn(NamedTuple):
    """Whether a report is new, and the number that its source is expected to send next."""

    is_new: bool
    next_sequence: int


def take_turn(uow: UnitOfWork, task_id: int, source: str, sequence: int, content_hash: str) -> Turn:
    """Note that the source's report of this number and content is stored, unless it has been before.

    One statement where the report is the one expected, three for a source's first. Raises SEQUENCE_GAP and
    SEQUENCE_CONFLICT. Of reports before the last one the content is not known any more: they count as repeated.
    """
    dialect = uow.dialect
    values = {"task_id": task_id, "name": source}
    if uow.fetch(*_ADVANCE.on(dialect, sequence=sequence, last_hash=content_hash, now=uow.now, **values)):
        return Turn(True, sequence + 1)
    rows = uow.fetch(*_FIND.on(dialect, **values))
    expected, last_hash = rows[0] if rows else (0, None)
    if sequence > expected:
        message = (
            f"Source {shown(source)} is expected to send report {expected:,}, not {sequence:,}: send the reports from "
            f"{expected:,} on, in order."
        )
        raise GradbookError(Code.SEQUENCE_GAP, message, ("sequence",))
    if not rows:
        new = {"id": uow.new_id(), "next_sequence": 1, "last_hash": content_hash, "now": uow.now}
        uow.fetch(*_INSERT.on(dialect, **new, **values))
        return Turn(True, 1)
    if sequence == expected - 1 and content_hash != last_hash:
        message = (
            f"Source {shown(source)} sent another report {sequence:,} before, which stays as it is: the next is "
            f"{expected:,}. If this is another process, give it a source of its own."
        )
        raise GradbookError(Code.SEQUENCE_CONFLICT, message, ("sequence",))
    return Turn(False, expected)


_IS_SOURCE = (_table.c.task_id == bindparam("task_id", type_=Snowflake), _table.c.name == bindparam("name", type_=Text))
_NOW = bindparam("now", type_=Instant)
_ADVANCE = Statement(
    update(MetricSource)
    .where(*_IS_SOURCE, _table.c.next_sequence == bindparam("sequence", type_=Snowflake))
    .values(next_sequence=_table.c.next_sequence + 1, last_hash=bindparam("last_hash", type_=Text), updated_at=_NOW)
    .returning(_table.c.id)
)
_FIND = Statement(select(_table.c.next_sequence, _table.c.last_hash).where(*_IS_SOURCE))
_INSERT = Statement(
    insert(MetricSource).values(
        id=bindparam("id", type_=Snowflake),
        task_id=bindparam("task_id", type_=Snowflake),
        name=bindparam("name", type_=Text),
        next_sequence=bindparam("next_sequence", type_=Snowflake),
        last_hash=bindparam("last_hash", type_=Text),
        created_at=_NOW,
        updated_at=_NOW,
    )
)
