"""SQLite: aiosqlite's connections for reading, and one connection that writes, each with a thread of its own."""

from __future__ import annotations

import asyncio
import datetime
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar, cast

import aiosqlite
from sqlalchemy import Connection, Dialect, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from app.db.call import Call, forget
from app.db.changes import SQLITE_CHANGE_NUMBER, SQLITE_NEXT_CHANGE
from app.db.deadline import DEADLINE, Deadline, too_late, too_slow
from app.db.options import Options
from app.db.pool import Pool
from app.db.sqlite_file import APPLICATION_ID, connect, connect_to_migrate, explained
from app.db.types import instant_text
from app.db.unit_of_work import Ending, Room, UnitOfWork

R = TypeVar("R")

# How often a statement that nobody waits for is told to stop, until it does.
_INTERRUPT_SECONDS = 0.01

# Steps of SQLite's machine after which a transaction looks at the clock: some milliseconds.
_STEPS = 100_000


class Reader:
    """A connection that cannot write, as the pool wants it."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection
        self.is_closed = False

    async def close(self) -> None:
        """Finish what was called, then close."""
        self.is_closed = True
        await self.connection.close()


class Writer:
    """The connection that writes, and the thread that alone uses it, one whole transaction at a time.

    aiosqlite would take a turn of the event loop for every statement.
    """

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self.raw = connection
        self.is_closed = False
        self._calls: SimpleQueue[Call[Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], R], abandoned: Callable[[R], None] = forget) -> asyncio.Future[R]:
        """Run `work` on the thread, after what was called before: see Call."""
        if self.is_closed:
            raise RuntimeError("The database was closed.")
        call = Call(work, abandoned)
        self._calls.put(call)
        return call.future

    async def close(self) -> None:
        """Finish what was called, then close the connection and end the thread."""
        if not self.is_closed:
            closed = self.call(self.raw.close)
            self.is_closed = True
            self._calls.put(None)
            await closed

    def _run(self) -> None:
        while call := self._calls.get():
            call.run()
            try:
                call.future.get_loop().call_soon_threadsafe(call.settle)
            except RuntimeError:  # the event loop was closed meanwhile: nobody waits any more
                return
            del call  # nothing is kept alive while it waits for the next


class SqliteUnitOfWork(UnitOfWork):
    """A transaction of the writer thread."""

    __slots__ = ("_raw",)

    def __init__(self, raw: sqlite3.Connection, connection: Connection, room: Room, viewer: Any) -> None:
        super().__init__(connection, room, viewer)
        self._raw = raw

    def admit(self, sql: str) -> None:
        super().admit(sql)
        if self._change is None and SQLITE_CHANGE_NUMBER in sql:
            self._change = self._take_change()

    def _fetch(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._raw.execute(sql, params).fetchall()

    def _take_change(self) -> int:
        [(number,)] = self._raw.execute(SQLITE_NEXT_CHANGE).fetchall()
        return int(number)


class SqliteBackend:
    """One file: `readers` connections that cannot write, and one that does, entered once per unit of work."""

    name = "sqlite"

    def __init__(self, path: str, options: Options, room: Room) -> None:
        self._path = path
        self._options = options
        self._room = room
        self._readers = Pool(self._open_reader, options.readers, options.patience)
        self._stopping: set[asyncio.Task[None]] = set()
        self._writer: Writer
        self._core: Connection
        self._current: SqliteUnitOfWork
        self._deadline: Deadline | None = None  # of the transaction that runs

    async def open(self) -> None:
        """Open the writer."""
        # The only place where instants could slip into the driver unseen: `fetch` with a datetime among its parameters.
        sqlite3.register_adapter(datetime.datetime, instant_text)
        raw = await asyncio.to_thread(connect, self._path, self._options)
        self._writer = Writer(raw, "sqlite-writer")
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool, pool_reset_on_return=None)
        self._core = await self._writer.call(engine.connect)
        event.listen(engine, "before_cursor_execute", self._admit)
        raw.create_function("change_number", 0, self._change_number)
        raw.set_progress_handler(self._is_late, _STEPS)

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect, initialised."""
        return self._core.dialect

    async def read(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows, outside any transaction of ours. Cancelling the caller interrupts the statement."""
        reader = await self._readers.acquire()
        try:
            async with asyncio.timeout(self._options.read_timeout):
                rows = cast("list[tuple[Any, ...]]", await reader.connection.execute_fetchall(sql, params))
        except (TimeoutError, asyncio.CancelledError) as error:
            stopping = asyncio.create_task(self._stop(reader))
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)
            if isinstance(error, TimeoutError):
                raise too_slow(self._options.read_timeout) from error
            raise
        except BaseException:
            self._readers.release(reader)
            raise
        self._readers.release(reader)
        return rows

    async def _stop(self, reader: Reader) -> None:
        """Give the reader back when the statement that nobody waits for is out of its way.

        One interrupt is not enough: while the statement has yet to begin, there is nothing to interrupt.
        """
        behind = asyncio.ensure_future(reader.connection.execute_fetchall("SELECT 1"))
        while not behind.done():
            await reader.connection.interrupt()
            await asyncio.wait([behind], timeout=_INTERRUPT_SECONDS)
        behind.exception()  # it may have been interrupted itself
        self._readers.release(reader)

    async def revision(self) -> str | None:
        """The revision of the schema; None if the database is empty."""
        if not await self.read("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'", ()):
            return None
        rows = await self.read("SELECT version_num FROM alembic_version", ())
        return str(rows[0][0]) if rows else None

    async def connect(self) -> sqlite3.Connection:
        """A connection beside the pool, which cannot write."""
        return await asyncio.to_thread(connect, self._path, self._options, read_only=True)

    async def foreign_version(self) -> int:
        """A number that another process's commit changes, and no commit of the writer. It waits for the writer."""
        return await self._writer.call(partial(data_version, self._writer.raw))

    async def run(
        self, work: Callable[[UnitOfWork], R], viewer: Any, abandoned: Callable[[Ending[R]], None]
    ) -> Ending[R]:
        """One attempt at a transaction, in one call on the writer thread."""
        return await self._writer.call(partial(self._attempt, work, viewer), abandoned)

    def _admit(self, _connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        self._current.admit(sql)

    def _change_number(self) -> int | None:
        return self._current.taken_change

    def _is_late(self) -> bool:
        return self._deadline is not None and self._deadline.has_passed

    def _attempt(self, work: Callable[[UnitOfWork], R], viewer: Any) -> Ending[R]:
        deadline = DEADLINE.get()
        raw = self._writer.raw
        raw.execute("BEGIN IMMEDIATE")
        self._deadline = deadline
        uow = self._current = SqliteUnitOfWork(raw, self._core, self._room, viewer)
        try:
            result = work(uow)
            uow.finish()
            raw.execute("COMMIT")
        except BaseException as error:
            self._deadline = None
            raw.rollback()
            if deadline is not None and _is_interrupted(error):
                raise too_late(deadline.seconds) from error
            raise
        finally:
            self._deadline = None
            uow.close()
        return Ending(result, uow.topics)

    def is_transient(self, error: BaseException) -> bool:
        """Whether the same transaction may succeed when it is tried again."""
        cause = _driver_error(error)
        return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF in (
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
        )

    def is_id_collision(self, error: BaseException) -> bool:
        """Whether two rows drew the same snowflake."""
        cause = _driver_error(error)
        return (
            isinstance(cause, sqlite3.IntegrityError)
            and cause.sqlite_errorcode in (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_TRIGGER)
            and str(cause).endswith(".id")
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._readers.close()
        if not self._writer.is_closed:
            await self._writer.call(self._core.close)  # SQLAlchemy keeps all that leads to what was not given back
        await self._writer.close()

    async def _open_reader(self) -> Reader:
        return Reader(await aiosqlite.Connection(partial(connect, self._path, self._options, read_only=True), 64))


def data_version(raw: sqlite3.Connection) -> int:
    """A number that a commit by any other connection changes."""
    version: int = raw.execute("PRAGMA data_version").fetchall()[0][0]
    return version


@contextmanager
def exclusive(path: str, patience: float) -> Iterator[Connection]:
    """A connection in a transaction that excludes all others, for migrations; foreign keys are checked at its end."""
    raw = connect_to_migrate(path, patience)
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool, pool_reset_on_return=None)
    try:
        with engine.connect() as connection:
            _begin_exclusive(raw, path)  # after connecting, which rolls back
            with connection.begin():
                yield connection
                if broken := raw.execute("PRAGMA foreign_key_check").fetchall():
                    raise RuntimeError(f"The migration would break {len(broken)} references, such as {broken[0]}.")
                raw.execute(f"PRAGMA application_id={APPLICATION_ID}")
    finally:
        raw.close()


def _begin_exclusive(raw: sqlite3.Connection, path: str) -> None:
    try:
        raw.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        raise explained(error, path) from error


def _is_interrupted(error: BaseException) -> bool:
    return getattr(_driver_error(error), "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT


def _driver_error(error: BaseException) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error
