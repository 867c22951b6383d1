import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.training.metrics.buckets import Buckets, bucket_points, level_for, merge_buckets
from app.training.metrics.points import RANK_BITS, Points, join_points
from app.training.metrics.pyramid import ENTRIES, encode_pyramid, merge_pyramids, pyramid_level
from tests.training.metrics.points import INT64, PROPERTY, Bucket, bits, bucket_by_hand, of_report, plain, reports

LEVELS = st.one_of(st.integers(0, 8), st.integers(0, 63))


def plain_buckets(buckets: Buckets) -> list[Bucket]:
    columns = [
        buckets.index.tolist(),
        buckets.counts.tolist(),
        buckets.non_finite.tolist(),
        bits(buckets.minimums),
        bits(buckets.maximums),
        bits(buckets.values),
        buckets.times.tolist(),
        (buckets.ranks >> RANK_BITS).tolist(),
    ]
    return [Bucket(*row) for row in zip(*columns, strict=True)]


@PROPERTY
@given(INT64, INT64, st.integers(2, 10_000))
def test_the_grid_is_the_finest_of_which_enough_buckets_cover_the_range(one: int, two: int, max_points: int) -> None:
    first, last = min(one, two), max(one, two)
    level = level_for(first, last, max_points)
    assert last // 2**level - first // 2**level + 1 <= max_points
    assert level == 0 or last // 2 ** (level - 1) - first // 2 ** (level - 1) + 1 > max_points
    assert level <= 63


@pytest.mark.parametrize("max_points", [1, 0, -5])
def test_less_than_two_buckets_cannot_be_asked_for(max_points: int) -> None:
    with pytest.raises(ValueError, match="ask for 2 or more"):
        level_for(0, 9, max_points)


@PROPERTY
@given(reports(), LEVELS)
def test_buckets_are_those_made_one_point_at_a_time(parts: list[Points], level: int) -> None:
    assert plain_buckets(bucket_points(join_points(parts), level)) == bucket_by_hand(plain(parts), level)


@PROPERTY
@given(reports(), st.integers(0, 5), st.integers(0, 12), st.data())
def test_any_grouping_of_parts_gives_the_same_buckets(
    parts: list[Points], level: int, above: int, data: st.DataObject
) -> None:
    """Reports in any order: they are merged by arrival."""
    held = [bucket_points(part, level) for part in parts]
    held = data.draw(st.permutations(held))
    while len(held) > 1:
        at = data.draw(st.integers(0, len(held) - 2))
        size = data.draw(st.integers(2, 3))
        between = data.draw(st.integers(level, level + above))
        levels = [part.level for part in held[at : at + size]]
        held[at : at + size] = [merge_buckets(held[at : at + size], max(between, *levels))]
    assert plain_buckets(merge_buckets(held, level + above)) == bucket_by_hand(plain(parts), level + above)


@PROPERTY
@given(reports(), LEVELS)
def test_a_pyramid_serves_its_own_level_and_all_above(parts: list[Points], above: int) -> None:
    """The first half of the reports in one chunk, the others in another."""
    halves = [join_points(half) for half in (parts[: len(parts) // 2], parts[len(parts) // 2 :]) if half]
    pyramids = [encode_pyramid(half) for half in halves]
    own = max(pyramid_level(int(half.steps.min()), int(half.steps.max())) for half in halves)
    level = min(own + above, 63)
    assert plain_buckets(merge_pyramids(pyramids, level)) == bucket_by_hand(plain(parts), level)
    assert all(len(merge_pyramids([pyramid], 63)) <= 2 for pyramid in pyramids)


def test_a_pyramid_has_at_most_64_entries_and_serves_nothing_finer() -> None:
    numbers = np.arange(4_096)
    pyramid = encode_pyramid(Points(numbers, numbers / 7, numbers, numbers))
    assert pyramid_level(0, 4_095) == 6
    assert len(merge_pyramids([pyramid], 6)) == ENTRIES
    with pytest.raises(ValueError, match="level 6 stands where at most 5"):
        merge_pyramids([pyramid], 5)


def test_the_last_to_arrive_is_known_though_steps_go_back_within_a_report() -> None:
    fine = bucket_points(of_report(1, [(2, 1.0, 10), (1, 2.0, 20), (0, 3.0, 30)]), 0)
    assert merge_buckets([fine], 2).values.tolist() == [3.0]
    assert merge_buckets([fine], 2).times.tolist() == [30]


def test_more_points_than_a_chunk_has_cannot_be_ranked() -> None:
    many = Points.of_report(1, np.arange(65_537), np.zeros(65_537), np.arange(65_537))
    with pytest.raises(ValueError, match="65,537 points cannot be ranked"):
        bucket_points(many, 0)


def test_buckets_cannot_be_made_finer() -> None:
    wide = bucket_points(join_points([]), 3)
    with pytest.raises(ValueError, match="level 3 cannot be split into those of 2"):
        merge_buckets([wide], 2)
