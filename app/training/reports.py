"""Reports: points of a task arrive exactly once, a report whole or not at all."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, false, func, select, update

from app.annotation.sql import JOIN, POSTGRESQL, SQLITE, rows, rows_json, statement
from app.db.changes import change_number
from app.db.statement import Statement
from app.db.types import Float, Instant, Snowflake, Text
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError
from app.training import scope
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
    workspace_id: int
    arrival: int
    end_time: Any
    stop_requested: bool


def report_progress(uow: UnitOfWork, report: Report, late: datetime.timedelta) -> Reported:
    """Store a report of a task that the viewer sees, in whatever state, up to `late` after its end.

    The same report again stores nothing and is no error. It proves that the task runs: so it is not `lost`. Statements:
    at most 7, for any number of series. Raises NOT_FOUND, CONFLICT for a task that ended long ago, SEQUENCE_GAP and
    SEQUENCE_CONFLICT.
    """
    given = report.given
    task = _lock(uow, report)
    if task.end_time is not None and _instant(task.end_time) + late <= uow.now:
        message = (
            f"Training task {shown_name(given.task)} ended at {_instant(task.end_time).isoformat()}: its reports are "
            f"taken for {late.total_seconds() / 86_400:g} days after that (GRADBOOK_LATE_REPORT_DAYS)."
        )
        raise GradbookError(Code.CONFLICT, message, ("id",))
    turn = take_turn(uow, task.id, given.source, given.sequence, report.content_hash)
    if not turn.is_new:
        return Reported(0, turn.next_sequence, bool(task.stop_requested))
    _store(uow, task, report.series)
    touched = {"task_id": task.id, "step": given.step, "epoch": given.epoch, "now": uow.now}
    uow.fetch(*_TOUCH.on(uow.dialect, **touched))
    publish_task(uow, task.id, task.workspace_id)
    return Reported(report.points, turn.next_sequence, bool(task.stop_requested))


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
    ids = iter(uow.new_ids(2 * len(series)))
    items, columns = [], []
    offset = 1
    for one in series:
        sizes = [len(column) for column in (one.chunk.steps, one.chunk.values, one.chunk.times)]
        columns += [one.chunk.steps, one.chunk.values, one.chunk.times]
        item = {"metric_id": next(ids), "chunk_id": next(ids), **_numbers(one), "steps_at": offset}
        item |= {"values_at": offset + sizes[0], "times_at": offset + sizes[0] + sizes[1]}
        items.append(item | dict(zip(("steps_size", "values_size", "times_size"), sizes, strict=True)))
        offset += sum(sizes)
    given = {"rows": rows_json(items), "task_id": task.id}
    name = uow.dialect_name
    uow.fetch(*_upsert_metrics(name).on(uow.dialect, **given))
    data = b"".join(columns)
    uow.fetch(*_insert_chunks(name).on(uow.dialect, arrival=task.arrival, data=data, **given))


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


# Columns of the parameter `rows`; those of the points stand one after the other in the parameter `data`.
_COLUMNS = {
    "metric_id": "bigint",
    "chunk_id": "bigint",
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
    "steps_at": "integer",
    "steps_size": "integer",
    "values_at": "integer",
    "values_size": "integer",
    "times_at": "integer",
    "times_size": "integer",
}
_LEAST = {POSTGRESQL: "least", SQLITE: "min"}
_GREATEST = {POSTGRESQL: "greatest", SQLITE: "max"}
_DATA = {POSTGRESQL: "CAST(:data AS bytea)", SQLITE: ":data"}


@cache
def _lock_task(kind: str, is_number: bool) -> Statement:
    named = (
        _task.c.id == bindparam("name", type_=Snowflake)
        if is_number
        else _task.c.task_uuid == bindparam("name", type_=Text)
    )
    columns = (_task.c.id, _task.c.workspace_id, _task.c.next_arrival, _task.c.end_time, _task.c.stop_requested)
    # Not FOR UPDATE: what refers to a task may be inserted meanwhile.
    return Statement(select(*columns).where(named, scope.train_task(_task, kind)).with_for_update(key_share=True))


_TOUCH = Statement(
    update(TrainTask)
    .where(_task.c.id == bindparam("task_id", type_=Snowflake))
    .values(
        next_arrival=_task.c.next_arrival + 1,
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
        SELECT metric_id, :task_id, name, points, non_finite, last, last_state, last_step,
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
            highest_step = {_GREATEST[name]}(metric.highest_step, excluded.highest_step)""")


@cache
def _insert_chunks(name: str) -> Statement:
    def part(column: str) -> str:
        return f"substr({_DATA[name]}, rows.{column}_at, rows.{column}_size)"

    return statement(f"""
        INSERT INTO metric_chunk (id, task_id, metric_id, first_arrival, last_arrival, lowest_step, highest_step,
            points, compacted, steps, "values", times)
        SELECT rows.chunk_id, :task_id, metric.id, CAST(:arrival AS bigint), CAST(:arrival AS bigint),
            rows.lowest_step, rows.highest_step, rows.points, false, {part("steps")}, {part("values")}, {part("times")}
        FROM {rows(name, _COLUMNS)} {JOIN[name]} metric ON metric.task_id = :task_id AND metric.name = rows.name""")
