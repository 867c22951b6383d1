"""Points of one metric of one task, in the order in which they arrived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.training.metrics.columns import Floats, Ints

# A point's rank is its arrival and its place among up to 65,536 points of a chunk, in one number of 64 bits.
RANK_BITS = 16
MAX_ARRIVAL = (1 << 63 - RANK_BITS) - 1

_COLUMNS = ("steps", "values", "times", "arrivals")


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Parallel columns: each point's step, value, time (ms since 1970) and arrival.

    The arrival is the number of the report that brought it, so several points share one and it never falls. Steps and
    times may repeat and go back. Raises ValueError for columns that do not fit together.
    """

    steps: Ints
    values: Floats
    times: Ints
    arrivals: Ints

    def __post_init__(self) -> None:
        lengths = [len(getattr(self, name)) for name in _COLUMNS]
        if len(set(lengths)) > 1:
            sizes = ", ".join(f"{length:,} {name}" for length, name in zip(lengths, _COLUMNS, strict=True))
            raise ValueError(f"The columns of points need equal lengths, and here are {sizes}.")
        for name in _COLUMNS:
            dtype, wanted = getattr(self, name).dtype, np.float64 if name == "values" else np.int64
            if dtype != wanted:
                raise ValueError(f"The {name} of points are {np.dtype(wanted)}, not {dtype}.")
        if np.any(self.arrivals[1:] < self.arrivals[:-1]):
            raise ValueError("Points stand in order of arrival: here an arrival is below the one before.")
        if len(self) and not 0 <= int(self.arrivals[0]) <= int(self.arrivals[-1]) <= MAX_ARRIVAL:
            raise ValueError(
                f"Arrivals rise from 0 to 2^47: here they go from {self.arrivals[0]} to {self.arrivals[-1]}."
            )

    @classmethod
    def of_report(cls, arrival: int, steps: Ints, values: Floats, times: Ints) -> Points:
        """What one report brought of one metric."""
        return cls(steps, values, times, np.full(len(steps), arrival, np.int64))

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, which: slice | NDArray[np.bool_]) -> Points:
        """Some of them, in the same order."""
        return Points(self.steps[which], self.values[which], self.times[which], self.arrivals[which])

    def after(self, arrival: int) -> Points:
        """Those that arrived after the given one."""
        return self[int(np.searchsorted(self.arrivals, arrival, side="right")) :]

    def before(self, arrival: int) -> Points:
        """Those that arrived before the given one."""
        return self[: int(np.searchsorted(self.arrivals, arrival, side="left"))]

    def within(self, first_step: int, last_step: int) -> Points:
        """Those whose steps lie in the range, both ends included."""
        return self[(self.steps >= first_step) & (self.steps <= last_step)]


def join_points(parts: Sequence[Points]) -> Points:
    """One after the other; none gives no points."""
    if not parts:
        empty = np.empty(0, np.int64)
        return Points(empty, np.empty(0), empty, empty)
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    return Points(**columns)
