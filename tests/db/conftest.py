import pytest

from app.db import Database
from tests.db.things import create_tables


@pytest.fixture
async def things(database: Database) -> Database:
    """A database with the table `thing`."""
    await database.transact(create_tables)
    return database
