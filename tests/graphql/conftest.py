"""The real schema, asked on each database."""

from collections.abc import AsyncIterator

import pytest

from app.db.database import Database
from app.graphql.schema import Built
from app.schema import build_schema
from tests.graphql.asking import SECRET, Asker
from tests.graphql.world import World, small
from tests.support.databases import PostgresDatabases, SqliteDatabases


@pytest.fixture(scope="session")
def built() -> Built:
    return build_schema(SECRET)


@pytest.fixture
def asker(built: Built, database: Database) -> Asker:
    """The schema over an empty database."""
    return Asker(built, database)


@pytest.fixture
async def small_book(asker: Asker) -> Asker:
    """The schema over `tests.graphql.world.small`."""
    await asker.database.transact(small().fill)
    return asker


@pytest.fixture
async def both(
    built: Built, sqlite_databases: SqliteDatabases, postgresql_databases: PostgresDatabases
) -> AsyncIterator[dict[str, Asker]]:
    """The schema over an empty database of each kind, for tests that compare them."""
    urls = [(kind, await kind.create()) for kind in (sqlite_databases, postgresql_databases)]
    opened = [await Database.open(url) for _, url in urls]
    try:
        yield {database.dialect_name: Asker(built, database) for database in opened}
    finally:
        for database in opened:
            await database.close()
        for kind, url in urls:
            await kind.remove(url)


async def fill(both: dict[str, Asker], world: World) -> None:
    """Writes a world into each database."""
    for asker in both.values():
        await asker.database.transact(world.fill)
