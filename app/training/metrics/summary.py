"""What is known of a metric without reading its points: a few numbers, kept up to date with every report."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.training.metrics.columns import Floats, Ints
from app.training.tables import ValueState


@dataclass(frozen=True, slots=True)
class Summary:
    """All points of a metric so far.

    `last` is the finite value that arrived last and `last_at` its step; `last_state` says whether a NaN or an infinity
    came after it. `minimum` and `maximum` are over the finite values, never -0.0, at the steps where they were first
    reached. All of these are None while no finite value has come. `first_step` and `last_step` are the smallest and the
    greatest step.
    """

    points: int
    non_finite: int
    last_state: ValueState
    first_step: int
    last_step: int
    last: float | None
    last_at: int | None
    minimum: float | None
    minimum_at: int | None
    maximum: float | None
    maximum_at: int | None

    @classmethod
    def of(cls, steps: Ints, values: Floats) -> Summary:
        """Of one report's points of a metric, at least one."""
        if not len(steps):
            raise ValueError("There is no summary of no points.")
        finite = np.flatnonzero(np.isfinite(values))
        last = last_at = minimum = minimum_at = maximum = maximum_at = None
        if len(finite):
            last, last_at = float(values[finite[-1]]), int(steps[finite[-1]])
            minimum, minimum_at = _extreme(np.argmin, steps, values, finite)
            maximum, maximum_at = _extreme(np.argmax, steps, values, finite)
        return cls(
            points=len(steps),
            non_finite=len(steps) - len(finite),
            last_state=_state(float(values[-1])),
            first_step=int(steps.min()),
            last_step=int(steps.max()),
            last=last,
            last_at=last_at,
            minimum=minimum,
            minimum_at=minimum_at,
            maximum=maximum,
            maximum_at=maximum_at,
        )

    def then(self, later: Summary) -> Summary:
        """Of these points and later ones. Associative, so reports may be taken together in any grouping."""
        last = self if later.last is None else later
        lower = _better(self, later, operator.gt, "minimum")
        higher = _better(self, later, operator.lt, "maximum")
        return Summary(
            points=self.points + later.points,
            non_finite=self.non_finite + later.non_finite,
            last_state=later.last_state,
            first_step=min(self.first_step, later.first_step),
            last_step=max(self.last_step, later.last_step),
            last=last.last,
            last_at=last.last_at,
            minimum=lower.minimum,
            minimum_at=lower.minimum_at,
            maximum=higher.maximum,
            maximum_at=higher.maximum_at,
        )


def _extreme(
    find: Callable[[Floats], np.intp], steps: Ints, values: Floats, finite: NDArray[np.intp]
) -> tuple[float, int]:
    at = finite[find(values[finite])]
    return float(values[at]) + 0.0, int(steps[at])


def _better(old: Summary, new: Summary, replaced: Callable[[float, float], bool], name: str) -> Summary:
    """The one whose extreme holds; the older one when they are equal."""
    before, after = getattr(old, name), getattr(new, name)
    return new if before is None or (after is not None and replaced(before, after)) else old


def _state(value: float) -> ValueState:
    if np.isfinite(value):
        return ValueState.FINITE
    return ValueState.NAN if np.isnan(value) else ValueState.INFINITE
