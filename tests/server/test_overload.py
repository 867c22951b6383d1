"""A server that has too much to do says so at once, and goes on as soon as there is room; one caller has its share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.api.conftest import operation
from tests.support.server import Client, Server

REQUESTS, SOCKETS, SHARE, SUBSCRIPTIONS, HELD = 3, 5, 2, 3, 1 << 20
TASKS = "subscription { trainTaskChanged { cursor } }"
INIT = '{"type":"connection_init"}'
EVENTS = {"accept": "text/event-stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that takes few of each."""
    folder: Path = tmp_path_factory.mktemp("overload")
    with Server(
        f"sqlite:///{folder}/book.db",
        folder,
        max_requests=str(REQUESTS),
        max_sockets=str(SOCKETS),
        max_sockets_per_caller=str(SHARE),
        max_subscriptions_per_caller=str(SUBSCRIPTIONS),
        max_held_bytes=str(HELD),
    ) as server:
        yield server
    assert "Traceback" not in server.log


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server, server.key) as client:
        yield client


@contextlib.asynccontextmanager
async def begun(server: Server, body: bytes = b"", length: int = 1000, key: str | None = None) -> AsyncIterator[Any]:
    """A request that has sent so much of its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.address).port)
    who = f"authorization: Bearer {key}\r\n" if key else ""
    head = f"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{who}content-length: {length}"
    writer.write(f"{head}\r\n\r\n".encode() + body)
    try:
        yield reader
    finally:
        writer.transport.abort()


@contextlib.asynccontextmanager
async def socket(server: Server, key: str | None = None) -> AsyncIterator[ClientConnection]:
    """An open socket; it has said who it is if there is a key."""
    async with connect(server.socket_address, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        if key is not None:
            await socket.send(
                orjson.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {key}"}}).decode()
            )
            await said(socket)
        yield socket


async def said(socket: ClientConnection) -> Any:
    async with asyncio.timeout(60):
        return orjson.loads(await socket.recv())


async def eventually(client: Client, status: int) -> Any:
    """The answer to a small query, as soon as it has this status."""
    async with asyncio.timeout(60):
        while (answer := await client.http.post("/graphql", json={"query": "{ __typename }"})).status_code != status:
            await asyncio.sleep(0.02)
    return answer


async def no_stream(client: Client, key: str | None) -> tuple[int, str]:
    """The status of a request for an event stream, and what is said of it where there is none."""
    headers = EVENTS | {"authorization": f"Bearer {key}"}
    async with client.http.stream("POST", "/graphql", json={"query": TASKS}, headers=headers) as stream:
        return stream.status_code, "" if stream.status_code == 200 else (await stream.aread()).decode()


async def new_key(client: Client, name: str) -> str:
    viewer = (await client.run("{ viewer { id } }"))["viewer"]["id"]
    made: str = (await client.mutate(operation("CreateApiKey"), {"name": name, "userId": viewer}))["secret"]
    return made


async def test_requests_beyond_the_bound_are_told_to_come_back(server: Server, client: Client) -> None:
    await eventually(client, 200)
    async with contextlib.AsyncExitStack() as stack:
        while (answer := await client.http.post("/graphql", json={"query": "{ __typename }"})).status_code == 200:
            await stack.enter_async_context(begun(server))
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["x-request-id"]
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "OVERLOADED"
        assert f"{REQUESTS} requests at work already (GRADBOOK_MAX_REQUESTS)" in error["message"]
        async with begun(server, length=30_000_000) as reader:  # its body is not waited for
            async with asyncio.timeout(60):
                assert b" 503 " in await reader.readuntil(b"\r\n")
        assert (await client.http.get("/healthz")).status_code == 200
        assert (await client.http.get("/readyz")).status_code == 503
    await eventually(client, 200)


async def test_large_bodies_count_together(server: Server, client: Client) -> None:
    await eventually(client, 200)
    half = b" " * (HELD * 6 // 10)
    async with (
        begun(server, half, 10 * HELD, server.key) as first,
        begun(server, half, 10 * HELD, server.key) as second,
    ):
        answers = [asyncio.create_task(one.readuntil(b"\r\n")) for one in (first, second)]
        done, [other] = await asyncio.wait(answers, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert b" 503 " in done.pop().result()
        other.cancel()
        assert (await client.run("{ viewer { username } }"))["viewer"] == {"username": "owner"}
        refused = await client.http.post(
            "/graphql", json={"query": "{ __typename }", "variables": {"x": half.decode()}}
        )
        assert refused.status_code == 503
        assert "bytes of requests in hand" in refused.text
    async with asyncio.timeout(60):
        while True:  # as soon as those have gone
            body = {"query": "{ __typename }", "variables": {"x": half.decode()}}
            if (await client.http.post("/graphql", json=body)).status_code == 200:
                break


async def test_messages_of_sockets_count_with_them(server: Server, client: Client) -> None:
    """While they arrive already."""
    large = "x" * (HELD * 6 // 10)
    reason = None
    async with asyncio.timeout(60):
        while reason is None:  # until the body is the first of the two
            async with begun(server, large.encode(), 10 * HELD, server.key), socket(server, server.key) as one:
                await one.send(f'{{"type":"ping","payload":{{"x":"{large}"}}}}')
                try:
                    await said(one)
                except ConnectionClosed as closed:
                    reason = closed.rcvd
    assert reason is not None
    assert reason.code == 1013
    assert "bytes of requests in hand" in reason.reason


async def test_messages_count_as_long_as_their_operation_runs(server: Server, client: Client) -> None:
    large = {"query": TASKS, "variables": {"x": "x" * (HELD * 6 // 10)}}
    body = {**large, "query": "{ __typename }"}

    async def answered(status: int) -> None:
        async with asyncio.timeout(60):
            while (await client.http.post("/graphql", json=body)).status_code != status:
                pass

    await answered(200)
    async with socket(server, server.key) as one:
        await one.send(orjson.dumps({"id": "1", "type": "subscribe", "payload": large}).decode())
        assert (await said(one))["type"] == "next"
        for _ in range(3):
            refused = await client.http.post("/graphql", json=body)
            assert (refused.status_code, "bytes of requests in hand" in refused.text) == (503, True)
        await one.send('{"id":"1","type":"complete"}')
        await answered(200)


async def test_sockets_beyond_the_bound_are_told_to_come_back(server: Server, client: Client) -> None:
    keys = [await new_key(client, f"of sockets {number}") for number in range(SOCKETS)]
    async with contextlib.AsyncExitStack() as stack:
        for key in keys:
            await stack.enter_async_context(socket(server, key))
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(socket(server))
        response = refused.value.response
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert orjson.loads(response.body or b"")["errors"][0]["extensions"]["code"] == "OVERLOADED"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert (await no_stream(client, server.key))[0] == 503
        assert (await eventually(client, 200)).json()["data"]


async def test_event_streams_count_as_sockets_and_not_as_requests(server: Server, client: Client) -> None:
    await eventually(client, 200)
    keys = [await new_key(client, f"of streams {number}") for number in range(REQUESTS)]
    async with contextlib.AsyncExitStack() as stack:
        for key in keys:
            headers = EVENTS | {"authorization": f"Bearer {key}"}
            opened = client.http.stream("POST", "/graphql", json={"query": TASKS}, headers=headers)
            assert (await stack.enter_async_context(opened)).status_code == 200
        assert (await client.run("{ viewer { username } }"))["viewer"] == {"username": "owner"}


async def test_silent_sockets_count_for_their_address(server: Server) -> None:
    async with socket(server), socket(server):
        with pytest.raises(InvalidStatus) as refused:
            async with socket(server):
                pass
        assert refused.value.response.status_code == 429
        assert b"Your address has 2 sockets and event streams here already" in (refused.value.response.body or b"")


async def test_a_key_has_its_share_of_sockets(server: Server, client: Client) -> None:
    first, second = await new_key(client, "of a crowd"), await new_key(client, "of another")
    async with socket(server, first), socket(server, first):
        with pytest.raises(ConnectionClosed) as closed:
            async with socket(server, first):
                pass
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4429
        assert "(GRADBOOK_MAX_SOCKETS_PER_CALLER)" in closed.value.rcvd.reason
        status, why = await no_stream(client, first)
        assert (status, "LIMIT_EXCEEDED" in why) == (429, True)
        async with socket(server, second):
            pass
    for _ in range(SHARE + 1):
        async with asyncio.timeout(60):
            status = 429
            while status == 429:  # until the sockets, or the stream before, have ended
                status, _ = await no_stream(client, first)
        assert status == 200


async def test_a_key_has_its_share_of_subscriptions(server: Server, client: Client) -> None:
    """Over all its sockets; what has ended gives its place back."""
    key = await new_key(client, "of subscriptions")

    async def answer(socket: ClientConnection, id: int) -> Any:
        await socket.send(orjson.dumps({"type": "subscribe", "id": str(id), "payload": {"query": TASKS}}).decode())
        while (message := await said(socket))["id"] != str(id):
            pass
        return message

    async with socket(server, key) as first, socket(server, key) as second:
        for number in range(SUBSCRIPTIONS - 1):
            assert (await answer(first, number))["type"] == "next"
        assert (await answer(second, 8))["type"] == "next"
        refused = await answer(second, 9)
        assert refused["type"] == "error"
        assert "(GRADBOOK_MAX_SUBSCRIPTIONS_PER_CALLER)" in refused["payload"][0]["message"]
        await first.close()
        async with asyncio.timeout(60):
            number = 10
            while (await answer(second, number))["type"] == "error":
                number += 1
            has = 2
            while has < SUBSCRIPTIONS:
                number += 1
                has += (await answer(second, number))["type"] == "next"
        status, why = await no_stream(client, key)
        assert (status, "(GRADBOOK_MAX_SUBSCRIPTIONS_PER_CALLER)" in why) == (429, True)
