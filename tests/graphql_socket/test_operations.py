"""Operations that are left, that nobody reads, or that come in great numbers."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from app.db.database import Database
from app.db.options import Options
from app.graphql import socket as door
from app.graphql.bodies import SMALL
from app.graphql.socket import SocketLimits
from tests.graphql_socket.client import Client, connected, next_message, until
from tests.graphql_socket.service import Deeds, running, socket

LARGE = 250_000
# What Linux keeps at most between two sockets of one machine: 4 MiB where it is sent, 6 MiB where it is received.
BUFFERED = 10 * 1024 * 1024


@pytest.mark.parametrize(
    "query",
    [
        "subscription { silence }",
        "subscription { count }",
        f"subscription {{ texts(length: {LARGE}) }}",
        "{ forever }",
        "{ a: forever b: forever }",
    ],
)
@pytest.mark.parametrize("how", ["complete", "close", "vanish"])
async def test_what_nobody_listens_to_ends(url: str, deeds: Deeds, query: str, how: str) -> None:
    async with connected(url, init=True, slow=True) as client:
        await client.subscribe("left", query)
        await until(lambda: deeds.open == (query.count("forever") or 1))
        await leave(client, how)
        await until(lambda: deeds.open == 0)
        if how == "complete":
            await client.subscribe("well", "{ viewer }")
            *_, result, _ = await client.all_until("complete", "well")
            assert result == {"id": "well", **next_message(viewer=None)}


async def leave(client: Client, how: str) -> None:
    match how:
        case "complete":
            await client.send({"type": "complete", "id": "left"})
        case "close":
            client.connection.transport.resume_reading()
            await client.connection.close()
        case "vanish":
            client.connection.transport.abort()


async def test_what_is_left_at_once_ends_without_a_warning(url: str, deeds: Deeds) -> None:
    async with connected(url, init=True) as client:
        for query in ("{ a: forever b: forever }", "subscription { silence }", "{ forever }", "{ viewer }"):
            await client.subscribe("left", query)
            await client.send({"type": "complete", "id": "left"})
            await client.send({"type": "ping"})
            while await client.receive() != {"type": "pong"}:
                pass
        await until(lambda: deeds.open == 0)
    gc.collect()  # a coroutine that never began would warn now


async def test_nothing_is_said_about_an_operation_after_its_completion(url: str, deeds: Deeds) -> None:
    async with connected(url, init=True) as client:
        for _ in range(20):
            await client.subscribe("left", "subscription { count }")
            await client.receive()
            await client.send({"type": "complete", "id": "left"})
            # The same id again at once: what follows the answer to the ping is about the new operation alone.
            await client.send({"type": "ping"})
            await client.subscribe("left", "{ viewer }")
            while await client.receive() != {"type": "pong"}:
                pass
            assert await client.receive() == {"id": "left", **next_message(viewer=None)}
            assert await client.receive() == {"id": "left", "type": "complete"}


@pytest.fixture
async def one_reader(database_url: str) -> AsyncIterator[Database]:
    """A database that is read by one statement at a time."""
    async with await Database.open(database_url, options=Options(readers=1)) as database:
        yield database


@pytest.mark.parametrize("how", ["complete", "close", "vanish"])
@pytest.mark.parametrize("query", ["{ minutes }", "subscription { minutes }"])
async def test_leaving_ends_the_work_of_the_database(deeds: Deeds, one_reader: Database, query: str, how: str) -> None:
    async with running(socket(deeds, database=one_reader)) as url, connected(url, init=True) as client:
        await client.subscribe("left", query)
        await until(lambda: deeds.open == 1)
        await asyncio.sleep(0.1)  # the statement is under way
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await one_reader.read("SELECT 1")
        await leave(client, how)
        async with asyncio.timeout(5):
            assert await one_reader.read("SELECT 1") == [(1,)]


TWO_WRITES = "mutation { a: write(value: 1) b: write(value: 2) }"


async def test_a_mutation_goes_on_after_its_completion(url: str, deeds: Deeds) -> None:
    async with connected(url, init=True) as client:
        await client.subscribe("left", TWO_WRITES)
        await client.send({"type": "complete", "id": "left"})
        await client.subscribe("left", "{ viewer }")  # the id is free
        assert await client.receive() == {"id": "left", **next_message(viewer=None)}
        assert await client.receive() == {"id": "left", "type": "complete"}
        deeds.gate.set()
        await until(lambda: deeds.open == 0 and deeds.written == [1, 2])
        assert await client.is_well()  # and its result was not sent


@pytest.mark.parametrize("how", ["close", "vanish"])
async def test_a_mutation_goes_on_though_the_client_is_gone(url: str, deeds: Deeds, how: str) -> None:
    async with connected(url, init=True) as client:
        await client.subscribe("left", TWO_WRITES)
        await until(lambda: deeds.open == 1)
        await leave(client, how)
    await asyncio.sleep(0.05)
    deeds.gate.set()
    await until(lambda: deeds.written == [1, 2])


async def test_mutations_that_were_left_count_until_they_end(deeds: Deeds) -> None:
    async with running(socket(deeds, SocketLimits(max_operations=2))) as url, connected(url, init=True) as client:
        for name in "12":
            await client.subscribe(name, TWO_WRITES)
            await client.send({"type": "complete", "id": name})
        [refused] = await client.run("{ viewer }")
        assert refused["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        deeds.gate.set()
        await until(lambda: len(deeds.written) == 4)
        assert await client.is_well()


async def test_a_large_message_counts_until_its_operation_ends(deeds: Deeds) -> None:
    sockets = socket(deeds)
    held = sockets.admission.held
    async with running(sockets) as url, connected(url, init=True) as client:
        await client.subscribe("1", "{ forever }", variables={"unused": "x" * SMALL})
        await until(lambda: held.used > SMALL)
        await client.send({"type": "complete", "id": "1"})
        await until(lambda: held.used == 0)
        assert await client.is_well()


async def test_a_thousand_quick_cycles_leave_nothing(deeds: Deeds) -> None:
    async with running(socket(deeds, SocketLimits(max_operations=3))) as url, connected(url, init=True) as client:
        before = len(asyncio.all_tasks())
        for number in range(1000):
            query = ["subscription { silence }", "subscription { count }", "{ forever }"][number % 3]
            await client.subscribe(str(number), query)
            await client.send({"type": "complete", "id": str(number)})
        await client.subscribe("last", "{ viewer }")
        while (message := await client.receive()).get("id") != "last":
            assert message["type"] == "next"  # never an error: a new operation waits for those that are ending
        await until(lambda: deeds.open == 0)
        assert len(asyncio.all_tasks()) <= before
        gc.collect()
        assert [thing for thing in gc.get_objects() if isinstance(thing, door._Operation)] == []
    await until(lambda: len(asyncio.all_tasks()) < before)
    gc.collect()
    assert [thing for thing in gc.get_objects() if isinstance(thing, door._Connection)] == []


async def test_a_client_that_does_not_read_holds_one_result_per_operation(url: str, deeds: Deeds) -> None:
    streams = 5
    async with connected(url, init=True, max_queue=1) as client:
        for number in range(streams):
            await client.subscribe(str(number), f"subscription {{ texts(length: {LARGE}) }}")
        await until(lambda: deeds.given > streams)
        await asyncio.sleep(0.3)
        given = deeds.given
        await asyncio.sleep(0.3)
        assert deeds.given == given
        assert given * LARGE < BUFFERED + 2 * streams * LARGE
        seen = {str(number): 0 for number in range(streams)}
        for _ in range(given + 10 * streams):
            message = await client.receive()
            seen[message["id"]] += 1
            assert message["payload"]["data"]["texts"].startswith(f"{seen[message['id']]}x")  # no hole, no double
        assert min(seen.values()) >= 10  # all get their turn


async def test_a_client_that_answers_pings_stays_and_others_do_not(deeds: Deeds) -> None:
    limits = SocketLimits(ping_seconds=0.05, pong_seconds=0.1)
    async with (
        running(socket(deeds, limits)) as url,
        connected(url) as dead,
        connected(url) as alive,
    ):
        await dead.init(name="dead")
        await dead.subscribe("1", "subscription { silence }")
        await alive.init(name="alive")
        for _ in range(5):
            assert await alive.receive() == {"type": "ping"}
            await alive.send({"type": "pong"})
        assert await dead.receive() == {"type": "ping"}
        assert await dead.closed() == (4408, "No pong within 0.1 seconds")
        await until(lambda: deeds.open == 0 and len(deeds.ends) == 1)
        assert await alive.receive() == {"type": "ping"}


async def test_a_client_that_never_reads_is_given_up(deeds: Deeds) -> None:
    limits = SocketLimits(ping_seconds=0.05, pong_seconds=0.1)
    async with running(socket(deeds, limits)) as url, connected(url, slow=True) as client:
        await client.init(name="deaf")
        await client.subscribe("1", f"subscription {{ texts(length: {LARGE}) }}")
        await client.subscribe("2", "subscription { silence }")
        await until(lambda: deeds.given > 1)
        await until(lambda: deeds.open == 0 and deeds.ends == [])
        client.connection.transport.abort()
