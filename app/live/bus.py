"""The bus: after a commit, "something changed for topic T" reaches whoever waits for T, in every process.

A notification carries no data. Who is woken reads what is new after a cursor of its own, so a notification that comes
twice, late, merged with others or for nothing does no harm, and a lost one is healed by the next, or by the clock.

This module is the bus of one process. `app.live.sqlite` and `app.live.postgres` add the other processes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Protocol


class Wakeup:
    """One subscriber's bell. It rings once, however often it was pulled since the last `wait`."""

    __slots__ = ("_event", "_heal_seconds")

    def __init__(self, heal_seconds: float) -> None:
        self._event = asyncio.Event()
        self._heal_seconds = heal_seconds

    def ring(self) -> None:
        """Let the present or the next `wait` end. Call it on the event loop."""
        self._event.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """True as soon as it is time to look; False when so many seconds passed before.

        It is time to look when the bell rang since the last `wait` (or since the subscription), and after
        `heal_seconds` in any case: so a lost notification costs at most that, and subscribers, each with a clock of its
        own, do not all look at the same moment.
        """
        heals = seconds is None or seconds >= self._heal_seconds
        try:
            async with asyncio.timeout(self._heal_seconds if heals else seconds):
                await self._event.wait()
        except TimeoutError:
            # A ring in the very moment of the timeout counts.
            if not heals and not self._event.is_set():
                return False
        # Not in a `finally`: a cancelled wait leaves the ring to the next one.
        self._event.clear()
        return True


class Bus(Protocol):
    """What publishers and subscribers know. All methods belong to the event loop that `start` ran on."""

    async def start(self) -> None:
        """Begin to hear from other processes. It does not wait for them, and does not fail when they are away."""

    async def close(self) -> None:
        """Tell other processes what is still unsaid (2 s at most), and end every task, thread and connection."""

    def publish(self, topics: Collection[str]) -> None:
        """Wake whoever waits for these topics, here and elsewhere. After the commit; it neither blocks nor fails."""

    def subscribe(self, *topics: str) -> contextlib.AbstractAsyncContextManager[Wakeup]:
        """From entering on, no publication for one of `topics` is missed: enter first, then read, then wait."""


class MemoryBus:
    """The bus within one process, and the base of the others."""

    def __init__(self, *, heal_seconds: float) -> None:
        self._heal_seconds = heal_seconds
        self._wakeups: dict[str, set[Wakeup]] = {}

    async def start(self) -> None:
        """Nothing to do: there is no other process."""

    async def close(self) -> None:
        """Nothing to do: there is no other process."""

    def publish(self, topics: Collection[str]) -> None:
        """Wake whoever waits for these topics in this process."""
        for topic in topics:
            for wakeup in self._wakeups.get(topic, ()):
                wakeup.ring()

    @contextlib.asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[Wakeup]:
        """See `Bus.subscribe`."""
        wakeup = Wakeup(self._heal_seconds)
        for topic in topics:
            self._wakeups.setdefault(topic, set()).add(wakeup)
        self._subscribed(True)
        try:
            yield wakeup
        finally:
            for topic in topics:
                self._wakeups[topic].discard(wakeup)
                if not self._wakeups[topic]:
                    del self._wakeups[topic]
            if not self._wakeups:
                self._subscribed(False)

    def _subscribed(self, anybody: bool) -> None:
        """Called when a subscriber came, and when the last one left."""

    def wake_all(self) -> None:
        """Wake everybody: something changed, and it is not known for which topic."""
        for wakeups in self._wakeups.values():
            for wakeup in wakeups:
                wakeup.ring()
