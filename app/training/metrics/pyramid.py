"""The summary of a compacted chunk, from which wide curves are read without decoding its points.

It is the chunk's buckets at the lowest level that needs at most 64 of them. As every level's buckets lie within those
of the levels above, it serves each curve of its own level or a higher one, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.training.metrics.buckets import Buckets, bucket_points, combine_buckets, level_for
from app.training.metrics.columns import DamagedColumnError, decode_table, encode_table
from app.training.metrics.points import Points

ENTRIES = 64  # about 0.5 bytes per point of a chunk of 4,096

_ROWS = 8


def pyramid_level(min_step: int, max_step: int) -> int:
    """The level of the pyramid of a chunk with these steps."""
    return level_for(min_step, max_step, ENTRIES)


def encode_pyramid(points: Points) -> bytes:
    """The summary as bytes, with its level."""
    buckets = bucket_points(points, pyramid_level(int(points.steps.min()), int(points.steps.max())))
    # Numbers that lie close to each other as differences, the first one whole: what zstd sees is mostly zeros.
    rows = [
        np.diff(buckets.index, prepend=0),
        buckets.counts,
        buckets.non_finite,
        np.diff(buckets.times, prepend=0),
        np.diff(buckets.ranks, prepend=0),
        buckets.minimums.view(np.int64),
        buckets.maximums.view(np.int64),
        buckets.values.view(np.int64),
    ]
    return encode_table(buckets.level, np.stack(rows))


def merge_pyramids(encoded: Sequence[bytes], level: int) -> Buckets:
    """The buckets of several chunks of one series, at a level not below theirs. Raises DamagedColumnError.

    All at once rather than one by one: a chart of a long run reads hundreds, of 64 entries each.
    """
    levels, tables = zip(*(decode_table(data, _ROWS) for data in encoded), strict=True)
    if max(levels) > level:
        raise DamagedColumnError(f"A pyramid of level {max(levels)} stands where at most {level} is expected.")
    counts = np.array([table.shape[1] for table in tables])
    table = np.concatenate(tables, axis=1)
    sums = np.cumsum(table[[0, 3, 4]], axis=1)
    starts = np.cumsum(counts) - counts
    index, times, ranks = sums - np.repeat(sums[:, starts] - table[[[0], [3], [4]], starts], counts, axis=1)
    minimums, maximums, values = table[5:].view(np.float64)
    return combine_buckets(
        Buckets(
            level=level,
            index=index >> (level - np.repeat(np.array(levels), counts)),
            counts=table[1],
            non_finite=table[2],
            minimums=minimums,
            maximums=maximums,
            values=values,
            times=times,
            ranks=ranks,
        )
    )
