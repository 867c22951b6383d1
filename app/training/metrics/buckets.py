"""Down-sampling on a grid of steps that all runs and all requests share.

A bucket is `1 << level` steps wide and begins at a multiple of that: step 0 is an edge whatever is asked, runs laid
over each other share their edges, and a bucket of one level lies within one bucket of each higher level.

Plain numpy, not tsdownsample: its buckets are equal counts of points, or need an x that never goes back. Here steps
repeat and go back, and bucketing by arrival would tear apart what belongs to one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.training.metrics.columns import Floats, Ints
from app.training.metrics.points import RANK_BITS, Points


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """The buckets of one series that have points, by ascending `index`; each array has one number per bucket.

    `minimums` and `maximums` are over the finite values, NaN where there are none, and never -0.0. `values` and `times`
    (ms since 1970) are those of the point that arrived last, finite or not. `counts` are all points, `non_finite` those
    that are NaN or infinite. `ranks` say how late the last point came: its arrival and, below that, its place among the
    points of its chunk, since steps may go back within a report too.
    """

    level: int
    index: Ints  # step >> level
    counts: Ints
    non_finite: Ints
    minimums: Floats
    maximums: Floats
    values: Floats
    times: Ints
    ranks: Ints  # arrival << RANK_BITS | place

    def __len__(self) -> int:
        return len(self.index)


def level_for(first_step: int, last_step: int, max_points: int) -> int:
    """The smallest level of which at most `max_points` (at least 2) buckets cover the steps, both ends included."""
    if max_points < 2:
        raise ValueError(f"{max_points} buckets are too few: ask for 2 or more, for steps -1 and 0 never share one.")
    level = (max(last_step - first_step, 0) // max_points).bit_length()  # no lower one does
    while (last_step >> level) - (first_step >> level) >= max_points:
        level += 1
    return level


def bucket_points(points: Points, level: int) -> Buckets:
    """The buckets of a chunk's points, or of some of them."""
    if len(points) > 1 << RANK_BITS:
        raise ValueError(
            f"{len(points):,} points cannot be ranked at once: take the at most {1 << RANK_BITS:,} of a chunk."
        )
    finite = np.isfinite(points.values)
    # + 0.0 makes -0.0 0.0: which of the two were the minimum would depend on how the points are cut into chunks.
    extremes = np.where(finite, points.values, np.nan) + 0.0
    return combine_buckets(
        Buckets(
            level=level,
            index=points.steps >> level,
            counts=np.ones(len(points), np.int64),
            non_finite=(~finite).astype(np.int64),
            minimums=extremes,
            maximums=extremes,
            values=points.values,
            times=points.times,
            ranks=points.arrivals << RANK_BITS | np.arange(len(points)),
        )
    )


def merge_buckets(parts: Sequence[Buckets], level: int) -> Buckets:
    """The buckets of several chunks of one series together, at a level not below theirs.

    Any order and any grouping of the chunks gives the same, as no two have an arrival in common.
    """
    if any(part.level > level for part in parts):
        raise ValueError(f"Buckets of level {max(part.level for part in parts)} cannot be split into those of {level}.")
    index = [part.index >> (level - part.level) for part in parts]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    return combine_buckets(Buckets(level=level, index=np.concatenate(index), **joined))


_COLUMNS = ("counts", "non_finite", "minimums", "maximums", "values", "times", "ranks")


def combine_buckets(entries: Buckets) -> Buckets:
    """One bucket for all entries of one index, of which there may be several, in any order."""
    if not len(entries):
        return entries
    index, ranks = entries.index, entries.ranks
    rises = index[1:] > index[:-1]
    if not np.all(rises | ((index[1:] == index[:-1]) & (ranks[1:] >= ranks[:-1]))):
        order = np.lexsort((ranks, index))
        reordered = {name: getattr(entries, name)[order] for name in _COLUMNS}
        entries = Buckets(level=entries.level, index=index[order], **reordered)
        rises = entries.index[1:] > entries.index[:-1]
    starts = np.flatnonzero(np.concatenate([[True], rises]))
    last = np.append(starts[1:], len(entries)) - 1
    return Buckets(
        level=entries.level,
        index=entries.index[starts],
        counts=np.add.reduceat(entries.counts, starts),
        non_finite=np.add.reduceat(entries.non_finite, starts),
        minimums=np.fmin.reduceat(entries.minimums, starts),
        maximums=np.fmax.reduceat(entries.maximums, starts),
        values=entries.values[last],
        times=entries.times[last],
        ranks=entries.ranks[last],
    )
