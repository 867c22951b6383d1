"""`database_url` and `database` give every database test both databases: SQLite and a real PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from app.db.database import Database
from tests.support.databases import Databases, PostgresDatabases, SqliteDatabases
from tests.support.postgres import PostgresServer
from tests.support.traced import Count, asked, traced

BACKENDS = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The run's PostgreSQL (under xdist the worker's; it starts in 0.6 s); not durable."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgresql_databases(postgres: PostgresServer) -> PostgresDatabases:
    return PostgresDatabases(postgres)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """`sqlite` or `postgresql`: a test that asks for a database runs once on each."""
    name: str = request.param
    return name


@pytest.fixture
async def new_database_url(backend: str, request: pytest.FixtureRequest) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Makes fresh, migrated databases, for tests that need several (a hypothesis example each)."""
    databases: Databases = request.getfixturevalue(f"{backend}_databases")
    made: list[str] = []

    async def new() -> str:
        made.append(await databases.create())
        return made[-1]

    yield new
    for url in made:
        await databases.remove(url)


@pytest.fixture
async def database_url(new_database_url: Callable[[], Awaitable[str]]) -> str:
    """URL of a fresh, migrated database of the test's own."""
    return await new_database_url()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open Database on `database_url`."""
    async with await Database.open(database_url) as database:
        yield database


@pytest.fixture
def statements(backend: str, database: Database, database_url: str, request: pytest.FixtureRequest) -> Count:
    """What the database executes while something is awaited: BEGIN and COMMIT too, each row of an executemany."""
    if backend == "sqlite":

        async def on_sqlite(work: Awaitable[Any]) -> list[str]:
            async with traced(database) as seen:
                await work
                return asked(seen)

        return on_sqlite

    server: PostgresServer = request.getfixturevalue("postgres")
    name = database_url.rsplit("/", 1)[1]

    async def on_postgresql(work: Awaitable[Any]) -> list[str]:
        await server.forget_statement_calls()
        await work
        return [sql for sql, calls in (await server.statement_calls(name)).items() for _ in range(calls)]

    return on_postgresql
