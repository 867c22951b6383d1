"""Chunks: points as they are stored, one row each.

A *small* chunk holds one report's points of one metric, as they came. A *compacted* one holds those of many reports,
and a pyramid. No report's points of a metric lie in two chunks: so a chunk's range of arrivals is its own, chunks have
one order, and what arrived after some report is whole chunks and the rest of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from app.training.metrics.columns import (
    DamagedColumnError,
    decode_floats,
    decode_ints,
    encode_floats,
    encode_ints,
)
from app.training.metrics.points import Points
from app.training.metrics.pyramid import encode_pyramid


@dataclass(frozen=True, slots=True)
class Chunk:
    """A row: what finds it, and its encoded columns.

    `pyramid` is None for a small chunk. So is `arrivals` where all points came with one report, the `first_arrival`.
    `minimum` and `maximum` are over the finite values; readers of points leave them out.
    """

    count: int
    min_step: int
    max_step: int
    first_arrival: int
    last_arrival: int
    steps: bytes
    values: bytes
    times: bytes
    arrivals: bytes | None
    pyramid: bytes | None = None
    minimum: float | None = None
    maximum: float | None = None

    @property
    def size(self) -> int:
        """Bytes of all encoded columns together."""
        columns = (self.steps, self.values, self.times, self.arrivals or b"", self.pyramid or b"")
        return sum(map(len, columns))

    def points(self) -> Points:
        """The points, in order of arrival. Raises DamagedColumnError when they are not those that the row describes."""
        steps = decode_ints(self.steps, self.count)
        arrivals = (
            np.full(self.count, self.first_arrival, np.int64)
            if self.arrivals is None
            else decode_ints(self.arrivals, self.count)
        )
        found = int(steps.min()), int(steps.max()), int(arrivals[0]), int(arrivals[-1])
        if found != (self.min_step, self.max_step, self.first_arrival, self.last_arrival):
            raise DamagedColumnError(
                f"A chunk of steps {self.min_step} to {self.max_step}, arrivals {self.first_arrival} to "
                f"{self.last_arrival} holds steps {found[0]} to {found[1]}, arrivals {found[2]} to {found[3]}."
            )
        return Points(steps, decode_floats(self.values, self.count), decode_ints(self.times, self.count), arrivals)


def encode_chunk(points: Points, *, compacted: bool) -> Chunk:
    """The row for 1 to columns.MAX_COUNT points; a compacted one gets its pyramid."""
    if not len(points):
        raise ValueError("A chunk has points: for a report without any, store none.")
    finite = points.values[np.isfinite(points.values)] + 0.0  # as in a Summary, never -0.0
    return Chunk(
        count=len(points),
        min_step=int(points.steps.min()),
        max_step=int(points.steps.max()),
        first_arrival=int(points.arrivals[0]),
        last_arrival=int(points.arrivals[-1]),
        steps=encode_ints(points.steps),
        values=encode_floats(points.values),
        times=encode_ints(points.times),
        arrivals=encode_ints(points.arrivals) if points.arrivals[-1] != points.arrivals[0] else None,
        pyramid=encode_pyramid(points) if compacted else None,
        minimum=float(finite.min()) if len(finite) else None,
        maximum=float(finite.max()) if len(finite) else None,
    )


def in_order(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The chunks of one metric, as they come. Raises ValueError for one that begins before the last has ended."""
    before: Chunk | None = None
    for chunk in chunks:
        if before is not None and chunk.first_arrival <= before.last_arrival:
            raise ValueError(
                f"Chunks of one metric follow each other by arrival: one with arrivals {chunk.first_arrival} to "
                f"{chunk.last_arrival} cannot come after one with {before.first_arrival} to {before.last_arrival}."
            )
        before = chunk
        yield chunk


def points_after(chunks: Iterable[Chunk], arrival: int) -> Iterator[Points]:
    """The points that arrived after the given report, in order, a chunk's at a time, whether compacted or not."""
    for chunk in in_order(chunks):
        if chunk.last_arrival > arrival:
            yield chunk.points().after(arrival)
