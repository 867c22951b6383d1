"""The database: where it is read, and where transactions are run."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, Self, TypeVar, TypeVarTuple

from sqlalchemy import URL, Dialect
from sqlalchemy.orm import Session

from app.db import revisions
from app.db.guard import Guard, Protection
from app.db.options import Options
from app.db.postgresql import PostgresBackend
from app.db.sqlite import SqliteBackend
from app.db.unit_of_work import Ending, Room, UnitOfWork
from app.db.url import parse_url, shown
from app.errors import Code, GradbookError

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_log = logging.getLogger(__name__)

# A deadlock or a serialization failure goes away within a few milliseconds; the last pause is at most 0.64 s.
ATTEMPTS = 8
_FIRST_PAUSE = 0.005


class Backend(Protocol):
    """What differs between the databases."""

    @property
    def name(self) -> str:
        """`sqlite` or `postgresql`."""

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect."""

    async def open(self) -> None:
        """Connect."""

    async def revision(self) -> str | None:
        """The revision of the schema; None if the database is empty."""

    async def read(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement."""

    async def run(
        self, work: Callable[[UnitOfWork], R], viewer: Any, abandoned: Callable[[Ending[R]], None]
    ) -> Ending[R]:
        """One attempt at a transaction. If the caller is cancelled, it goes on, and its ending goes to `abandoned`."""

    def is_transient(self, error: BaseException) -> bool:
        """Whether another attempt may succeed."""

    def is_id_collision(self, error: BaseException) -> bool:
        """Whether two rows drew the same id."""

    async def close(self) -> None:
        """Disconnect."""


class Database:
    """An open database.

    `on_commit` is called in the event loop after each commit that published topics, with those topics. What it raises
    is logged: the write has happened.
    """

    def __init__(self, backend: Backend, room: Room, options: Options) -> None:
        self._backend = backend
        self._ids = room.ids
        self._options = options
        self._transactions = 0
        self._idle: asyncio.Event | None = None
        self.on_commit: Callable[[frozenset[str]], None] | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        options: Options = Options(),  # noqa: B008 - frozen
        protect: Iterable[Protection] = (),
        session_class: type[Session] = Session,
    ) -> Self:
        """Open a migrated database.

        `url` is `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user:password@host/database`.
        `protect` is what only marked units of work may write; `session_class` is what they have for a session, for
        those who listen to its events. Raises DATABASE_UNAVAILABLE or DATABASE_MISMATCH with what to do about it.
        """
        parsed = parse_url(url)
        room = Room(Guard(protect, parsed.get_backend_name()), session_class=session_class)
        backend = make_backend(parsed, options, room)
        await backend.open()
        try:
            revisions.check_newest(await backend.revision(), shown(parsed))
        except BaseException:
            await backend.close()
            raise
        return cls(backend, room, options)

    @property
    def backend(self) -> Backend:
        """What differs between the databases; a matter of this room."""
        return self._backend

    @property
    def dialect_name(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._backend.name

    @property
    def dialect(self) -> Dialect:
        """The dialect to compile statements for: placeholders are `?` on SQLite, `$1` on PostgreSQL."""
        return self._backend.dialect

    async def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute text with positional parameters on a connection that cannot write; one round trip, no transaction.

        Raises TIMEOUT when it takes longer than `Options.read_timeout`.
        """
        return await self._backend.read(sql, params)

    async def transact(self, fn: Callable[[UnitOfWork, *Ts], R], *args: *Ts, viewer: Any = None) -> R:
        """Run `fn(uow, *args)` in one transaction, commit, then publish.

        `fn` is synchronous and is run again as a whole after a deadlock, a serialization failure, a locked file or a
        collision of ids. What it raises rolls everything back. Once begun, the transaction runs to its end even if the
        caller is cancelled; the caller's DEADLINE ends it with TIMEOUT, on PostgreSQL between two statements, each of
        which may take `Options.write_timeout`. Raises DATABASE_BUSY after the last attempt, and OUTCOME_UNKNOWN when
        the connection was lost during the commit.
        """
        self._transactions += 1
        try:
            return await self._transact(lambda uow: fn(uow, *args), viewer)
        finally:
            self._transactions -= 1
            if self._idle is not None and not self._transactions:
                self._idle.set()

    async def _transact(self, work: Callable[[UnitOfWork], R], viewer: Any) -> R:
        give_up_at = 0.0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                ending: Ending[R] = await self._backend.run(work, viewer, self._publish)
            except Exception as error:
                now = asyncio.get_running_loop().time()
                give_up_at = give_up_at or now + self._options.busy_timeout
                last = attempt == ATTEMPTS or now > give_up_at
                if self._backend.is_id_collision(error) and not last:
                    self._ids.new_worker()
                elif not self._backend.is_transient(error):
                    raise
                elif last:
                    raise GradbookError(
                        Code.DATABASE_BUSY,
                        f"Others kept the database locked through {attempt} attempts; nothing was written, try again.",
                    ) from error
            else:
                self._publish(ending)
                return ending.result
            await asyncio.sleep(random.uniform(0, _FIRST_PAUSE * 2**attempt))
        raise AssertionError("the last attempt returns or raises")

    def _publish(self, ending: Ending[Any]) -> None:
        topics = ending.topics
        if topics and self.on_commit is not None:
            try:
                self.on_commit(topics)
            except Exception:  # noqa: BLE001 - the write is committed: it must not seem to have failed
                _log.exception("publishing %s failed", sorted(topics))

    async def close(self) -> None:
        """Let running transactions end, then disconnect."""
        if self._transactions:
            self._idle = asyncio.Event()
            await self._idle.wait()
        await self._backend.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def make_backend(url: URL, options: Options, room: Room) -> Backend:
    """The backend for a URL, not yet open."""
    if url.get_backend_name() == "sqlite":
        return SqliteBackend(str(url.database), options, room)
    return PostgresBackend(url, options, room)
