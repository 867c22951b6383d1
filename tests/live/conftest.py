"""A table whose rows say when they changed, and another process that writes it."""

from collections.abc import AsyncIterator

import pytest

from app.db import Database, UnitOfWork
from app.live import Bus, open_bus
from tests.live.processes import NEVER, POLL_SECONDS, OtherProcess


def create_item_table(uow: UnitOfWork) -> None:
    uow.fetch("CREATE TABLE live_item (id bigint PRIMARY KEY, value bigint NOT NULL, changed bigint NOT NULL)")


@pytest.fixture
async def items(database: Database) -> None:
    """The table `live_item (id, value, changed)`."""
    await database.transact(create_item_table)


@pytest.fixture
async def bus(database: Database, items: None) -> AsyncIterator[Bus]:
    """The database's bus; its clock heals nothing."""
    async with open_bus(database, poll_seconds=POLL_SECONDS, heal_seconds=NEVER) as bus:
        yield bus


@pytest.fixture(scope="session")
async def other_process() -> AsyncIterator[OtherProcess]:
    process = OtherProcess()
    await process.start()
    yield process
    await process.end()


@pytest.fixture
async def other(other_process: OtherProcess, database_url: str, items: None) -> AsyncIterator[OtherProcess]:
    """Another process on the same database."""
    await other_process.open(database_url)
    yield other_process
    await other_process.close()
