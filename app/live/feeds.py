"""Feeds: streams of state, for subscriptions. They are pulled: slow consumers get merged batches, nothing is queued."""

import asyncio
import contextlib
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


class Feed(Generic[T]):
    """A stream that can be read on from any position, and is shared by all for whom it is the same.

    It ends with whatever `read` raises: NOT_FOUND when what it reads is no longer visible.
    """

    def __init__(self, bus: Bus, topics: Sequence[str], start: Any, read: Read[T], pace: float) -> None:
        self.start = start
        self._bus = bus
        self._topics = topics
        self._read = read
        self._pace = pace
        self._not_before = 0.0

    async def batches(self, position: Any) -> AsyncGenerator[Batch[T], None]:
        """What every read finds after the position, then after each batch's own, for as long as it is asked."""
        settle = SETTLE_SECONDS
        async with self._bus.subscribe(*self._topics) as wakeup:
            while True:
                await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
                began = time.monotonic()
                batch = await self._read(position)
                moved, position = batch.cursor != position, batch.cursor
                self._not_before = 0.0 if batch.more else began + self._pace
                yield batch
                if not batch.more:
                    woken = await wakeup.wait(settle if batch.unsettled else None)
                    settle = SETTLE_SECONDS if woken or moved else min(2 * settle, MAX_SETTLE_SECONDS)

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        """What there is to tell, for one subscriber alone."""
        async with contextlib.aclosing(self.batches(self.start)) as batches:
            async for batch in batches:
                if batch.payload is not None:
                    yield batch.payload


def feed(
    bus: Bus, topics: Sequence[str], after: tuple[int, ...] | None, read: Read[T], *, pace: float = PACE_SECONDS
) -> Feed[T]:
    """What `read` finds after the position `after`, then after each batch's own: a subscription's resolver returns it.

    Every change is found at least once, whatever becomes of notifications. `read(None)` answers at once, with a payload
    that has the present cursor and no rows, or with what else comes first. What `read` finds depends on the position,
    the operation, its variables but `after`, and the viewer's scope, and on nothing else: subscribers for whom these
    are equal share it (app.graphql.sharing). A publication for any of the topics wakes it, and it reads once in `pace`
    seconds at most.
    """
    return Feed(bus, topics, after, read, pace)
