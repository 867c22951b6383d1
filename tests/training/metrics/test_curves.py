import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.training.metrics import curves
from app.training.metrics.chunks import Chunk, encode_chunk
from app.training.metrics.columns import DamagedColumnError
from app.training.metrics.compaction import compact
from app.training.metrics.curves import Curve, Window, read_curves
from app.training.metrics.points import Points
from tests.training.metrics.points import PROPERTY, STEPS, Point, bits, bucket_by_hand, of_report, plain, reports

Rows = list[tuple[Any, ...]]


def rows(curve: Curve) -> Rows:
    return list(
        zip(
            curve.steps.tolist(),
            bits(curve.values),
            bits(curve.minimums),
            bits(curve.maximums),
            curve.times.tolist(),
            curve.non_finite.tolist(),
            strict=True,
        )
    )


def by_hand(points: list[Point], level: int | None) -> Rows:
    if level is None:
        return [
            (point.step, *(bits([point.value]) * 3), point.time, int(not math.isfinite(point.value)))
            for point in sorted(points, key=lambda point: point.step)
        ]
    nan = bits([math.nan])[0]
    return [
        (
            bucket.index * 2**level,
            bucket.value,
            bucket.value if bucket.minimum == nan else bucket.minimum,
            bucket.value if bucket.maximum == nan else bucket.maximum,
            bucket.time,
            bucket.non_finite,
        )
        for bucket in bucket_by_hand(points, level)
    ]


def extents(series: list[list[Points]]) -> list[tuple[int, int]]:
    steps = [[point.step for point in plain(parts)] for parts in series]
    return [(min(found), max(found)) for found in steps]


def stored(parts: list[Points], full: int, still_small: int) -> list[Chunk]:
    """As it is at some moment: the last few reports have not been compacted yet."""
    small = [encode_chunk(part, compacted=False) for part in parts]
    at = max(len(small) - still_small, 0)
    done, rest = compact(small[:at], full)
    return [*done, *([rest] if rest else []), *small[at:]]


@PROPERTY
@given(
    st.lists(reports(st.one_of(st.integers(-400, 400), STEPS)), min_size=1, max_size=3),
    st.integers(2, 60),
    st.one_of(st.none(), st.integers(-400, 400), STEPS),
    st.one_of(st.none(), st.integers(-400, 400), STEPS),
    st.tuples(st.integers(1, 60), st.integers(0, 4)),
)
def test_curves_are_those_made_by_hand_however_the_points_lie_in_chunks(
    series: list[list[Points]], max_points: int, first: int | None, last: int | None, layout: tuple[int, int]
) -> None:
    window = Window.of(extents(series), max_points, first, last)
    found = read_curves([stored(parts, *layout) for parts in series], window)
    asked = [
        [p for p in plain(parts) if (first is None or p.step >= first) and (last is None or p.step <= last)]
        for parts in series
    ]
    level = None if all(len(points) <= max_points for points in asked) else window.level
    assert [curve.level for curve in found] == [level] * len(series)
    assert [curve.points for curve in found] == [len(points) for points in asked]
    assert [rows(curve) for curve in found] == [by_hand(points, level) for points in asked]
    assert all(len(curve.steps) <= max_points for curve in found)


@PROPERTY
@given(st.lists(reports(), min_size=1, max_size=1), st.integers(2, 9))
def test_what_is_merged_at_once_does_not_matter(series: list[list[Points]], max_points: int) -> None:
    window = Window.of(extents(series), max_points, None, None)
    chunks = [stored(series[0], 5, 2)]
    whole = [rows(curve) for curve in read_curves(chunks, window)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "_MERGE_AT", 1)
        patch.setattr(curves, "_PYRAMIDS_AT_ONCE", 1)
        assert [rows(curve) for curve in read_curves(chunks, window)] == whole


def run(count: int, stride: int = 1) -> list[Chunk]:
    """A run with reports of 64 points, compacted: random values, times in ms."""
    chance = np.random.default_rng(11)
    values = chance.standard_normal(count)
    times = 1_700_000_000_000 + np.cumsum(chance.exponential(300, count)).astype(np.int64)
    steps, arrivals = np.arange(count) * stride, np.arange(count) // 64
    points = Points(steps, values, times, arrivals)
    return [encode_chunk(points[at : at + 4_096], compacted=True) for at in range(0, count, 4_096)]


