"""All points of a task as CSV: `metric,step,value,time`, by metric, each metric's in the order in which they arrived.

The file is the task at one moment: its metrics are counted, and the last report noted, in the first statement. Points
are then read some chunks at a time, after the report that was read last. The compactor exchanges chunks meanwhile, but
never parts a report, so none is lost or doubled whatever chunks it lies in by then; what arrives later is left out.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import orjson

from app.accounts.viewer import Viewer
from app.annotation.checks import listed, shown
from app.annotation.sql import statement
from app.db.database import Database
from app.db.statement import Statement
from app.errors import Code, GradbookError
from app.training import scope
from app.training.metrics.chunks import Chunk, points_after
from app.training.metrics.columns import Floats, Ints
from app.training.metrics.points import Points, join_points
from app.training.metrics.wire import wire_values
from app.training.tables import TrainTask
from app.training.task_names import TaskName, shown_name

HEADER = b"metric,step,value,time\r\n"
PAGE_CHUNKS = 256
PAGE_POINTS = 65_536  # after which no other chunk is read with them; a page is about 3 MB of text


class Series(NamedTuple):
    """A metric, and how many points there were of it."""

    metric_id: int
    name: str
    points: int


class PointExport(NamedTuple):
    """What is to be written: the points of these metrics that arrived before the report `end`."""

    task_id: int
    end: int
    series: Sequence[Series]


class IncompleteError(Exception):
    """Points that were there are gone, so the file must not seem to be complete."""


async def find_points(database: Database, viewer: Viewer, task: TaskName, metrics: Sequence[str]) -> PointExport:
    """What there is of a task, of these metrics or, if none is named, of all. Raises NOT_FOUND."""
    sql = _find(viewer.kind, isinstance(task, int))
    rows = await database.read(*sql.on(database.dialect, named=task, **scope.viewer_values(viewer)))
    if not rows:
        raise GradbookError(Code.NOT_FOUND, f"There is no training task {shown_name(task)} that you can see.")
    found = {row[3]: Series(*row[2:]) for row in rows if row[2] is not None}
    for name in metrics:
        if name not in found:
            message = f"{shown_name(task)} has no metric {shown(name)}; there is {listed(found)}."
            raise GradbookError(Code.NOT_FOUND, message)
    return PointExport(rows[0][0], rows[0][1], [one for one in found.values() if not metrics or one.name in metrics])


async def export_points(database: Database, export: PointExport) -> AsyncIterator[bytes]:
    """The file, some at a time: memory does not grow with the points. Raises IncompleteError, DamagedColumnError."""
    yield HEADER
    for series in export.series:
        after, left = -1, series.points
        while left:
            place = {"metric_id": series.metric_id, "after": after, "end": export.end}
            page = _PAGE.on(database.dialect, **place, chunks=PAGE_CHUNKS, points=PAGE_POINTS)
            rows = await database.read(*page)
            # Decoding and writing takes some 50 ms: meanwhile others are served.
            points, lines = await asyncio.to_thread(_written, series.name, rows, after, export.end)
            left -= len(points)
            if not len(points) or left < 0:
                said = f"{series.points:,} points of {shown(series.name)} of tsk_{export.task_id}"
                raise IncompleteError(f"Of {said} there are {series.points - left:,} now: was the task purged?")
            after = int(points.arrivals[-1])
            yield lines


def _written(metric: str, rows: Iterable[tuple[Any, ...]], after: int, end: int) -> tuple[Points, bytes]:
    points = join_points(list(points_after((Chunk(*row) for row in rows), after)))
    points = points[: int(np.searchsorted(points.arrivals, end))]
    return points, _lines(metric, points)


def _lines(metric: str, points: Points) -> bytes:
    columns = zip(_numbers(points.steps), _values(points.values), _numbers(points.times), strict=True)
    name = _cell(metric) + b","
    return b"".join([name + b",".join(row) + b"\r\n" for row in columns])


def _cell(text: str) -> bytes:
    """The text, in quotes where it must be."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow([text])
    return line.getvalue().removesuffix("\r\n").encode()


def _values(column: Floats) -> list[bytes]:
    """The shortest decimals that are these numbers; NaN, Infinity and -Infinity by name."""
    if np.isfinite(column).all():
        return _numbers(column)
    return orjson.dumps(wire_values(column)).replace(b'"', b"")[1:-1].split(b",")


def _numbers(column: Ints | Floats) -> list[bytes]:
    if not len(column):
        return []
    return orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


@cache
def _find(kind: str, is_number: bool) -> Statement:
    named = "train_task.id = CAST(:named AS bigint)" if is_number else "task_uuid = CAST(:named AS text)"
    return statement(f"""
        SELECT train_task.id, next_arrival, metric.id, name, points
        FROM train_task LEFT JOIN metric ON metric.task_id = train_task.id
        WHERE {named} AND {scope.train_task(TrainTask.__table__, kind)} ORDER BY name""")


# A metric's chunks follow each other by arrival, so those before the one that `after` lies in need not be looked at.
_PAGE = statement("""
    WITH page AS (
        SELECT id, points, first_arrival FROM metric_chunk
        WHERE metric_id = :metric_id AND last_arrival > CAST(:after AS bigint) AND first_arrival < CAST(:end AS bigint)
            AND first_arrival >= coalesce((
                SELECT max(first_arrival) FROM metric_chunk
                WHERE metric_id = :metric_id AND first_arrival <= CAST(:after AS bigint)), 0)
        ORDER BY first_arrival LIMIT CAST(:chunks AS bigint)
    ), placed AS (
        SELECT id, sum(points) OVER (ORDER BY first_arrival) - points AS before FROM page
    )
    SELECT metric_chunk.points, lowest_step, highest_step, metric_chunk.first_arrival, last_arrival,
        steps, "values", times, arrivals
    FROM placed JOIN metric_chunk ON metric_chunk.id = placed.id
    WHERE before < CAST(:points AS bigint) ORDER BY metric_chunk.first_arrival""")
