"""What is new of a task: its points in the order in which they arrived, each once, and its state as it is now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

import orjson

from app.accounts.viewer import Viewer
from app.annotation.sql import statement
from app.db.database import Database
from app.db.statement import Statement
from app.db.types import json_text
from app.live.cursors import check_not_ahead
from app.training import scope
from app.training.metrics.chunks import Chunk, points_after
from app.training.metrics.points import join_points
from app.training.metrics.wire import values_json, whole_numbers_json
from app.training.sql import listed
from app.training.tables import TrainTask

MESSAGE_POINTS = 10_000
"""A message ends with the chunk that fills it: so it has less than that and the largest chunk's, some 24,000."""

MESSAGE_CHUNKS = 1_024

_END = 2**63 - 1


class Place(NamedTuple):
    """How far somebody has read of a task: all points of the reports before `since`.

    What does not fit into one message is read metric by metric: then `until` is above `since`, and of the reports from
    `since` up to it the points of metrics below `metric` have been read, too, and of this one those of the reports
    before `arrival`. So every chunk is decoded about once, and a reader holds no more than a message.

    `changed` is the task's change number by then: it says that the state is another one, not that it is a later one.
    """

    since: int = 0
    until: int = 0
    metric: int = 0
    arrival: int = 0
    changed: int = 0


class Arrived(NamedTuple):
    """New points of a metric; the columns are finished JSON."""

    metric: str
    steps: orjson.Fragment
    values: orjson.Fragment
    times: orjson.Fragment


class Progress(NamedTuple):
    """What is new, and from where to read on: at once, if there is `more`."""

    series: list[Arrived]
    is_news: bool
    place: Place
    more: bool


class _Row(NamedTuple):
    """A chunk, `name` and id of its metric, and of how many chunks there is something to read in all."""

    held: int
    metric_id: int
    metric: str
    chunk: Chunk


async def read_progress(
    database: Database, viewer: Viewer, task_id: int, metrics: Sequence[str] | None, place: Place
) -> Progress | None:
    """What there is after a place, of some metrics or of all; None for a task that the viewer does not see.

    One statement. Nothing is missed or doubled, though reports come in and chunks are compacted meanwhile: reports of a
    task wait for each other, so whoever sees one sees all that arrived before, and chunks keep who arrived when.
    Raises INVALID_CURSOR for a place that is ahead of the database.
    """
    is_open = place.until > place.since
    given: dict[str, Any] = {"task_id": task_id, "since": place.since, "stop": place.until if is_open else _END}
    given |= {"metric": place.metric, "arrival": place.arrival}
    given |= {"max_points": MESSAGE_POINTS, "max_chunks": MESSAGE_CHUNKS}
    if metrics is not None:
        given["metrics"] = json_text(list(metrics))
    found = _statement(database.dialect_name, viewer.kind, metrics is not None)
    rows = await database.read(*found.on(database.dialect, **given, **scope.viewer_values(viewer)))
    if not rows:
        return None
    next_arrival, changed, *_ = rows[0]
    check_not_ahead((place.until,), (next_arrival,))
    until = place.until if is_open else next_arrival
    chunks = [_Row(row[2], row[3], row[4], Chunk(*row[5:])) for row in rows if row[3] is not None]
    # Decoding takes milliseconds for a long history: meanwhile others are served.
    series = await asyncio.to_thread(_series, chunks, place, until) if chunks else []
    after = _after(chunks, place.since, until, changed)
    return Progress(series, bool(series) or changed != place.changed, after, after.since < next_arrival)


def _after(chunks: Sequence[_Row], since: int, until: int, changed: int) -> Place:
    """The place after these chunks."""
    if not chunks or chunks[0].held == len(chunks):
        return Place(until, until, changed=changed)
    last = chunks[-1]
    if last.chunk.last_arrival + 1 >= until:
        return Place(since, until, last.metric_id + 1, 0, changed)
    return Place(since, until, last.metric_id, last.chunk.last_arrival + 1, changed)


def _series(rows: Sequence[_Row], place: Place, until: int) -> list[Arrived]:
    return list(_metrics(rows, place, until))


def _metrics(rows: Sequence[_Row], place: Place, until: int) -> Iterator[Arrived]:
    """The points of each metric that arrived before `until` and are new."""
    for metric_id, group in groupby(rows, lambda row: row.metric_id):
        found = list(group)
        first = max(place.since, place.arrival) if metric_id == place.metric else place.since
        points = join_points([part.before(until) for part in points_after((row.chunk for row in found), first - 1)])
        if len(points):
            yield Arrived(
                found[0].metric,
                whole_numbers_json(points.steps),
                values_json(points.values),
                whole_numbers_json(points.times),
            )


@cache
def _statement(dialect_name: str, kind: str, is_filtered: bool) -> Statement:
    """The task with the chunks of a message, by metric and arrival; only these are read whole."""
    only = f"""AND metric_id IN (
                SELECT id FROM metric WHERE task_id = :task_id AND name {listed(dialect_name, "metrics")}
            )"""
    return statement(f"""
        WITH task AS (
            SELECT id, next_arrival, changed FROM train_task
            WHERE id = :task_id AND {scope.train_task(TrainTask.__table__, kind)}
        ), placed AS (
            SELECT metric_chunk.id, row_number() OVER placed AS place, sum(points) OVER placed - points AS before,
                count(*) OVER () AS held
            FROM task JOIN metric_chunk ON metric_chunk.task_id = task.id
            WHERE last_arrival >= :since AND first_arrival < :stop
                AND (metric_id, last_arrival) >= (:metric, :arrival) {only if is_filtered else ""}
            WINDOW placed AS (ORDER BY metric_id, first_arrival ROWS UNBOUNDED PRECEDING)
        ), page AS (SELECT id, held FROM placed WHERE place <= :max_chunks AND before < :max_points)
        SELECT next_arrival, changed, held, metric_id, name, metric_chunk.points, metric_chunk.lowest_step,
            metric_chunk.highest_step, first_arrival, last_arrival, steps, "values", times, arrivals
        FROM task LEFT JOIN page ON true LEFT JOIN metric_chunk ON metric_chunk.id = page.id
            LEFT JOIN metric ON metric.id = metric_id
        ORDER BY metric_id, first_arrival""")
