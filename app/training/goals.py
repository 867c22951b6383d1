"""What is better in a metric, and when a metric was first good enough.

The extremes of chunks say which chunk of a series first reached a threshold: of each series one chunk is decoded,
however long it is.
"""

from __future__ import annotations

import asyncio
import datetime
import enum
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from app.annotation.checks import invalid
from app.annotation.sql import IDS, statement
from app.db.database import Database
from app.db.statement import Statement
from app.errors import Code, GradbookError

MAX_REACHED = 1_000
"""Series that reached a threshold, of one request: each is a chunk to read, of some 40 kB."""


class Goal(enum.Enum):
    """Which way a metric gets better."""

    MINIMIZE = "MINIMIZE"
    MAXIMIZE = "MAXIMIZE"

    def best(self, minimum: float | None, maximum: float | None) -> float | None:
        """The better of a metric's two extremes."""
        return minimum if self is Goal.MINIMIZE else maximum

    def is_reached(self, value: float | None, threshold: float) -> bool:
        """Whether a value is as good as the threshold, or better."""
        if value is None:
            return False
        return value <= threshold if self is Goal.MINIMIZE else value >= threshold


class Reached(NamedTuple):
    """The first point, by arrival, that is as good as the threshold: its step, and seconds since the task's start.

    `seconds` is never below 0, and None of a task that has no start.
    """

    step: int
    seconds: float | None


def check_threshold(metric: str | None, threshold: float | None) -> None:
    """Raises INVALID_INPUT."""
    if threshold is None:
        return
    if not math.isfinite(threshold):
        raise invalid(f"{threshold} is no threshold: write a finite number.", "threshold")
    if metric is None:
        raise invalid(f"A threshold of {threshold} for no metric: say by `metric` what is to reach it.", "threshold")


async def load_reached(
    database: Database, starts: Mapping[int, datetime.datetime | None], goal: Goal, threshold: float
) -> dict[int, Reached]:
    """When each metric, by its id and with its task's start, first reached the threshold, if it did. One statement.

    Raises LIMIT_EXCEEDED for too many.
    """
    if len(starts) > MAX_REACHED:
        message = (
            f"{len(starts):,} tasks reached {threshold}, and the points of at most {MAX_REACHED:,} are looked at:"
            " narrow `where`, or ask without a threshold."
        )
        raise GradbookError(Code.LIMIT_EXCEEDED, message, ("threshold",))
    if not starts:
        return {}
    first = _first_chunks(database.dialect_name, goal)
    rows = await database.read(*first.on(database.dialect, ids=list(starts), threshold=threshold))
    return await asyncio.to_thread(_reached, rows, starts, goal, threshold)


def instant(value: Any) -> datetime.datetime | None:
    """An Instant as the driver gives it."""
    return datetime.datetime.fromisoformat(value) if isinstance(value, str) else value


def _reached(
    rows: Sequence[tuple[Any, ...]], starts: Mapping[int, datetime.datetime | None], goal: Goal, threshold: float
) -> dict[int, Reached]:
    import numpy as np  # noqa: PLC0415 - numpy comes with the first points

    from app.training.metrics.columns import decode_floats, decode_ints  # noqa: PLC0415

    found: dict[int, Reached] = {}
    for metric_id, count, steps, values, times in rows:
        column = decode_floats(values, count)
        reached = column <= threshold if goal is Goal.MINIMIZE else column >= threshold
        at = np.flatnonzero(reached & np.isfinite(column))
        if len(at):
            first, start = int(at[0]), starts[metric_id]
            since = None if start is None else int(decode_ints(times, count)[first]) / 1000 - start.timestamp()
            seconds = None if since is None else max(round(since, 3), 0.0)
            found[metric_id] = Reached(int(decode_ints(steps, count)[first]), seconds)
    return found


@cache
def _first_chunks(dialect_name: str, goal: Goal) -> Statement:
    reached = "minimum <= CAST(:threshold AS double precision)"
    if goal is Goal.MAXIMIZE:
        reached = "maximum >= CAST(:threshold AS double precision)"
    return statement(f"""
        SELECT metric_chunk.metric_id, points, steps, "values", times
        FROM (
            SELECT metric_id, min(first_arrival) AS arrival FROM metric_chunk
            WHERE metric_id {IDS[dialect_name]} AND {reached} GROUP BY metric_id
        ) AS found
        JOIN metric_chunk ON metric_chunk.metric_id = found.metric_id AND first_arrival = arrival""")
