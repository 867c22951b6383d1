"""What is told of tasks that are gone from where they could be seen."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, case, insert, literal, select

from app.db.changes import change_number
from app.db.types import Snowflake
from app.db.unit_of_work import UnitOfWork
from app.training.tables import TrainTask, TrainTaskDeparture

_task = TrainTask.__table__


def note_departure(uow: UnitOfWork, *conditions: ColumnElement[bool]) -> None:
    """Note that the task of which the conditions hold, if there is one, leaves its workspace; its row is locked."""
    _note(uow, literal(uow.new_id(), Snowflake()), *conditions)


def note_departures(uow: UnitOfWork, task_ids: Sequence[int]) -> None:
    """Note that these tasks leave their workspaces; their rows are locked."""
    numbers = dict(zip(task_ids, uow.new_ids(len(task_ids)), strict=True))
    _note(uow, case(numbers, value=_task.c.id), _task.c.id.in_(task_ids))


def _note(uow: UnitOfWork, number: ColumnElement[int], *conditions: ColumnElement[bool]) -> None:
    leaving = (
        select(number, _task.c.id, _task.c.workspace_id, _task.c.user_id, change_number())
        .where(*conditions)
        .with_for_update(key_share=True)
        .params(viewer_id=uow.viewer.id)
    )
    names = ["id", "task_id", "workspace_id", "user_id", "changed"]
    uow.connection.execute(insert(TrainTaskDeparture).from_select(names, leaving))
