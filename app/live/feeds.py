"""Feeds: streams of state, for subscriptions. They are pulled: slow consumers get merged batches, nothing is queued."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.live.bus import Bus

# A feed reads at most once in so many seconds, however fast others write; the first read after a pause is immediate.
PACE_SECONDS = 0.02

# A row that waits for an older transaction to end is looked for again after so many seconds, each time twice as many:
# the older one may be a long import, and a thousand feeds may wait for it.
SETTLE_SECONDS = 0.025
MAX_SETTLE_SECONDS = 0.4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What one read found after a position."""

    payload: T | None
    """What to tell the subscriber; None if there is nothing to tell."""

    cursor: tuple[int, ...]
    """The position from which the next read goes on. It never goes back, and moves on though nothing was found."""

    more: bool = False
    """There are more changes than one batch holds: read again at once."""

    unsettled: bool = False
    """There are changes that cannot be read yet, since an older transaction is still open: read again soon."""


Read = Callable[[Any], Awaitable[Batch[T]]]
"""What there is after a position, None for the beginning."""


async def feed(
    bus: Bus, topics: Sequence[str], after: tuple[int, ...] | None, read: Read[T], *, pace: float = PACE_SECONDS
) -> AsyncGenerator[T, None]:
    """Yield what `read` finds after the position `after`, then after each batch's own, for as long as it is asked.

    Every change is found at least once, whatever becomes of notifications. `read(None)` answers at once, with a payload
    that has the present cursor and no rows. The feed ends when the consumer closes it, or with whatever `read` raises:
    NOT_FOUND when what it reads is no longer visible. A publication for any of the topics wakes it, and it reads once
    in `pace` seconds at most.
    """
    position = after
    settle = SETTLE_SECONDS
    async with bus.subscribe(*topics) as wakeup:
        while True:
            not_before = time.monotonic() + pace
            batch = await read(position)
            moved, position = batch.cursor != position, batch.cursor
            if batch.payload is not None:
                yield batch.payload
            if batch.more:
                continue
            woken = await wakeup.wait(settle if batch.unsettled else None)
            settle = SETTLE_SECONDS if woken or moved else min(2 * settle, MAX_SETTLE_SECONDS)
            await asyncio.sleep(max(0.0, not_before - time.monotonic()))
