"""Reading, and opening what should not be opened."""

import asyncio
import gc
import time
import weakref
from pathlib import Path
from typing import Literal

import pytest

from app.db import Database, Options, UnitOfWork
from app.db.sqlite import Reader, SqliteBackend
from app.errors import GradbookError
from tests.db.things import add, create_tables, names, placed
from tests.support.databases import Databases
from tests.support.postgres import PostgresServer
from tests.support.proxy import way_to

# Longer than any test waits.
FOREVER = {
    "postgresql": "SELECT pg_sleep(60)",
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5e7) SELECT max(i) FROM n",
}


async def test_reads_see_what_is_committed(things: Database) -> None:
    await things.transact(add, "a")
    assert await names(things) == ["a"]
    sql = placed("SELECT name, id > ? FROM thing WHERE name = ?", things.dialect_name)
    [(name, is_positive)] = await things.read(sql, (0, "a"))
    assert (name, bool(is_positive)) == ("a", True)


async def test_rows_are_plain_tuples(things: Database) -> None:
    await things.transact(add, "a")
    rows = await things.read("SELECT name, 1 FROM thing")
    inside = await things.transact(lambda uow: uow.fetch("SELECT name, 1 FROM thing"))
    for found in (rows, inside):
        assert found == [("a", 1)]
        assert type(found[0]) is tuple


async def test_reading_cannot_write(things: Database) -> None:
    with pytest.raises(Exception, match=r"readonly database|read-only transaction"):
        await things.read("INSERT INTO thing (id, name) VALUES (1, 'x')")
    assert await names(things) == []


async def test_a_long_reader_does_not_block_the_writer(things: Database) -> None:
    reading = asyncio.create_task(things.read(FOREVER[things.dialect_name]))
    await asyncio.sleep(0.1)
    await things.transact(add, "a")
    assert await names(things) == ["a"]
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_cancelled_read_stops_and_leaves_its_connection_well(database_url: str) -> None:
    async with await Database.open(database_url, options=Options(readers=1)) as database:
        for _ in range(3):
            reading = asyncio.create_task(database.read(FOREVER[database.dialect_name]))
            await asyncio.sleep(0.1)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            before = time.monotonic()
            assert await database.read("SELECT 1") == [(1,)]
            assert time.monotonic() - before < 5, "the statement went on"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)  # PostgreSQL's driver sees to it
async def test_a_read_that_is_cancelled_before_it_begins(database_url: str) -> None:
    """While its connection's thread is busy there is nothing yet that an interrupt could stop."""
    async with await Database.open(database_url, options=Options(readers=1)) as database:
        await database.read("SELECT 1")
        assert isinstance(database.backend, SqliteBackend)
        connection = (await database.backend._readers.acquire()).connection
        await connection.create_function("wait", 0, lambda: time.sleep(0.3))
        database.backend._readers.release(Reader(connection))
        busy = asyncio.ensure_future(connection.execute_fetchall("SELECT wait()"))
        await asyncio.sleep(0.05)
        reading = asyncio.create_task(database.read(FOREVER["sqlite"]))
        await asyncio.sleep(0.05)
        reading.cancel()
        before = time.monotonic()
        assert await database.read("SELECT 1") == [(1,)]
        assert time.monotonic() - before < 3
        await asyncio.wait([busy])
        busy.exception()


async def test_many_reads_cancelled_at_any_moment(things: Database) -> None:
    """Whatever the moment, the next reader of the connection gets its own rows."""
    await things.transact(add, "a")
    sql = placed("SELECT name, ? FROM thing", things.dialect_name).replace("$1", "$1::int")

    async def read(number: int) -> None:
        assert await things.read(sql, (number,)) == [("a", number)]

    async def hurried(number: int) -> None:
        try:
            async with asyncio.timeout(number % 7 / 2_000):
                await read(number)
        except TimeoutError:
            return

    await asyncio.gather(*(hurried(number) for number in range(300)))
    await asyncio.gather(*(read(number) for number in range(100)))


async def test_a_read_that_takes_too_long_is_stopped(database_url: str) -> None:
    async with await Database.open(database_url, options=Options(read_timeout=0.2, readers=1)) as database:
        with pytest.raises(GradbookError, match=r"took longer than 0\.2 seconds") as raised:
            await database.read(FOREVER[database.dialect_name])
        assert raised.value.code == "TIMEOUT"
        assert await database.read("SELECT 1") == [(1,)]


async def test_more_readers_than_connections(database_url: str) -> None:
    async with await Database.open(database_url, options=Options(readers=2)) as database:
        found = await asyncio.gather(*(database.read("SELECT 1") for _ in range(50)))
        assert found == [[(1,)]] * 50


async def test_statements_of_any_length_are_read(things: Database) -> None:
    long = f"SELECT {' + '.join(['1'] * 900)} -- {'x' * 40_000}"
    for _ in range(2):
        assert await things.read(long) == [(900,)]


# Opening


@pytest.mark.parametrize(
    "url", ["mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "gradbook.db", "postgresql://h:port/x", ""]
)
async def test_a_url_that_names_no_database_of_ours(url: str) -> None:
    with pytest.raises(GradbookError, match="database URL") as raised:
        await Database.open(url)
    assert raised.value.code == "INVALID_INPUT"


async def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(GradbookError, match=r"no file .*none\.db: run `gradbook migrate`") as raised:
        await Database.open(f"sqlite:///{tmp_path}/none.db")
    assert raised.value.code == "DATABASE_UNAVAILABLE"
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://postgres@127.0.0.1:1/x", "x on 127.0.0.1:1 cannot be reached"),
        ("postgresql+asyncpg://postgres:secret@127.0.0.1:{port}/nowhere", 'database "nowhere" does not exist'),
        ("postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=require", "cannot be reached .*SSL"),
        ("postgresql://nobody_here:secret@127.0.0.1:{port}/postgres", 'role "nobody_here" does not exist'),
    ],
)
async def test_no_server_no_database_no_user(postgres: PostgresServer, url: str, reason: str) -> None:
    with pytest.raises(GradbookError, match=reason) as raised:
        await Database.open(url.format(port=postgres.port))
    assert raised.value.code == "DATABASE_UNAVAILABLE"
    assert "secret" not in str(raised.value)