def test_a_stored_point_takes_at_most_12_bytes() -> None:
    chunks = run(100_000)
    assert sum(chunk.count for chunk in chunks) == 100_000
    assert all(chunk.pyramid for chunk in chunks)
    taken = sum(chunk.size for chunk in chunks) / 100_000
    assert 7 < taken <= 9.6, "12 is the promise; this is what it has been, and what is in the way of it changing unseen"


def test_a_wide_curve_reads_no_points_but_of_the_chunks_at_its_ends() -> None:
    chunks = run(100_000)
    window = Window.of([(0, 99_999)], 500, 1_000, 99_000)
    whole = read_curves([chunks], window)[0]
    assert whole.level == 8
    assert whole.points == 98_001
    bare = [
        chunk if window.needs_points(chunk) else replace(chunk, steps=b"", values=b"", times=b"", arrivals=b"")
        for chunk in chunks
    ]
    assert sum(not chunk.steps for chunk in bare) == len(chunks) - 2
    assert rows(read_curves([bare], window)[0]) == rows(whole)


def test_a_curve_finer_than_the_pyramids_reads_the_points() -> None:
    chunks = run(20_000)
    window = Window.of([(0, 19_999)], 1_000, None, None)
    assert window.level == 5
    assert all(map(window.needs_points, chunks))
    with pytest.raises(DamagedColumnError):
        read_curves([[replace(chunk, values=b"") for chunk in chunks]], window)


def test_points_are_exact_only_if_every_series_fits() -> None:
    short = [encode_chunk(of_report(1, [(0, 1.0, 5), (7, -0.0, 6)]), compacted=False)]
    long = [encode_chunk(of_report(1, [(step, 1.0, 5) for step in range(100)]), compacted=False)]
    window = Window.of([(0, 7), (0, 99)], 50, None, None)
    assert [curve.level for curve in read_curves([short, long], window)] == [1, 1]
    assert [curve.level for curve in read_curves([short], window)] == [None]
    assert rows(read_curves([short], window)[0])[1] == (7, *bits([-0.0] * 3), 6, 0)


def test_exact_points_of_one_step_stay_in_order_of_arrival() -> None:
    chunks = [encode_chunk(of_report(1, [(at % 2, float(at), at) for at in range(200)]), compacted=False)]
    curve = read_curves([chunks], Window.of([(0, 1)], 200, None, None))[0]
    assert curve.times.tolist() == [*range(0, 200, 2), *range(1, 200, 2)]


def test_a_diverged_loss_does_not_vanish() -> None:
    values = [2.0, math.nan, math.inf, math.nan, 1.0, math.inf, -math.inf, -math.inf]
    chunks = [encode_chunk(of_report(1, [(at, value, at) for at, value in enumerate(values)]), compacted=True)]
    curve = read_curves([chunks], Window.of([(0, 7)], 4, None, None))[0]
    assert curve.steps.tolist() == [0, 2, 4, 6]
    assert bits(curve.values) == bits([math.nan, math.nan, math.inf, -math.inf])
    assert bits(curve.minimums) == bits([2.0, math.nan, 1.0, -math.inf])
    assert bits(curve.maximums) == bits([2.0, math.nan, 1.0, -math.inf])
    assert curve.non_finite.tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize(("first", "last"), [(10, 5), (2**70, None), (None, -(2**70)), (1_000, 2_000)])
def test_a_range_without_points_gives_empty_curves(first: int | None, last: int | None) -> None:
    chunks = [encode_chunk(of_report(1, [(1, 1.0, 1), (9, 1.0, 1)]), compacted=False)]
    curve = read_curves([chunks], Window.of([(1, 9)], 5, first, last))[0]
    assert (curve.points, rows(curve)) == (0, [])


def test_no_series_give_no_curves_and_an_empty_one_an_empty_curve() -> None:
    window = Window.of([], 5, None, None)
    assert read_curves([], window) == []
    assert rows(read_curves([[]], window)[0]) == []
