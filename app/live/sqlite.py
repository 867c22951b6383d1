"""The bus between processes on one SQLite file."""

import asyncio
import threading

import structlog

from app.db.database import Database
from app.db.notify import CommitWatch
from app.live.bus import MemoryBus

# The writer is asked who has committed; while it is at work for longer, it is taken to have been somebody else.
WRITER_SECONDS = 0.1

log = structlog.get_logger(__name__)


class SqliteBus(MemoryBus):
    """Own commits wake their topics directly; another process's commit wakes all, since it does not say what changed.

    Others are heard only while there is a subscriber, by a thread that asks the file every `poll_seconds`: at 25 ms
    that is about 0.5 % of a core.
    """

    def __init__(self, database: Database, *, poll_seconds: float, heal_seconds: float) -> None:
        super().__init__(heal_seconds=heal_seconds)
        self._database = database
        self._poll_seconds = poll_seconds
        self._polling = threading.Event()
        self._closing = threading.Event()
        self._committed = asyncio.Event()

    async def start(self) -> None:
        """Watch the file: a commit from now on is noticed, be it before the first subscription."""
        self._watch = await CommitWatch.open(self._database)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._wake_for_others(), name="bus: other processes")
        self._thread = threading.Thread(target=self._poll, name="sqlite-bus", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """End the thread and the task."""
        self._closing.set()
        self._polling.set()
        self._task.cancel()
        await asyncio.wait([self._task])
        await asyncio.to_thread(self._thread.join)
        self._watch.close()

    def _subscribed(self, anybody: bool) -> None:
        if anybody:
            self._polling.set()
        elif not self._closing.is_set():
            self._polling.clear()

    def _poll(self) -> None:
        while self._polling.wait() and not self._closing.wait(self._poll_seconds):
            try:
                if self._watch.any_commit():
                    self._loop.call_soon_threadsafe(self._committed.set)
            except Exception:  # a full disk, say; subscribers look every `heal_seconds` in any case
                log.exception("the database file could not be asked for commits of other processes")
                self._closing.wait(self._heal_seconds)

    async def _wake_for_others(self) -> None:
        while True:
            await self._committed.wait()
            self._committed.clear()
            if await self._foreign_commit():
                self.wake_all()

    async def _foreign_commit(self) -> bool:
        try:
            async with asyncio.timeout(WRITER_SECONDS):
                return await self._watch.foreign_commit()
        except Exception as error:
            if not isinstance(error, TimeoutError):
                log.exception("the writer could not be asked for commits of other processes")
            return True  # rather look for nothing than miss something
