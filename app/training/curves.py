"""Curves of tasks' metrics for charts: any range of steps, several runs and metrics on one grid."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from app.accounts.viewer import Viewer
from app.annotation.checks import invalid
from app.annotation.sql import IDS, POSTGRESQL, SQLITE, statement
from app.db.database import Database
from app.db.statement import Statement
from app.db.types import json_text
from app.errors import Code, GradbookError
from app.training import scope
from app.training.metrics.chunks import Chunk
from app.training.metrics.curves import Curve, Window, read_curves
from app.training.metrics.pyramid import ENTRIES
from app.training.metrics.wire import values_json, whole_numbers_json
from app.training.sql import listed
from app.training.tables import TrainTask
from app.training.task_names import TaskName

MAX_TASKS = 200
MAX_METRICS = 100
MAX_POINTS = 10_000  # of one curve
MAX_ALL_POINTS = 250_000  # of all curves of a request; about 20 MB of JSON


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of some tasks: curves of these metrics with up to `max_points` points each."""

    metrics: Sequence[str]
    max_points: int
    from_step: int | None = None
    to_step: int | None = None


class TaskCurve(NamedTuple):
    """A curve of a task; its columns are finished JSON."""

    task_id: int
    metric: str
    points: int
    steps: orjson.Fragment
    values: orjson.Fragment
    minimums: orjson.Fragment
    maximums: orjson.Fragment
    times: orjson.Fragment
    non_finite: orjson.Fragment


class _Series(NamedTuple):
    metric_id: int
    task_id: int
    task_uuid: str
    metric: str
    lowest_step: int
    highest_step: int


async def load_curves(database: Database, viewer: Viewer, tasks: Sequence[TaskName], asked: Asked) -> list[TaskCurve]:
    """The curves that there are, in the order of the tasks and metrics asked for. Two statements.

    All are on one grid of steps; they are the points themselves if no curve would have more than `max_points` of them.
    Tasks that the viewer does not see have none. Raises INVALID_INPUT and LIMIT_EXCEEDED.
    """
    _check(tasks, asked)
    series = await _find_series(database, viewer, tasks, asked.metrics)
    extents = [(one.lowest_step, one.highest_step) for one in series]
    window = Window.of(extents, asked.max_points, asked.from_step, asked.to_step)
    rows = await _read_chunks(database, [one.metric_id for one in series], window)
    # Decoding and merging takes milliseconds for a long run: meanwhile others are served.
    return await asyncio.to_thread(_curves, series, rows, window)


def _check(tasks: Sequence[TaskName], asked: Asked) -> None:
    if not 2 <= asked.max_points <= MAX_POINTS:
        raise invalid(f"maxPoints is {asked.max_points:,}: use 2 to {MAX_POINTS:,}.", "maxPoints")
    for items, limit, name in ((tasks, MAX_TASKS, "tasks"), (asked.metrics, MAX_METRICS, "metrics")):
        if len(items) > limit:
            raise GradbookError(Code.LIMIT_EXCEEDED, f"{len(items):,} {name}; at most {limit:,} are allowed.", (name,))
    total = len(tasks) * len(asked.metrics) * asked.max_points
    if total > MAX_ALL_POINTS:
        message = (
            f"{len(tasks):,} tasks, {len(asked.metrics):,} metrics and {asked.max_points:,} points each may be "
            f"{total:,} points: ask for at most {MAX_ALL_POINTS:,} at once."
        )
        raise GradbookError(Code.LIMIT_EXCEEDED, message, ("maxPoints",))


