"""Many sockets that follow the same: one read for all, and a slow one that keeps nobody."""

import asyncio
import gc
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.graphql import sharing
from tests.graphql_socket.client import Client, connected, until
from tests.graphql_socket.service import Deeds, Server, config, streams
from tests.graphql_socket.test_endings import vanish
from tests.graphql_socket.test_operations import BUFFERED
from tests.graphql_socket.test_sse import events, opened

FOLLOW = "subscription ($signs: Int!, $after: Int) { log(signs: $signs, after: $after) }"


def numbers(result: Any) -> list[int]:
    return [int(number) for number in result["data"]["log"].lstrip("x").split()]


async def got(client: Client, count: int) -> list[int]:
    """The next numbers, at least so many."""
    found: list[int] = []
    while len(found) < count:
        found += numbers((await client.receive())["payload"])
    return found


async def follow(client: Client, id: str = "1", **variables: Any) -> None:
    await client.subscribe(id, FOLLOW, variables={"signs": 1, **variables})


async def test_sockets_and_operations_share_a_read(url: str, deeds: Deeds) -> None:
    deeds.append(0)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(url, init=True)) for _ in range(20)]
        for client in clients:
            await follow(client, "1")
            await follow(client, "2", after=0)
            assert await got(client, 2) == [0, 0]
        for number in range(1, 6):
            reads = deeds.reads
            deeds.append(number)
            assert [await got(client, 2) for client in clients] == [[number, number]] * 20
            assert deeds.reads - reads <= 2  # and perhaps once more, where a cohort has just joined another


async def test_a_socket_that_does_not_read_keeps_nobody_and_gets_all_later(url: str, deeds: Deeds) -> None:
    large = 200_000
    async with connected(url, init=True, slow=True) as slow, connected(url, init=True) as quick:
        slow.connection.transport.pause_reading()
        for client in (slow, quick):
            await follow(client, signs=large)
        count = 3 * BUFFERED // large
        for number in range(count):
            deeds.append(number)
            assert await got(quick, 1) == [number]
        slow.connection.transport.resume_reading()
        found: list[int] = []
        messages = 0
        while len(found) < count:
            found += await got(slow, 1)
            messages += 1
        assert found == list(range(count))
        assert messages < count - 10  # what came while it did not read was merged
        deeds.append(count)
        assert await got(slow, 1) == await got(quick, 1) == [count]


async def test_leaving_leaves_the_others(url: str, deeds: Deeds) -> None:
    async with (
        connected(url, init=True) as stays,
        connected(url, init=True) as completes,
        connected(url, init=True) as vanishes,
        connected(url, init=True) as founder,
    ):
        clients = (founder, stays, completes, vanishes)
        for client in clients:
            await follow(client)
        deeds.append(1)
        assert [await got(client, 1) for client in clients] == [[1]] * 4
        await founder.send({"type": "complete", "id": "1"})
        await completes.send({"type": "complete", "id": "1"})
        await follow(completes, after=1)  # the same id again
        vanish(vanishes)
        deeds.append(2)
        assert await got(stays, 1) == [2]
        assert await got(completes, 1) == [2]
        assert await founder.is_well()
    await until(lambda: not deeds.bus._wakeups)
    gc.collect()
    assert [thing for thing in gc.get_objects() if isinstance(thing, sharing._Cohort | sharing._Member)] == []


async def test_event_streams_share_too(deeds: Deeds) -> None:
    deeds.append(0)
    async with Server(config(streams(deeds))) as server, AsyncExitStack() as stack:
        found = []
        for _ in range(10):
            response = await stack.enter_async_context(
                opened(server.url.replace("ws:", "http:"), FOLLOW, variables={"signs": 1})
            )
            found.append(events(response))
        for stream in found:
            assert numbers((await anext(stream)).data) == [0]
        reads = deeds.reads
        deeds.append(1)
        for stream in found:
            assert numbers((await anext(stream)).data) == [1]
        assert deeds.reads - reads <= 2


@pytest.mark.parametrize("query", [FOLLOW, FOLLOW.replace("signs: $signs", "signs: 2")])
async def test_another_document_is_not_shared(url: str, deeds: Deeds, query: str) -> None:
    async with connected(url, init=True) as one, connected(url, init=True) as other:
        await follow(one, signs=3)
        await other.subscribe(
            "1", query.replace("$signs: Int!, ", "") if query != FOLLOW else query, variables={"signs": 4}
        )
        deeds.append(7)
        first, second = await asyncio.gather(one.receive(), other.receive())
        assert first["payload"]["data"]["log"] == "xxx7"
        assert second["payload"]["data"]["log"] == ("xxxx7" if query == FOLLOW else "xx7")
