"""Reports: points of a task arrive exactly once, a report whole or not at all."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, false, func, select, update

from app.annotation.sql import POSTGRESQL, SQLITE, rows, rows_json, statement
from app.db.changes import change_number
from app.db.statement import Statement
from app.db.types import Float, Instant, Snowflake, Text
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError
from app.training import scope
from app.training.chunk_rows import insert_chunks
from app.training.report_content import NewPoints, Report
from app.training.sources import take_turn
from app.training.tables import TrainTask
from app.training.task_names import shown_name
from app.training.topics import publish_task

_task = TrainTask.__table__


class Reported(NamedTuple):
    """How many points are new, the number of the source's next report, and whether the task is asked to stop."""

    accepted: int
    next_sequence: int
    stop_requested: bool


class _Locked(NamedTuple):
    id: int
    arrival: int
    end_time: Any
    updated_at: Any
    stop_requested: bool


def report_progress(uow: UnitOfWork, report: Report, late: datetime.timedelta) -> Reported:
    """Store a report of a task that the viewer sees, in whatever state, up to `late` after its end.

    The same report again stores nothing and is no error. Either proves that the task runs: so it is not `lost`.
    Statements: at most 7, for any number of series. Raises NOT_FOUND, CONFLICT for a task that ended long ago,
    SEQUENCE_GAP and SEQUENCE_CONFLICT.
    """
    given = report.given
    task = _lock(uow, report)
    # Not from `end_time`: what was silent for long is found to have ended long ago, and may still have much to report.
    if task.end_time is not None and _instant(task.updated_at) + late <= uow.now:
        message = (
            f"Training task {shown_name(given.task)} has ended, and was last changed at "
            f"{_instant(task.updated_at).isoformat()}: its reports are taken for "
            f"{late.total_seconds() / 86_400:g} days after that (GRADBOOK_LATE_REPORT_DAYS)."
        )
        raise GradbookError(Code.CONFLICT, message, ("id",))
    turn = take_turn(uow, task.id, given.source, given.sequence, report.content_hash)
    said: dict[str, Any] = {"arrived": 0, "step": None, "epoch": None}
    if turn.is_new:
        _store(uow, task, report.series)
        said = {"arrived": 1, "step": given.step, "epoch": given.epoch}
    uow.fetch(*_TOUCH.on(uow.dialect, task_id=task.id, now=uow.now, **said))
    publish_task(uow, task.id)
    return Reported(report.points if turn.is_new else 0, turn.next_sequence, bool(task.stop_requested))


def _lock(uow: UnitOfWork, report: Report) -> _Locked:
    """The task, which nobody else reports to or changes until the transaction ends."""
    viewer, name = uow.viewer, report.given.task
    lock = _lock_task(viewer.kind, isinstance(name, int))
    found = uow.fetch(*lock.on(uow.dialect, name=name, **scope.viewer_values(viewer)))
    if not found:
        message = f"There is no training task {shown_name(name)} that you can see."
        raise GradbookError(Code.NOT_FOUND, message, ("id",))
    return _Locked(*found[0])


def _instant(value: Any) -> datetime.datetime:
    return datetime.datetime.fromisoformat(value) if isinstance(value, str) else value


def _store(uow: UnitOfWork, task: _Locked, series: Sequence[NewPoints]) -> None:
    """The points of all metrics and what they come to: two statements."""
    if not series:
        return
    ids = uow.new_ids(len(series))
    items = rows_json([{"id": number, **_numbers(one)} for number, one in zip(ids, series, strict=True)])
    upsert = _upsert_metrics(uow.dialect_name)
    metrics = dict(uow.fetch(*upsert.on(uow.dialect, rows=items, task_id=task.id)))
    at = task.arrival
    arrived = (replace(one.chunk, first_arrival=at, last_arrival=at) for one in series)
    insert_chunks(uow, task.id, ((metrics[one.metric], chunk) for one, chunk in zip(series, arrived, strict=True)))


