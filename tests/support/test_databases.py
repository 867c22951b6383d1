"""The databases that tests get: migrated, fresh, and one's own."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app.accounts.tables import Workspace
from app.db.database import Database
from app.db.unit_of_work import UnitOfWork
from tests.support.databases import Databases, SqliteDatabases


@pytest.fixture
def databases(backend: str, request: pytest.FixtureRequest) -> Databases:
    made: Databases = request.getfixturevalue(f"{backend}_databases")
    return made


def add_workspace(uow: UnitOfWork) -> None:
    uow.session.add(Workspace(id=uow.new_id(), name="mine", created_at=uow.now))


async def test_a_database_is_migrated_and_nobody_elses(new_database_url: Callable[[], Awaitable[str]]) -> None:
    mine, other = await new_database_url(), await new_database_url()
    assert mine != other
    count = "SELECT count(*) FROM workspace WHERE name = 'mine'"
    async with await Database.open(mine) as database:
        await database.transact(add_workspace)
        assert await database.read(count) == [(1,)]
    async with await Database.open(other) as database:
        assert await database.read(count) == [(0,)]


async def test_a_removed_database_is_gone_though_somebody_was_connected(databases: Databases) -> None:
    url = await databases.create()
    async with await Database.open(url) as database:
        await database.read("SELECT 1")
        await databases.remove(url)
        with pytest.raises(Exception, match=r"There is no file|does not exist"):
            await Database.open(url)


async def test_sqlite_leaves_no_file_behind(tmp_path: Path) -> None:
    databases = SqliteDatabases(tmp_path)
    url = await databases.create()
    async with await Database.open(url) as database:
        await database.transact(add_workspace)
    await databases.remove(url)
    assert [path.name for path in tmp_path.iterdir()] == ["template.db"]
