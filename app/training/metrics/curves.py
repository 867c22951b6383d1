"""Curves: what a chart shows of a range of steps, read from chunks, from their pyramids where these suffice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.training.metrics.buckets import Buckets, bucket_points, level_for, merge_buckets
from app.training.metrics.chunks import Chunk, in_order
from app.training.metrics.columns import Floats, Ints
from app.training.metrics.points import Points, join_points
from app.training.metrics.pyramid import merge_pyramids, pyramid_level

# What is merged at once. They bound a reader's memory to some 30 MB, however long the run.
_PYRAMIDS_AT_ONCE = 1_024
_MERGE_AT = 1 << 17  # buckets


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One series of a chart, by ascending step; the columns have equal lengths.

    With `level` None these are the points themselves, those of one step in order of arrival. Otherwise they are
    buckets of `1 << level` steps: `steps` is where each begins, `values` and `times` are those of its point that
    arrived last, finite or not, `minimums` and `maximums` are over its finite values. Where there are none these say
    what `values` says, so a loss that diverged is seen in all three. `non_finite` counts NaN and infinities per bucket
    or point, `points` all points in the range.
    """

    level: int | None
    points: int
    steps: Ints
    values: Floats
    minimums: Floats
    maximums: Floats
    times: Ints
    non_finite: Ints


@dataclass(frozen=True, slots=True)
class Window:
    """The steps that a request shows, both ends included, and its grid. There may be no step between them."""

    first_step: int
    last_step: int
    max_points: int
    level: int

    @classmethod
    def of(
        cls, extents: Iterable[tuple[int, int]], max_points: int, from_step: int | None, to_step: int | None
    ) -> Window:
        """The window for series with the given smallest and greatest steps, all points counted.

        The extents are those of whole series, not of their part in the range: so the grid does not depend on how the
        points lie in chunks. Raises ValueError for less than 2 points.
        """
        known = list(extents)
        first = max(min((low for low, _ in known), default=1), -(2**63) if from_step is None else from_step)
        last = min(max((high for _, high in known), default=0), 2**63 - 1 if to_step is None else to_step)
        return cls(first, last, max_points, level_for(first, last, max_points))

    def needs_points(self, chunk: Chunk) -> bool:
        """Whether a chunk's columns may be read; otherwise its pyramid is all, and they may be left empty."""
        return chunk.count <= self.max_points or not self.pyramid_serves(chunk)

    def pyramid_serves(self, chunk: Chunk) -> bool:
        return (
            chunk.pyramid is not None
            and self.holds(chunk)
            and pyramid_level(chunk.min_step, chunk.max_step) <= self.level
        )

    def holds(self, chunk: Chunk) -> bool:
        return self.first_step <= chunk.min_step and chunk.max_step <= self.last_step

    def meets(self, chunk: Chunk) -> bool:
        """Whether a chunk may have points in the window."""
        return self.first_step <= chunk.max_step and chunk.min_step <= self.last_step


def read_curves(series: Sequence[Iterable[Chunk]], window: Window) -> list[Curve]:
    """A curve for each series, on one grid; the points themselves when every series has at most `max_points` of them.

    Each series is its chunks in order of arrival; those outside the window may be left out. Raises DamagedColumnError.
    """
    sources = [[_source(chunk, window) for chunk in in_order(chunks) if window.meets(chunk)] for chunks in series]
    counts = [sum(part.count if isinstance(part, Chunk) else len(part) for part in parts) for parts in sources]
    if max(counts, default=0) <= window.max_points:
        return [_exact(parts) for parts in sources]
    return [_bucketed(parts, window, count) for parts, count in zip(sources, counts, strict=True)]


def _source(chunk: Chunk, window: Window) -> Chunk | Points:
    """A chunk that lies in the window as it is; of another, its points that do."""
    return chunk if window.holds(chunk) else chunk.points().within(window.first_step, window.last_step)


def _points(part: Chunk | Points) -> Points:
    return part.points() if isinstance(part, Chunk) else part


def _exact(parts: Sequence[Chunk | Points]) -> Curve:
    points = join_points([_points(part) for part in parts])
    order = np.argsort(points.steps, kind="stable")
    values = points.values[order]
    non_finite = (~np.isfinite(values)).astype(np.int64)
    return Curve(None, len(points), points.steps[order], values, values, values, points.times[order], non_finite)


def _bucketed(parts: Sequence[Chunk | Points], window: Window, count: int) -> Curve:
    # Buckets are merged by arrival, and no two chunks share one: the order of merging is free.
    pyramids: list[bytes] = []
    partial = [bucket_points(join_points([]), window.level)]
    held = 0
    for part in parts:
        if isinstance(part, Chunk) and part.pyramid is not None and window.pyramid_serves(part):
            pyramids.append(part.pyramid)
        else:
            partial.append(bucket_points(_points(part), window.level))
            held += len(partial[-1])
        if len(pyramids) == _PYRAMIDS_AT_ONCE:
            partial.append(merge_pyramids(pyramids, window.level))
            held += len(partial[-1])
            pyramids = []
        if held > _MERGE_AT:
            partial = [merge_buckets(partial, window.level)]
            held = 0
    if pyramids:
        partial.append(merge_pyramids(pyramids, window.level))
    return _curve(merge_buckets(partial, window.level), count)


def _curve(buckets: Buckets, count: int) -> Curve:
    return Curve(
        level=buckets.level,
        points=count,
        steps=buckets.index << buckets.level,
        values=buckets.values,
        minimums=np.where(np.isnan(buckets.minimums), buckets.values, buckets.minimums),
        maximums=np.where(np.isnan(buckets.maximums), buckets.values, buckets.maximums),
        times=buckets.times,
        non_finite=buckets.non_finite,
    )
