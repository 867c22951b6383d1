"""How a process learns of what others committed: the driver connections under the bus.

PostgreSQL tells it by LISTEN and NOTIFY. SQLite tells nobody, but counts: `PRAGMA data_version`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any, NoReturn

import asyncpg

from app.db.database import Database
from app.db.postgresql import PostgresBackend
from app.db.sqlite import SqliteBackend, data_version

# Whatever is asked of a connection of ours takes microseconds; a server that does not answer in this time is away.
ANSWER_SECONDS = 5.0


class NotifyConnection:
    """A PostgreSQL connection that listens, or notifies, and does nothing else."""

    def __init__(self, raw: asyncpg.Connection[Any]) -> None:
        self._raw = raw
        self._lost = asyncio.Event()
        raw.add_termination_listener(lambda _: self._lost.set())

    @classmethod
    async def open(cls, database: Database, name: str) -> NotifyConnection:
        """Connect; `name` is the application_name that pg_stat_activity shows. Raises what the driver raises."""
        backend = database.backend
        assert isinstance(backend, PostgresBackend)
        async with asyncio.timeout(ANSWER_SECONDS):
            return cls(await backend.connect(name))

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Call `heard` in the event loop with the payload of each notification from now on."""
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._raw.add_listener(channel, lambda _connection, _pid, _channel, payload: heard(payload))

    async def notify(self, channel: str, payload: str) -> None:
        """Send at once, in a transaction of its own, which flushes nothing. A payload has at most 7,999 bytes."""
        await self._raw.execute("SELECT pg_notify($1, $2)", channel, payload, timeout=ANSWER_SECONDS)

    async def wait_until_lost(self, check_seconds: float) -> NoReturn:
        """Raise when the connection is closed, or does not answer, which is asked every `check_seconds`."""
        while not self._lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(check_seconds):
                    await self._lost.wait()
                    break
            await self._raw.fetchval("SELECT 1", timeout=ANSWER_SECONDS)
        raise ConnectionError("the server closed the connection")

    async def close(self) -> None:
        """Close it, whatever its state."""
        try:
            await self._raw.close(timeout=1)
        except Exception:  # noqa: BLE001 (asyncpg raises InternalClientError, TimeoutError and more on a broken one)
            self._raw.terminate()


class CommitWatch:
    """Sees that another process has committed to the SQLite file, in two steps.

    `data_version` of a connection changes with the commits of all other connections. So a connection of our own, which
    may be asked at any time, sees every commit; the writer, which may be busy, sees those of other processes alone.
    """

    def __init__(self, backend: SqliteBackend, connection: sqlite3.Connection, foreign: int) -> None:
        self._backend = backend
        self._connection = connection
        self._version = data_version(connection)
        self._foreign = foreign

    @classmethod
    async def open(cls, database: Database) -> CommitWatch:
        """Begin to watch: what is committed from now on is seen."""
        backend = database.backend
        assert isinstance(backend, SqliteBackend)
        return cls(backend, await backend.connect(), await backend.foreign_version())

    def any_commit(self) -> bool:
        """Whether anybody committed since the last call. It blocks for microseconds; for one thread at a time."""
        before, self._version = self._version, data_version(self._connection)
        return self._version != before

    async def foreign_commit(self) -> bool:
        """Whether another process committed since the last call that returned. It waits while the writer is at work."""
        before, self._foreign = self._foreign, await self._backend.foreign_version()
        return self._foreign != before

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
