"""Compaction: many small chunks become few large ones with the same points in the same order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from app.training.metrics.chunks import Chunk, encode_chunk, in_order
from app.training.metrics.points import Points, join_points

FULL = 4_096  # points: compresses well, and decodes in half a millisecond


class Compacted(NamedTuple):
    """What replaces the given chunks: full ones, and the rest, if any, with which the next compaction begins."""

    full: list[Chunk]
    rest: Chunk | None


def compact(chunks: Iterable[Chunk], full: int = FULL) -> Compacted:
    """The chunks of one metric, in order of arrival, as compacted ones of at least `full` points each, and a rest.

    The first may be the rest of the last compaction. A compacted chunk ends with the report that fills it, since no
    report is divided: with reports of up to 10,000 points it has less than `full` + 10,000. What is compacted and full
    already stays as it is. Raises ValueError for chunks that are out of order or overlap, and DamagedColumnError.
    """
    done: list[Chunk] = []
    held: list[Points] = []
    count = 0
    for chunk in in_order(chunks):
        if not held and chunk.pyramid is not None and chunk.count >= full:
            done.append(chunk)
            continue
        held.append(chunk.points())
        count += chunk.count
        if count >= full:
            done.append(encode_chunk(join_points(held), compacted=True))
            held, count = [], 0
    return Compacted(done, encode_chunk(join_points(held), compacted=True) if held else None)