async def test_parameters_of_libpq_are_understood(postgresql_databases: Databases) -> None:
    url = await postgresql_databases.create()
    async with await Database.open(f"{url}?sslmode=disable&application_name=elsewhere") as database:
        assert await database.read("SELECT 1") == [(1,)]
        await database.transact(lambda uow: uow.fetch("SELECT 1"))
    await postgresql_databases.remove(url)


async def test_a_read_of_a_locked_table_is_told_to_come_back(
    postgres: PostgresServer, postgresql_databases: Databases
) -> None:
    """As while somebody rewrites the table."""
    url = await postgresql_databases.create()
    async with await Database.open(url, options=Options(busy_timeout=0.2)) as database:
        await database.transact(create_tables)
        other = await postgres.connect(url.rsplit("/", 1)[1])
        async with other.transaction():
            await other.execute("LOCK TABLE thing IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(GradbookError, match=r"locked for 0\.2 seconds") as raised:
                await names(database)
            assert raised.value.code == "DATABASE_BUSY"
        await other.close()
        assert await names(database) == []
    await postgresql_databases.remove(url)


async def test_a_lost_connection_is_replaced(postgres: PostgresServer, postgresql_databases: Databases) -> None:
    """The server ends all connections: those that lie in the pools, and one in the middle of a transaction."""
    url = await postgresql_databases.create()
    attempts = 0

    def work(uow: UnitOfWork) -> str:
        nonlocal attempts
        attempts += 1
        uow.fetch("CREATE TABLE IF NOT EXISTS mark (name text)")
        uow.fetch("INSERT INTO mark VALUES ('x')")
        if attempts == 2:
            uow.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
        return "done"

    async def end_connections() -> None:
        admin = await postgres.connect()
        await admin.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", url.rsplit("/", 1)[1]
        )
        await admin.close()

    async with await Database.open(url) as database:
        assert await database.transact(work) == "done"
        await database.read("SELECT 1")
        await end_connections()
        assert await database.read("SELECT count(*) FROM mark") == [(1,)]
        assert await database.transact(work) == "done"
        assert attempts in {3, 4}, "once on the dead connection at most"
        assert await database.read("SELECT count(*) FROM mark") == [(2,)]
    await postgresql_databases.remove(url)


@pytest.mark.parametrize(("breaks", "stored"), [("before", []), ("after", ["a"])])
async def test_a_connection_lost_during_the_commit(
    postgresql_databases: Databases, breaks: Literal["before", "after"], stored: list[str]
) -> None:
    """It is not tried again, for it may be stored, and the next transaction has another connection."""
    url = await postgresql_databases.create()
    async with way_to(url) as way, await Database.open(way.url) as database:
        await database.transact(create_tables)
        way.breaks = breaks
        with pytest.raises(GradbookError, match="Look which before you send it again") as raised:
            await database.transact(add, "a")
        assert raised.value.code == "OUTCOME_UNKNOWN"
        assert await names(database) == stored
        await database.transact(add, "b")
        assert await names(database) == [*stored, "b"]
    await postgresql_databases.remove(url)


async def test_round_trips_on_postgresql(postgres: PostgresServer, postgresql_databases: Databases) -> None:
    """BEGIN, the statements, COMMIT; a read is its statement: nothing is pinged or reset."""
    url = await postgresql_databases.create()
    async with await Database.open(url) as database:

        def work(uow: UnitOfWork) -> None:
            uow.fetch("SELECT 1")
            uow.connection.exec_driver_sql("SELECT 2")

        for _ in range(3):
            await database.transact(work)
            await database.read("SELECT 3")
        await postgres.forget_statement_calls()
        for _ in range(10):
            await database.transact(work)
            await database.transact(lambda _: None)  # executes nothing, not even BEGIN
            await database.read("SELECT 3")
        calls = await postgres.statement_calls(url.rsplit("/", 1)[1])
    assert (calls.pop("BEGIN"), calls.pop("COMMIT")) == (10, 10)
    assert [("SELECT" in statement, count) for statement, count in calls.items()] == [(True, 30)]
    await postgresql_databases.remove(url)


async def test_a_closed_database_is_forgotten(database_url: str) -> None:
    async with await Database.open(database_url) as database:
        await database.transact(lambda uow: uow.fetch("SELECT 1"))
        await database.read("SELECT 1")
        backend = weakref.ref(database.backend)
    del database
    await asyncio.sleep(0)
    gc.collect()
    assert backend() is None


async def test_sqlite_connections_have_our_settings(tmp_path: Path, sqlite_databases: Databases) -> None:
    url = await sqlite_databases.create()

    def settings(uow: UnitOfWork) -> list[object]:
        return [uow.fetch(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")]

    async with await Database.open(url) as database:
        assert await database.transact(settings) == ["wal", 2, 1]
        assert await database.read("PRAGMA query_only") == [(1,)]
    async with await Database.open(url, options=Options(synchronous="NORMAL")) as database:
        assert await database.transact(settings) == ["wal", 1, 1]
    await sqlite_databases.remove(url)