def _numbers(one: NewPoints) -> dict[str, Any]:
    summary = one.summary
    return {
        "name": one.metric,
        "points": summary.points,
        "non_finite": summary.non_finite,
        "last": None if summary.last is None else summary.last + 0.0,
        "last_state": summary.last_state.name,
        "last_step": one.last_step,
        "min": summary.minimum,
        "min_step": summary.minimum_at,
        "max": summary.maximum,
        "max_step": summary.maximum_at,
        "lowest_step": summary.first_step,
        "highest_step": summary.last_step,
    }


# Columns of the parameter `rows`.
_COLUMNS = {
    "id": "bigint",
    "name": "text",
    "points": "bigint",
    "non_finite": "bigint",
    "last": "double precision",
    "last_state": "text",
    "last_step": "bigint",
    "min": "double precision",
    "min_step": "bigint",
    "max": "double precision",
    "max_step": "bigint",
    "lowest_step": "bigint",
    "highest_step": "bigint",
}
_LEAST = {POSTGRESQL: "least", SQLITE: "min"}
_GREATEST = {POSTGRESQL: "greatest", SQLITE: "max"}


@cache
def _lock_task(kind: str, is_number: bool) -> Statement:
    named = (
        _task.c.id == bindparam("name", type_=Snowflake)
        if is_number
        else _task.c.task_uuid == bindparam("name", type_=Text)
    )
    columns = (_task.c.id, _task.c.next_arrival, _task.c.end_time, _task.c.updated_at, _task.c.stop_requested)
    # Not FOR UPDATE: what refers to a task may be inserted meanwhile.
    return Statement(select(*columns).where(named, scope.train_task(_task, kind)).with_for_update(key_share=True))


_TOUCH = Statement(
    update(TrainTask)
    .where(_task.c.id == bindparam("task_id", type_=Snowflake))
    .values(
        next_arrival=_task.c.next_arrival + bindparam("arrived", type_=Snowflake),
        step=func.coalesce(bindparam("step", type_=Snowflake), _task.c.step),
        epoch=func.coalesce(bindparam("epoch", type_=Float), _task.c.epoch),
        heartbeat_at=bindparam("now", type_=Instant),
        lost=false(),
        changed=change_number(),
    )
)


@cache
def _upsert_metrics(name: str) -> Statement:
    """What the points come to, added to what is known: as `Summary.then`, an earlier extreme stays when equal."""
    # A comparison with NULL is not true; the new value stands in for a missing one.
    lower = "metric.min IS NULL OR excluded.min < metric.min"
    higher = "metric.max IS NULL OR excluded.max > metric.max"
    return statement(f"""
        INSERT INTO metric (id, task_id, name, points, non_finite_count, last, last_state, last_step,
            min, min_step, max, max_step, lowest_step, highest_step)
        SELECT id, :task_id, name, points, non_finite, last, last_state, last_step,
            min, min_step, max, max_step, lowest_step, highest_step
        FROM {rows(name, _COLUMNS)} WHERE true
        ON CONFLICT (task_id, name) DO UPDATE SET
            points = metric.points + excluded.points,
            non_finite_count = metric.non_finite_count + excluded.non_finite_count,
            last = coalesce(excluded.last, metric.last), last_state = excluded.last_state,
            last_step = excluded.last_step,
            min = CASE WHEN {lower} THEN excluded.min ELSE metric.min END,
            min_step = CASE WHEN {lower} THEN excluded.min_step ELSE metric.min_step END,
            max = CASE WHEN {higher} THEN excluded.max ELSE metric.max END,
            max_step = CASE WHEN {higher} THEN excluded.max_step ELSE metric.max_step END,
            lowest_step = {_LEAST[name]}(metric.lowest_step, excluded.lowest_step),
            highest_step = {_GREATEST[name]}(metric.highest_step, excluded.highest_step)
        RETURNING name, id""")
