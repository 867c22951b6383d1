"""Open sockets end when what they stand on ends: a revoked or expired key, a sign-out, a removed user, another role."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass

import structlog

from app.live.bus import Bus, Wakeup

ACCESS = "access"
"""The topic of every change of credentials, users and roles."""

# One look at most in so many seconds: on SQLite every foreign commit wakes everybody.
PAUSE_SECONDS = 0.1
# A socket whose other side does not answer must not hold up the others.
END_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """What an open connection stands on: the credential that was shown, and whom and which kind of viewer it meant."""

    credential_id: int
    user_id: int
    kind: str


StillValid = Callable[[Collection[Grant]], Awaitable[Collection[Grant]]]
"""Which of the grants hold as they are now; one statement."""

End = Callable[[], Awaitable[None]]


class AccessWatch:
    """All open connections of this process, each ended as soon as its grant no longer holds.

    It looks when `access` is published, in this process or another, when a connection is new (its grant may have ended
    between authentication and registration), and every `heal_seconds` of the bus, which also finds what has expired.
    """

    def __init__(self, bus: Bus, still_valid: StillValid) -> None:
        self._bus = bus
        self._still_valid = still_valid
        self._connections: dict[Grant, set[End]] = {}
        self._occupied = asyncio.Event()  # set while there is a connection; without one nothing is asked of the bus
        self._wakeup: Wakeup | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._run(), name="access watch")

    async def close(self) -> None:
        """Watch no longer. Open connections stay as they are."""
        if self._task is not None:
            tasks = {self._task, *self._ending}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    @contextlib.contextmanager
    def connection(self, grant: Grant, end: End) -> Iterator[None]:
        """Watch a connection for the length of the block; `end` is called, at most once, when the grant ends."""
        self._connections.setdefault(grant, set()).add(end)
        self._occupied.set()
        self._look()
        try:
            yield
        finally:
            self._forget(grant, end)

    def _forget(self, grant: Grant, end: End) -> None:
        ends = self._connections.get(grant, set())
        ends.discard(end)
        if not ends:
            self._take(grant)
            self._look()

    def _take(self, grant: Grant) -> set[End]:
        ends = self._connections.pop(grant, set())
        if not self._connections:
            self._occupied.clear()
        return ends

    def _look(self) -> None:
        if self._wakeup is not None:
            self._wakeup.ring()

    async def _run(self) -> None:
        while True:
            await self._occupied.wait()
            async with self._bus.subscribe(ACCESS) as self._wakeup:
                while self._connections:
                    await self._end_what_ended()
                    await asyncio.sleep(PAUSE_SECONDS)
                    await self._wakeup.wait()
            self._wakeup = None

    async def _end_what_ended(self) -> None:
        asked = frozenset(self._connections)
        try:
            ended = asked.difference(await self._still_valid(asked))
        except Exception:  # whatever the database says: the watch must outlive it
            log.exception("open connections could not be checked")
            self._look()
            return
        for grant in ended:
            for end in self._take(grant):
                log.info("connection ended: its credential no longer holds", user_id=grant.user_id)
                task = asyncio.create_task(_end(end))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)


async def _end(end: End) -> None:
    try:
        async with asyncio.timeout(END_SECONDS):
            await end()
    except Exception:  # it is gone already, most likely
        log.exception("a connection whose credential no longer holds could not be closed")
