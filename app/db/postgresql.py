"""PostgreSQL: a pool of asyncpg connections that read, and one of connections that write."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import URL, Connection, Dialect, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_, greenlet_spawn

from app.db.call import Call
from app.db.changes import POSTGRESQL_CHANGE_NUMBER
from app.db.deadline import DEADLINE, too_late, too_slow
from app.db.options import Options
from app.db.pool import Pool
from app.db.unit_of_work import Ending, Room, UnitOfWork
from app.db.url import shown
from app.errors import Code, GradbookError

R = TypeVar("R")

# Prepared statements that a connection keeps. One of them may be of any length: a deep query compiles to more than the
# driver's default limit of 15 KB.
_CACHED_STATEMENTS = 500

_CONNECT_SECONDS = 10

# Trying again may help: serialization failure, deadlock, no lock in time; and plans that a migration made stale.
_TRANSIENT = frozenset({"40001", "40P01", "55P03"})
_STALE = asyncpg.InvalidCachedStatementError | asyncpg.OutdatedSchemaCacheError


class ConnectionLostError(Exception):
    """The connection ended before a commit was asked for, so nothing was written."""


class Reader:
    """A connection that cannot write."""

    __slots__ = ("raw",)

    def __init__(self, raw: asyncpg.Connection[Any]) -> None:
        self.raw = raw

    @property
    def is_closed(self) -> bool:
        return bool(self.raw.is_closed())

    async def close(self) -> None:
        await self.raw.close()


class Writer:
    """A connection that writes, with SQLAlchemy's view of it, and a greenlet that alone uses it.

    In the greenlet synchronous code can wait for the server while other tasks run. It lives as long as the connection:
    to make one for each transaction costs as much as a statement. SQLAlchemy begins and commits nothing here: we do.
    """

    def __init__(self, core: AsyncConnection, raw: asyncpg.Connection[Any]) -> None:
        assert core.sync_connection is not None
        self._core = core
        self.core: Connection = core.sync_connection
        self.info = self.core.info  # lets the guard find the unit of work of a connection
        self.raw = raw
        self._calls: deque[Call[Any] | None] = deque()
        self._called: asyncio.Future[None] | None = None
        self._task = asyncio.create_task(greenlet_spawn(self._serve))

    @property
    def is_closed(self) -> bool:
        return bool(self.raw.is_closed()) or self.core.closed or self.core.invalidated

    def call(self, work: Callable[[], R], abandoned: Callable[[R], None]) -> asyncio.Future[R]:
        """Run `work` in the greenlet, after what was called before: see Call."""
        call = Call(work, abandoned)
        self._add(call)
        return call.future

    async def close(self) -> None:
        """Finish what was called, then end the greenlet and close the connection."""
        self._add(None)
        await self._task
        await self._core.close()

    def _add(self, call: Call[Any] | None) -> None:
        self._calls.append(call)
        if self._called is not None and not self._called.done():
            self._called.set_result(None)

    def _serve(self) -> None:
        while call := await_(self._next_call()):
            call.run()
            call.settle()
            del call  # nothing is kept alive while it waits for the next

    async def _next_call(self) -> Call[Any] | None:
        while not self._calls:
            self._called = asyncio.get_running_loop().create_future()
            await self._called
        return self._calls.popleft()


class PostgresUnitOfWork(UnitOfWork):
    """A transaction of a writer. It begins with its first statement, so to refuse input costs nothing."""

    __slots__ = ("_raw", "has_begun")

    def __init__(self, writer: Writer, room: Room, viewer: Any) -> None:
        super().__init__(writer.core, room, viewer)
        self._raw = writer.raw
        self.has_begun = False

    def admit(self, sql: str) -> None:
        super().admit(sql)
        if not self.has_begun:
            await_(self._raw.execute("BEGIN"))
            self.has_begun = True

    def _fetch(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await_(self._raw.fetch(sql, *params))]

    def _take_change(self) -> int:
        [(number,)] = self._fetch(f"SELECT {POSTGRESQL_CHANGE_NUMBER}", ())
        return int(number)


class PostgresBackend:
    """One database on a server: up to `readers` and `writers` connections, made when needed."""

    name = "postgresql"

    def __init__(self, url: URL, options: Options, room: Room) -> None:
        self._url = url
        self._options = options
        self._room = room
        # AUTOCOMMIT: SQLAlchemy sends no BEGIN and no COMMIT of its own. JSON comes as text, as on the raw readers.
        self._engine: AsyncEngine = create_async_engine(
            url,
            async_creator=self.connect,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            json_deserializer=str,
        )
        event.listen(self._engine.sync_engine, "before_cursor_execute", _admit)
        self._readers = Pool(self._open_reader, options.readers, options.patience)
        self._writers = Pool(self._open_writer, options.writers, options.patience)

    async def open(self) -> None:
        """Reach the server."""
        writer = await self._writers.acquire()
        self._writers.release(writer)
        version = writer.raw.get_server_version()
        if version.major < 15:
            await self.close()
            raise GradbookError(
                Code.DATABASE_UNAVAILABLE,
                f"The PostgreSQL server of {shown(self._url)} is version {version.major}; Gradbook needs 15 or newer.",
            )

    async def revision(self) -> str | None:
        """The revision of the schema; None if the database is empty. Raises DATABASE_MISMATCH if it is not ours."""
        [(has_revision, tables)] = await self.read(
            "SELECT to_regclass('alembic_version') IS NOT NULL,"
            " ARRAY(SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1 LIMIT 3)",
            (),
        )
        if has_revision:
            rows = await self.read("SELECT version_num FROM alembic_version", ())
            return str(rows[0][0]) if rows else None
        if tables:
            raise GradbookError(
                Code.DATABASE_MISMATCH,
                f"The database {shown(self._url)} is another program's (it has tables such as {', '.join(tables)}): it "
                "was left as it is. Give Gradbook a database of its own.",
            )
        return None

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's dialect, initialised."""
        return self._engine.dialect

    async def read(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows, in one round trip. Cancelling the caller cancels the statement at the server."""
        try:
            return await self._read(sql, params)
        except ConnectionLostError:  # the server was restarted while the connection lay in the pool, say
            return await self._read(sql, params)

    async def _read(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        reader = await self._readers.acquire()
        try:
            return [tuple(row) for row in await reader.raw.fetch(sql, *params)]
        except asyncpg.QueryCanceledError as error:
            raise too_slow(self._options.read_timeout) from error
        except asyncpg.LockNotAvailableError as error:  # somebody changes the table, or rewrites it
            message = f"Others kept the tables locked for {self._options.busy_timeout:g} seconds; try again."
            raise GradbookError(Code.DATABASE_BUSY, message) from error
        except Exception as error:
            if reader.is_closed:
                raise ConnectionLostError(shown(self._url)) from error
            raise
        finally:
            self._readers.release(reader)

    async def run(
        self, work: Callable[[UnitOfWork], R], viewer: Any, abandoned: Callable[[Ending[R]], None]
    ) -> Ending[R]:
        """One attempt at a transaction, on a writer of its own."""
        writer = await self._writers.acquire()
        try:
            return await writer.call(partial(self._attempt, writer, work, viewer), abandoned)
        finally:
            self._writers.release(writer)

    def _attempt(self, writer: Writer, work: Callable[[UnitOfWork], R], viewer: Any) -> Ending[R]:
        uow = writer.info["uow"] = PostgresUnitOfWork(writer, self._room, viewer)
        try:
            result = work(uow)
            uow.finish()
        except BaseException as error:
            if writer.is_closed:
                raise ConnectionLostError(shown(self._url)) from error
            if uow.has_begun:
                await_(writer.raw.execute("ROLLBACK"))
            self._check_time(error)
            raise
        finally:
            uow.close()
        if uow.has_begun:
            try:
                _commit(writer.raw)
            except asyncpg.QueryCanceledError as error:
                self._check_time(error)
                raise
        return Ending(result, uow.topics)

    def _check_time(self, error: BaseException) -> None:
        """Raise TIMEOUT for a statement that the server stopped."""
        if isinstance(_driver_error(error), asyncpg.QueryCanceledError):
            deadline = DEADLINE.get()
            raise too_late(deadline.seconds if deadline else self._options.write_timeout or 0) from error

    def is_transient(self, error: BaseException) -> bool:
        """Whether the same transaction may succeed when it is tried again."""
        cause = _driver_error(error)
        return getattr(cause, "sqlstate", None) in _TRANSIENT or isinstance(cause, _STALE | ConnectionLostError)

    def is_id_collision(self, error: BaseException) -> bool:
        """Whether two rows drew the same snowflake."""
        cause = _driver_error(error)
        return isinstance(cause, asyncpg.UniqueViolationError) and str(cause.detail).startswith("Key (id)=")

    async def close(self) -> None:
        """Close all connections."""
        await self._readers.close()
        await self._writers.close()
        await self._engine.dispose()

    async def connect(self, name: str = "gradbook", *, read_only: bool = False) -> asyncpg.Connection[Any]:
        """A connection beside the pools; `name` is how pg_stat_activity shows it. Raises DATABASE_UNAVAILABLE."""
        timeout = self._options.read_timeout if read_only else self._options.write_timeout or 0
        settings = {
            "application_name": name,
            "jit": "off",  # compiling a plan costs more than any of our statements
            # Reads are planned once per connection: PostgreSQL takes an unknown LIMIT for a tenth of the table, and so
            # would plan a page each time, which costs more than reading it. Batches of writes vary too much in size.
            "plan_cache_mode": "force_generic_plan" if read_only else "auto",
            "TimeZone": "UTC",
            "default_transaction_isolation": "read committed",
            "default_transaction_read_only": "on" if read_only else "off",
            "statement_timeout": str(round(timeout * 1000)),
            # Of a process that was frozen, or is out of reach: its locks would hold up all others.
            "idle_in_transaction_session_timeout": str(round(timeout * 1000)),
            "lock_timeout": str(round(self._options.busy_timeout * 1000)),
        }
        try:
            return await asyncpg.connect(
                _dsn(self._url),
                timeout=_CONNECT_SECONDS,
                server_settings=settings,
                statement_cache_size=_CACHED_STATEMENTS,
                max_cached_statement_lifetime=0,
                max_cacheable_statement_size=0,
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise GradbookError(
                Code.DATABASE_UNAVAILABLE,
                f"The PostgreSQL database {shown(self._url)} cannot be reached ({error or type(error).__name__}). Does "
                "the server run, and are host, port, user, password and database right?",
            ) from error

    async def _open_reader(self) -> Reader:
        return Reader(await self.connect(read_only=True))

    async def _open_writer(self) -> Writer:
        core = await self._engine.connect()
        return Writer(core, (await core.get_raw_connection()).driver_connection)


def _dsn(url: URL) -> str:
    # A text, for as such the driver takes all of libpq's parameters; `ssl` is sslmode in a URL of SQLAlchemy's.
    query = {"sslmode" if name == "ssl" else name: value for name, value in url.query.items()}
    return url.set(drivername="postgresql", query=query).render_as_string(hide_password=False)


def _commit(raw: asyncpg.Connection[Any]) -> None:
    try:
        answer = await_(raw.execute("COMMIT"))
    except Exception as error:
        if not raw.is_closed():
            raise
        if isinstance(error.__cause__, asyncpg.IdleInTransactionSessionTimeoutError):  # it had been ended before
            raise ConnectionLostError from error
        raise GradbookError(Code.OUTCOME_UNKNOWN, Code.OUTCOME_UNKNOWN.description) from error
    # After an error that the function swallowed, PostgreSQL answers COMMIT with a quiet ROLLBACK.
    if answer != "COMMIT":
        raise RuntimeError("Nothing was written: a statement failed, and the function went on without a savepoint.")


def exclusive(url: URL, lock: int, work: Callable[[Connection], R]) -> R:
    """Run `work` in a transaction that holds the advisory lock, in an event loop of its own: for migrations."""

    async def run() -> R:
        engine = create_async_engine(url, async_creator=lambda: asyncpg.connect(_dsn(url)), poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
            return await connection.run_sync(work)

    return asyncio.run(run())


def _admit(connection: Connection, _cursor: Any, sql: str, *_: Any) -> None:
    connection.info["uow"].admit(sql)


def _driver_error(error: BaseException) -> BaseException | None:
    return error.driver_exception if isinstance(error, DBAPIError) else error
