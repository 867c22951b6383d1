"""A transaction ends when what asked for it must have ended: its SQL stops, and nothing of it is stored."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from app.db import Database, Options, UnitOfWork
from app.db.deadline import DEADLINE, Deadline
from app.errors import GradbookError
from tests.db.test_database import FOREVER
from tests.db.things import add, create_tables, names
from tests.support.databases import Databases

# PostgreSQL's statements have a limit of their own.
OPTIONS = Options(write_timeout=0.5, writers=1)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    token = DEADLINE.set(Deadline.after(seconds))
    try:
        yield
    finally:
        DEADLINE.reset(token)


def write_forever(uow: UnitOfWork, how: str) -> None:
    add(uow, "begun")
    sql = FOREVER[uow.dialect_name]
    uow.fetch(sql) if how == "driver" else uow.connection.execute(text(sql))


@pytest.mark.parametrize("how", ["driver", "sqlalchemy"])
async def test_a_statement_that_takes_too_long_ends(database_url: str, how: str) -> None:
    async with await Database.open(database_url, options=OPTIONS) as database:
        await database.transact(create_tables)
        with (
            within(0.5),
            pytest.raises(GradbookError, match=r"within 0\.5 seconds .* nothing of it is stored") as raised,
        ):
            await database.transact(write_forever, how)
        assert raised.value.code == "TIMEOUT"
        if database.dialect_name == "postgresql":
            running = "SELECT query FROM pg_stat_activity WHERE query LIKE '%sleep(60)' AND state = 'active'"
            assert await database.read(running) == []
        await database.transact(add, "the only writer is as good as new")
        assert await names(database) == ["the only writer is as good as new"]


async def test_many_statements_that_take_too_long_end(things: Database) -> None:
    def write(uow: UnitOfWork) -> None:
        for number in range(10_000_000):
            add(uow, str(number))

    with within(0.3), pytest.raises(GradbookError, match=r"within 0\.3 seconds"):
        await things.transact(write)
    assert await names(things) == []


async def test_who_waited_too_long_for_its_turn_does_nothing(database_url: str) -> None:
    async with await Database.open(database_url, options=Options(writers=1)) as database:
        await database.transact(create_tables)

        def block(uow: UnitOfWork) -> None:
            add(uow, "first")
            time.sleep(0.5)

        first = asyncio.create_task(database.transact(block))
        await asyncio.sleep(0)
        with within(0.2), pytest.raises(GradbookError, match=r"within 0\.2 seconds"):
            await database.transact(add, "second")
        await first
        assert await names(database) == ["first"]


async def test_without_a_deadline_it_may_take_its_time(things: Database) -> None:
    def write(uow: UnitOfWork) -> None:
        add(uow, "slow")
        time.sleep(0.3)
        add(uow, "and done")

    with within(0.1), contextlib.suppress(GradbookError):
        await things.transact(write)
    await things.transact(write)
    assert await names(things) == ["and done", "slow"]


async def test_what_a_frozen_server_holds_is_let_go(postgresql_databases: Databases) -> None:
    """The server ends it, so others go on; when the process wakes up it begins anew."""
    url = await postgresql_databases.create()
    attempts = 0

    def freeze(uow: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        add(uow, "once")
        if attempts == 1:
            time.sleep(1)  # the event loop stands still, as all of the process does

    async with await Database.open(url, options=OPTIONS) as database:
        await database.transact(create_tables)
        await database.transact(freeze)
        assert attempts == 2
        assert await names(database) == ["once"]
    await postgresql_databases.remove(url)
