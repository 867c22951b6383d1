"""The bus between replicas on one PostgreSQL database."""

import asyncio
import random
import secrets
from collections.abc import Collection

import structlog

from app.db.database import Database
from app.db.notify import NotifyConnection
from app.live.bus import MemoryBus

CHANNEL = "gradbook"
EVERYTHING = "*"
"""In place of topics: they do not fit, or are not known."""

MAX_PAYLOAD_BYTES = 7_999
"""PostgreSQL refuses 8,000."""

# One NOTIFY in so many seconds: PostgreSQL delivers them in commit order, under one lock for the whole cluster.
GAP_SECONDS = 0.02
# A connection that a firewall forgot looks alive until it is used.
CHECK_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.05
MAX_RETRY_SECONDS = 3.0
FAREWELL_SECONDS = 2.0

log = structlog.get_logger(__name__)


class PostgresBus(MemoryBus):
    """One connection listens, from the first subscriber on; another notifies, from the first publication on.

    A notification is a transaction of its own after the commit: inside the writing one it would halve durable commits.
    What one process sends comes back to itself as well; that is known by the sender's name, and ignored.
    """

    def __init__(self, database: Database, *, heal_seconds: float) -> None:
        super().__init__(heal_seconds=heal_seconds)
        self._database = database
        self._name = secrets.token_hex(8)
        self._unsaid: set[str] = set()
        self._something_unsaid = asyncio.Event()
        self._anybody = asyncio.Event()
        self._closing = False

    async def start(self) -> None:
        """Start the two tasks; they connect when there is something to say or somebody to tell."""
        self._listener = asyncio.create_task(self._listen(), name="bus: listen")
        self._notifier = asyncio.create_task(self._notify(), name="bus: notify")

    async def close(self) -> None:
        """Send what is unsaid, if that is possible in 2 s, and disconnect."""
        self._closing = True
        self._something_unsaid.set()
        await asyncio.wait([self._notifier], timeout=FAREWELL_SECONDS)
        for task in (self._notifier, self._listener):
            task.cancel()
        await asyncio.wait([self._notifier, self._listener])

    def publish(self, topics: Collection[str]) -> None:
        """Wake subscribers here, and let the notifier tell the others."""
        super().publish(topics)
        self._unsaid.update(topics)
        self._something_unsaid.set()

    def _subscribed(self, anybody: bool) -> None:
        if anybody:
            self._anybody.set()

    async def _listen(self) -> None:
        await self._anybody.wait()
        retry = _Retry("listening to other processes")
        while True:
            try:
                await self._listen_until_lost(retry)
            except Exception as error:  # noqa: BLE001 (a killed connection raises more than the driver's own errors)
                await retry.after(error)

    async def _listen_until_lost(self, retry: "_Retry") -> None:
        connection = await NotifyConnection.open(self._database, "gradbook listen")
        try:
            await connection.listen(CHANNEL, self._heard)
            retry.succeeded()
            self.wake_all()  # for what was said while nobody listened
            await connection.wait_until_lost(CHECK_SECONDS)
        finally:
            await connection.close()

    def _heard(self, payload: str) -> None:
        sender, *topics = payload.split("\n")
        if sender == self._name:
            return
        if EVERYTHING in topics:
            self.wake_all()
        else:
            super().publish(topics)

    async def _notify(self) -> None:
        retry = _Retry("notifying other processes")
        while await self._have_something_to_say():
            try:
                await self._notify_until_lost(retry)
            except Exception as error:  # noqa: BLE001 (as above)
                # One word covers what was taken out and not sent, and keeps an outage from piling up topics.
                self._unsaid = {EVERYTHING}
                self._something_unsaid.set()
                await retry.after(error)

    async def _notify_until_lost(self, retry: "_Retry") -> None:
        connection = await NotifyConnection.open(self._database, "gradbook notify")
        try:
            while await self._have_something_to_say():
                topics, self._unsaid = self._unsaid, set()
                if not self._closing:
                    self._something_unsaid.clear()
                await connection.notify(CHANNEL, payload(self._name, topics))
                retry.succeeded()
                await asyncio.sleep(GAP_SECONDS)
        finally:
            await connection.close()

    async def _have_something_to_say(self) -> bool:
        """Wait for it; False when the bus closes and everything is said."""
        await self._something_unsaid.wait()
        return bool(self._unsaid)


def payload(sender: str, topics: Collection[str]) -> str:
    """The sender and the topics, a line each; EVERYTHING in their place if they do not fit."""
    text = "\n".join([sender, *sorted(topics)])
    fits = EVERYTHING not in topics and len(text.encode()) <= MAX_PAYLOAD_BYTES
    return text if fits else f"{sender}\n{EVERYTHING}"


class _Retry:
    """Pauses between attempts, each up to twice as long as the last; one line in the log for an outage and its end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0

    def succeeded(self) -> None:
        if self._failures:
            log.info("bus: back again", what=self._what, failures=self._failures)
        self._failures = 0

    async def after(self, error: Exception) -> None:
        if not self._failures:
            log.warning("bus: failed, trying again", what=self._what, error=f"{type(error).__name__}: {error}")
        pause = min(FIRST_RETRY_SECONDS * 2 ** min(self._failures, 10), MAX_RETRY_SECONDS)
        self._failures += 1
        await asyncio.sleep(pause * random.uniform(0.5, 1))
