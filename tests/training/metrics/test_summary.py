import math
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.training.metrics.points import Points
from app.training.metrics.summary import Summary
from app.training.tables import ValueState
from tests.training.metrics.points import PROPERTY, Point, bits, plain, reports


def of(part: Points) -> Summary:
    return Summary.of(part.steps, part.values)


def by_hand(points: list[Point]) -> Summary:
    finite = [point for point in points if math.isfinite(point.value)]
    low = min(finite, key=lambda point: point.value, default=None)
    high = max(finite, key=lambda point: point.value, default=None)
    value = points[-1].value
    state = ValueState.NAN if math.isnan(value) else ValueState.INFINITE if math.isinf(value) else ValueState.FINITE
    return Summary(
        points=len(points),
        non_finite=len(points) - len(finite),
        last_state=state,
        first_step=min(point.step for point in points),
        last_step=max(point.step for point in points),
        last=finite[-1].value if finite else None,
        last_at=finite[-1].step if finite else None,
        minimum=low.value if low else None,
        minimum_at=low.step if low else None,
        maximum=high.value if high else None,
        maximum_at=high.step if high else None,
    )


@PROPERTY
@given(reports())
def test_a_summary_of_one_report_after_the_other_is_that_of_all_points(parts: list[Points]) -> None:
    assert reduce(Summary.then, map(of, parts)) == by_hand(plain(parts))


@PROPERTY
@given(reports(), st.data())
def test_any_grouping_gives_the_same_summary(parts: list[Points], data: st.DataObject) -> None:
    held = [of(part) for part in parts]
    while len(held) > 1:
        at = data.draw(st.integers(0, len(held) - 2))
        held[at : at + 2] = [held[at].then(held[at + 1])]
    assert held == [by_hand(plain(parts))]


def test_an_extreme_is_never_minus_zero_whatever_came_first() -> None:
    zeros = Summary.of(np.array([1, 2]), np.array([-0.0, 0.0]))
    assert zeros.minimum is not None
    assert zeros.maximum is not None
    assert bits([zeros.minimum, zeros.maximum]) == bits([0.0, 0.0])
    assert (zeros.minimum_at, zeros.maximum_at) == (1, 1)


def test_the_last_finite_value_stays_when_the_loss_diverges() -> None:
    diverged = Summary.of(np.array([1, 2]), np.array([0.5, 0.25])).then(
        Summary.of(np.array([3]), np.array([-math.inf]))
    )
    assert (diverged.last, diverged.last_at, diverged.last_state) == (0.25, 2, ValueState.INFINITE)
    assert (diverged.points, diverged.non_finite, diverged.last_step) == (3, 1, 3)


def test_nothing_finite_has_no_extremes() -> None:
    nothing = Summary.of(np.array([4]), np.array([math.nan]))
    assert (nothing.last, nothing.minimum, nothing.maximum_at, nothing.last_state) == (None, None, None, ValueState.NAN)


def test_no_points_have_no_summary() -> None:
    with pytest.raises(ValueError, match="no points"):
        Summary.of(np.array([], np.int64), np.array([]))
