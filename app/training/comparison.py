"""Tasks side by side: what they were given, and what became of one metric."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import orjson

from app.accounts.viewer import Viewer
from app.annotation.sql import IDS, statement
from app.db.database import Database
from app.db.statement import Statement
from app.db.types import json_text
from app.errors import Code, GradbookError
from app.training import scope
from app.training.goals import Goal, Reached, check_threshold, instant, load_reached
from app.training.parameters import are_equal, flattened
from app.training.sql import listed
from app.training.tables import TrainTask, ValueState
from app.training.task_names import TaskName
from app.training.task_values import COLUMNS, as_shown

MAX_TASKS = 100
MAX_PARAMETERS = 1_000


class Point(NamedTuple):
    """A value at a step; None is one that is no finite number."""

    step: int
    value: float | None


@dataclass(frozen=True, slots=True)
class ComparedTask:
    """A task, what it was given by name, and its metric, None where it does not report it."""

    id: int
    parameters: dict[str, Any]
    best: Point | None
    last: Point | None
    reached: Reached | None


@dataclass(frozen=True, slots=True)
class Parameter:
    """The values of a parameter in the order of the tasks, None where a task has none."""

    name: str
    values: list[Any]
    differs: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """All parameters of the tasks, and the tasks."""

    parameters: list[Parameter]
    tasks: list[ComparedTask]


async def load_comparison(
    database: Database,
    viewer: Viewer,
    tasks: Sequence[TaskName],
    metric: str,
    goal: Goal = Goal.MINIMIZE,
    threshold: float | None = None,
) -> Comparison:
    """The tasks in the order asked for, each once. One statement, two with a threshold.

    Those that are deleted, or that the viewer does not see, are left out. Raises INVALID_INPUT and LIMIT_EXCEEDED.
    """
    check_threshold(metric, threshold)
    if len(tasks) > MAX_TASKS:
        raise GradbookError(Code.LIMIT_EXCEEDED, f"{len(tasks):,} tasks; at most {MAX_TASKS} are compared.", ("ids",))
    found = await _find(database, viewer, tasks, metric)
    reached: dict[int, Reached] = {}
    if threshold is not None:
        starts = {
            row.metric_id: instant(row.start_time)
            for row in found
            if row.metric_id is not None and goal.is_reached(goal.best(row.min, row.max), threshold)
        }
        reached = await load_reached(database, starts, goal, threshold)
    return await asyncio.to_thread(_compared, found, reached, goal)


def _compared(rows: Sequence[_Row], reached: Mapping[int, Reached], goal: Goal) -> Comparison:
    tasks = [
        ComparedTask(row.id, _parameters(row.inputs), _best(row, goal), _last(row), reached.get(row.metric_id or 0))
        for row in rows
    ]
    return Comparison(_side_by_side([one.parameters for one in tasks]), tasks)


class _Row(NamedTuple):
    id: int
    task_uuid: str
    start_time: Any
    metric_id: int | None
    min: float | None
    min_step: int | None
    max: float | None
    max_step: int | None
    last: float | None
    last_state: str | None
    last_step: int | None
    inputs: tuple[Any, ...]


_KNOWN = len(_Row._fields) - 1


async def _find(database: Database, viewer: Viewer, tasks: Sequence[TaskName], metric: str) -> list[_Row]:
    given = {
        "ids": [task for task in tasks if isinstance(task, int)],
        "uuids": json_text([task for task in tasks if isinstance(task, str)]),
        "metric": metric,
    }
    found = _tasks(database.dialect_name, viewer.kind)
    rows = await database.read(*found.on(database.dialect, **given, **scope.viewer_values(viewer)))
    place = {name: at for at, name in reversed(list(enumerate(tasks)))}
    made = [_Row._make((*row[:_KNOWN], row[_KNOWN:])) for row in rows]
    return sorted(made, key=lambda row: min(place[name] for name in (row.id, row.task_uuid) if name in place))


def _parameters(columns: tuple[Any, ...]) -> dict[str, Any]:
    inputs = as_shown(dict(zip(COLUMNS, columns, strict=True)))
    extra = inputs["extraParams"]
    return flattened(inputs | {"extraParams": None if extra is None else orjson.loads(extra)})


def _best(row: _Row, goal: Goal) -> Point | None:
    value, step = (row.min, row.min_step) if goal is Goal.MINIMIZE else (row.max, row.max_step)
    return None if value is None or step is None else Point(step, value)


def _last(row: _Row) -> Point | None:
    if row.last_step is None:
        return None
    return Point(row.last_step, row.last if row.last_state == ValueState.FINITE.name else None)


def _side_by_side(tasks: Sequence[dict[str, Any]]) -> list[Parameter]:
    names = dict.fromkeys(name for task in tasks for name in task)
    if len(names) > MAX_PARAMETERS:
        message = (
            f"The tasks have {len(names):,} parameters; at most {MAX_PARAMETERS:,} are compared: name fewer tasks."
        )
        raise GradbookError(Code.LIMIT_EXCEEDED, message, ("ids",))
    parameters = []
    for name in names:
        values = [task.get(name) for task in tasks]
        parameters.append(Parameter(name, values, any(not are_equal(values[0], other) for other in values[1:])))
    return parameters


@cache
def _tasks(dialect_name: str, kind: str) -> Statement:
    visible = str(scope.train_task(TrainTask.__table__, kind))
    inputs = ", ".join(f"train_task.{column}" for column in COLUMNS.values())
    return statement(f"""
        SELECT train_task.id, task_uuid, start_time, metric.id,
            metric.min, metric.min_step, metric.max, metric.max_step,
            metric.last, metric.last_state, metric.last_step, {inputs}
        FROM train_task LEFT JOIN metric ON metric.task_id = train_task.id AND metric.name = :metric
        WHERE (train_task.id {IDS[dialect_name]} OR task_uuid {listed(dialect_name, "uuids")})
            AND deleted_at IS NULL AND {visible}""")
