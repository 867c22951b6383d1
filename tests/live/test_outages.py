"""PostgreSQL goes away and comes back. The clock heals nothing here: what is missed stays missed."""

import asyncio

import pytest

from app.db import Database
from app.live import Bus, open_bus
from tests.live.conftest import create_item_table
from tests.live.processes import NEVER, POLL_SECONDS, OtherProcess
from tests.live.test_changes import TOPIC, Subscriber, now, save, save_here
from tests.support.databases import PostgresDatabases
from tests.support.postgres import PostgresServer

PROMPT = 10.0


@pytest.fixture
def backend() -> str:
    return "postgresql"


async def kill(postgres: PostgresServer, database_url: str, name: str) -> int:
    """Terminate the database's connections that bear an application_name, in every process; how many there were."""
    admin = await postgres.connect()
    try:
        return len(
            await admin.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name = $2",
                database_url.rsplit("/", 1)[1],
                name,
            )
        )
    finally:
        await admin.close()


@pytest.mark.parametrize("victim", ["gradbook listen", "gradbook notify"])
async def test_nothing_is_lost_when_a_connection_is_killed(
    database: Database, database_url: str, bus: Bus, other: OtherProcess, postgres: PostgresServer, victim: str
) -> None:
    """Each round writes elsewhere around a kill; each round must be told without help from a later one."""
    subscriber = Subscriber(database, bus, await now(database))
    killed = 0
    for round_ in range(12):
        told = dict.fromkeys(range(1, 4), round_)
        following = asyncio.create_task(subscriber.follow_until_told(told))
        await other.write(save("postgresql", {1: round_}), [TOPIC])
        killing = asyncio.create_task(kill(postgres, database_url, victim))
        await other.write(save("postgresql", {2: round_}), [TOPIC])
        killed += await killing
        await other.write(save("postgresql", {3: round_}), [TOPIC])
        await following
    assert killed >= 4  # now and then it is still coming back from the last time


async def test_what_is_committed_while_nobody_listens_is_told_on_return(
    database: Database, database_url: str, bus: Bus, other: OtherProcess, postgres: PostgresServer
) -> None:
    async with bus.subscribe(TOPIC) as wakeup:
        while await wakeup.wait(0.3):
            pass
        await kill(postgres, database_url, "gradbook listen")
        assert await wakeup.wait(PROMPT)


async def test_the_bus_outlives_a_restart_of_the_server() -> None:
    """On a server of its own, which is stopped and started under two open buses."""
    with PostgresServer() as server:
        url = await PostgresDatabases(server).create()
        async with (
            await Database.open(url) as database,
            await Database.open(url) as other_database,
            open_bus(database, poll_seconds=POLL_SECONDS, heal_seconds=NEVER) as bus,
            open_bus(other_database, poll_seconds=POLL_SECONDS, heal_seconds=NEVER) as other_bus,
        ):
            await database.transact(create_item_table)
            subscriber = Subscriber(database, bus, await now(database))
            async with bus.subscribe("another topic"):  # the bus goes on listening while the feed fails
                await save_here(other_database, {1: 1}, [TOPIC])
                await subscriber.follow_until_told({1: 1})
                await asyncio.to_thread(server.stop)
                other_bus.publish([TOPIC])
                await asyncio.sleep(0.5)
                await asyncio.to_thread(server.start)
                following = asyncio.create_task(subscriber.follow_until_told({2: 2}))
                await save_here(other_database, {2: 2}, [TOPIC])
                await following
