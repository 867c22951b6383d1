"""Points for the tests: drawn ones, and what plain Python says of them."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.training.metrics.points import Points, join_points

# Shared cores are slow now and then.
PROPERTY = settings(max_examples=40, deadline=None)

INT64 = st.integers(-(2**63), 2**63 - 1)
# Few different steps, so that they repeat and go back; and now and then the ends of the range.
STEPS = st.one_of(st.integers(-40, 40), st.integers(0, 5_000), INT64)
VALUES = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf]))
TIMES = st.one_of(st.integers(1_700_000_000_000, 1_700_000_100_000), INT64)


class Point(NamedTuple):
    step: int
    value: float
    time: int
    arrival: int


def of_report(arrival: int, rows: Sequence[tuple[int, float, int]]) -> Points:
    steps, values, times = zip(*rows, strict=True)
    return Points.of_report(arrival, np.array(steps, np.int64), np.array(values, np.float64), np.array(times, np.int64))


@st.composite
def reports(draw: st.DrawFn, steps: st.SearchStrategy[int] = STEPS, max_size: int = 12) -> list[Points]:
    """Reports of one metric, in order of arrival; other metrics' reports leave gaps between the arrivals."""
    rows = st.lists(st.tuples(steps, VALUES, TIMES), min_size=1, max_size=20)
    found = draw(st.lists(st.tuples(st.integers(1, 3), rows), min_size=1, max_size=max_size))
    arrivals = np.cumsum([gap for gap, _ in found]).tolist()
    return [of_report(arrival, rows) for arrival, (_, rows) in zip(arrivals, found, strict=True)]


def plain(parts: Iterable[Points]) -> list[Point]:
    """The points as Python's own numbers."""
    points = join_points(list(parts))
    columns = (points.steps, points.values, points.times, points.arrivals)
    return [Point(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def bits(values: Iterable[float]) -> list[bytes]:
    """By which -0.0 differs from 0.0 and one NaN equals another."""
    return [struct.pack("<d", math.nan if math.isnan(value) else value) for value in values]


def exactly(points: Iterable[Point]) -> list[tuple[int, bytes, int, int]]:
    return [(point.step, bits([point.value])[0], point.time, point.arrival) for point in points]


@dataclass(frozen=True)
class Bucket:
    index: int
    count: int
    non_finite: int
    minimum: bytes
    maximum: bytes
    value: bytes
    time: int
    arrival: int


def bucket_by_hand(points: Sequence[Point], level: int) -> list[Bucket]:
    """One point at a time, in order of arrival."""
    found: dict[int, list[Point]] = {}
    for point in points:
        found.setdefault(point.step // 2**level, []).append(point)
    return [_bucket(index, found[index]) for index in sorted(found)]


def _bucket(index: int, points: list[Point]) -> Bucket:
    finite = [point.value for point in points if math.isfinite(point.value)] or [math.nan]
    low, high, value = bits([min(finite) + 0.0, max(finite) + 0.0, points[-1].value])
    non_finite = sum(not math.isfinite(point.value) for point in points)
    return Bucket(index, len(points), non_finite, low, high, value, points[-1].time, points[-1].arrival)


def column(numbers: Sequence[int] | Sequence[Sequence[int]]) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)
