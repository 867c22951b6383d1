from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.training.metrics.chunks import Chunk, encode_chunk, points_after
from app.training.metrics.columns import DamagedColumnError, encode_ints
from app.training.metrics.compaction import FULL, compact
from app.training.metrics.points import Points, join_points
from tests.training.metrics.points import PROPERTY, column, exactly, of_report, plain, reports


def small(parts: Sequence[Points]) -> list[Chunk]:
    return [encode_chunk(part, compacted=False) for part in parts]


def counted(counts: Sequence[int]) -> list[Points]:
    """Reports of so many points, with arrivals from 1."""
    ends = np.cumsum(counts)
    return [
        Points.of_report(at, np.arange(end - count, end), np.arange(count) / 3, np.arange(end - count, end) * 250)
        for at, (count, end) in enumerate(zip(counts, ends.tolist(), strict=True), start=1)
    ]


def every_point(chunks: Sequence[Chunk]) -> list[object]:
    return list(exactly(plain(chunk.points() for chunk in chunks)))


@PROPERTY
@given(reports())
def test_a_chunk_gives_its_points_back(parts: list[Points]) -> None:
    for compacted in (False, True):
        chunk = encode_chunk(join_points(parts), compacted=compacted)
        points = plain(parts)
        assert exactly(plain([chunk.points()])) == exactly(points)
        assert (chunk.min_step, chunk.max_step) == (min(p.step for p in points), max(p.step for p in points))
        assert (chunk.first_arrival, chunk.last_arrival) == (points[0].arrival, points[-1].arrival)
        assert chunk.count == len(points)
        assert (chunk.pyramid is not None) == compacted


@PROPERTY
@given(reports(max_size=30), st.integers(1, 60), st.data())
def test_compaction_loses_and_doubles_nothing_whenever_it_runs(
    parts: list[Points], full: int, data: st.DataObject
) -> None:
    chunks: list[Chunk] = []
    waiting: list[Chunk] = []
    for part in parts:
        waiting += small([part])
        if data.draw(st.booleans()):
            done, rest = compact(waiting, full)
            assert all(chunk.count >= full and chunk.pyramid is not None for chunk in done)
            assert rest is None or rest.count < full
            chunks, waiting = chunks + done, [rest] if rest else []
        for arrival in (0, data.draw(st.integers(0, int(part.arrivals[0]))), part.arrivals[0]):
            after = [point for point in plain(parts[: parts.index(part) + 1]) if point.arrival > arrival]
            assert exactly(plain(points_after(chunks + waiting, int(arrival)))) == exactly(after)
    assert every_point(chunks + waiting) == exactly(plain(parts))


def test_no_report_is_divided() -> None:
    done, rest = compact(small(counted([4_000, 10_000, 4_095, 10_000, 4_096, 5])))
    assert [(chunk.count, chunk.first_arrival, chunk.last_arrival) for chunk in done] == [
        (14_000, 1, 2),
        (14_095, 3, 4),
        (4_096, 5, 5),
    ]
    assert rest is not None
    assert (rest.count, rest.first_arrival) == (5, 6)


def test_what_is_compacted_and_full_stays_as_it_is() -> None:
    first = compact(small(counted([FULL, 10])))
    assert first.rest is not None
    again = compact([*first.full, first.rest])
    assert again.full[0] is first.full[0]
    assert again.rest == first.rest


def test_nothing_compacts_to_nothing() -> None:
    assert compact([]) == ([], None)


@pytest.mark.parametrize("order", [(0, 0), (1, 0), (0, 2, 1)])
def test_chunks_out_of_order_and_chunks_twice_are_refused(order: tuple[int, ...]) -> None:
    chunks = small(counted([3, 3, 3]))
    wrong = [chunks[at] for at in order]
    with pytest.raises(ValueError, match="follow each other by arrival"):
        compact(wrong)
    with pytest.raises(ValueError, match="follow each other by arrival"):
        list(points_after(wrong, 0))


def test_chunks_before_the_arrival_are_not_decoded() -> None:
    chunks = small(counted([3, 3]))
    chunks[0] = replace(chunks[0], steps=b"", values=b"", times=b"", arrivals=b"")
    assert [len(points) for points in points_after(chunks, 1)] == [3]
    with pytest.raises(DamagedColumnError):
        list(points_after(chunks, 0))


@pytest.mark.parametrize("name", ["steps", "arrivals"])
def test_columns_of_another_chunk_are_noticed(name: str) -> None:
    chunk = small(counted([3]))[0]
    column_of_another = encode_ints(column([7, 8, 9]))
    other = replace(chunk, steps=column_of_another) if name == "steps" else replace(chunk, arrivals=column_of_another)
    with pytest.raises(DamagedColumnError, match="A chunk of steps 0 to 2, arrivals 1 to 1 holds"):
        other.points()


def test_a_chunk_has_points() -> None:
    with pytest.raises(ValueError, match="store none"):
        encode_chunk(join_points([]), compacted=False)


def test_points_have_equal_columns_of_the_right_kind_in_order() -> None:
    steps, values = column([1, 2]), np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="here are 2 steps, 1 values, 2 times, 2 arrivals"):
        Points(steps, values[:1], steps, steps)
    with pytest.raises(ValueError, match="The steps of points are int64, not float64"):
        Points(values, values, steps, steps)
    with pytest.raises(ValueError, match="an arrival is below the one before"):
        Points(steps, values, steps, steps[::-1])
    assert len(of_report(1, [(1, 1.0, 1)])) == 1