async def _find_series(
    database: Database, viewer: Viewer, tasks: Sequence[TaskName], metrics: Sequence[str]
) -> list[_Series]:
    numbers = [task for task in tasks if isinstance(task, int)]
    uuids = [task for task in tasks if isinstance(task, str)]
    found = _series_statement(database.dialect_name, viewer.kind)
    given = {"ids": numbers, "uuids": json_text(uuids), "metrics": json_text(list(metrics))}
    rows = await database.read(*found.on(database.dialect, **given, **scope.viewer_values(viewer)))
    place = {name: at for at, name in reversed(list(enumerate(tasks)))}
    metric_place = {name: at for at, name in reversed(list(enumerate(metrics)))}

    def order(one: _Series) -> tuple[int, int]:
        places = [place[name] for name in (one.task_id, one.task_uuid) if name in place]
        return min(places), metric_place[one.metric]

    return sorted((_Series(*row) for row in rows), key=order)


async def _read_chunks(database: Database, metric_ids: Sequence[int], window: Window) -> list[tuple[Any, ...]]:
    if not metric_ids:
        return []
    given = {"ids": metric_ids, "level": window.level, "max_points": window.max_points}
    given |= {"first_step": window.first_step, "last_step": window.last_step}
    return await database.read(*_chunks_statement(database.dialect_name).on(database.dialect, **given))


def _curves(series: Sequence[_Series], rows: Sequence[tuple[Any, ...]], window: Window) -> list[TaskCurve]:
    by_metric = {number: list(_chunks(found)) for number, found in groupby(rows, itemgetter(0))}
    curves = read_curves([by_metric.get(one.metric_id, []) for one in series], window)
    return [_finished(one, curve) for one, curve in zip(series, curves, strict=True)]


def _chunks(rows: Iterator[tuple[Any, ...]]) -> Iterator[Chunk]:
    return (Chunk(*row[1:]) for row in rows)


def _finished(series: _Series, curve: Curve) -> TaskCurve:
    return TaskCurve(
        series.task_id,
        series.metric,
        curve.points,
        whole_numbers_json(curve.steps),
        values_json(curve.values),
        values_json(curve.minimums),
        values_json(curve.maximums),
        whole_numbers_json(curve.times),
        whole_numbers_json(curve.non_finite),
    )


@cache
def _series_statement(dialect_name: str, kind: str) -> Statement:
    visible = str(scope.train_task(TrainTask.__table__, kind))
    return statement(f"""
        SELECT metric.id, train_task.id, task_uuid, name, lowest_step, highest_step
        FROM train_task JOIN metric ON metric.task_id = train_task.id
        WHERE (train_task.id {IDS[dialect_name]} OR task_uuid {listed(dialect_name, "uuids")})
            AND metric.name {listed(dialect_name, "metrics")} AND {visible}""")


# A pyramid serves when its level is not above the grid's: see Window.needs_points, which says the same of a chunk.
_SERVED = f"""compacted AND pyramid IS NOT NULL AND points > CAST(:max_points AS integer)
    AND lowest_step >= CAST(:first_step AS bigint) AND highest_step <= CAST(:last_step AS bigint)
    AND (highest_step >> CAST(:level AS integer)) - (lowest_step >> CAST(:level AS integer)) < {ENTRIES}"""
_EMPTY = {POSTGRESQL: "CAST('' AS bytea)", SQLITE: "x''"}


@cache
def _chunks_statement(dialect_name: str) -> Statement:
    """The rows of chunks that meet the window, by metric and arrival, without the columns that are not needed."""
    empty = _EMPTY[dialect_name]
    columns = ", ".join(
        f"CASE WHEN is_served THEN {empty} ELSE {name} END" for name in ("steps", '"values"', "times", "arrivals")
    )
    return statement(f"""
        SELECT metric_id, points, lowest_step, highest_step, first_arrival, last_arrival, {columns}, pyramid
        FROM (
            SELECT metric_chunk.*, {_SERVED} AS is_served FROM metric_chunk
            WHERE metric_id {IDS[dialect_name]} AND lowest_step <= CAST(:last_step AS bigint)
                AND highest_step >= CAST(:first_step AS bigint)
        ) AS met ORDER BY metric_id, first_arrival""")
