"""The HTTP door: bodies that are too large, too slow or packed, operations that take too long, callers who go away."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from app.db.database import Database
from app.db.options import Options
from app.graphql.bodies import SMALL, BodyLimits
from app.request_log import RequestLog
from tests.graphql_socket.client import until
from tests.graphql_socket.service import Deeds, Server, config, streams

HEAD = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@contextlib.asynccontextmanager
async def door(deeds: Deeds, **options: Any) -> AsyncIterator[Server]:
    async with Server(config(RequestLog(streams(deeds, **options)))) as server:
        yield server


async def head_of(reader: asyncio.StreamReader) -> str:
    async with asyncio.timeout(120):
        return (await reader.readuntil(b"\r\n\r\n")).decode()


def http(server: Server) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=server.url.replace("ws:", "http:"), timeout=60)


@pytest.fixture
async def one_reader(database_url: str) -> AsyncIterator[Database]:
    """A database that is read by one statement at a time."""
    async with await Database.open(database_url, options=Options(readers=1, read_timeout=600)) as database:
        yield database


async def test_a_query_that_takes_too_long_ends_and_its_sql_too(deeds: Deeds, one_reader: Database) -> None:
    """Also where fields run side by side, of which one waits for the connection of the other."""
    async with door(deeds, database=one_reader, seconds=0.5) as server, http(server) as client:
        answer = await client.post("", json={"query": "{ viewer a: minutes b: minutes }"})
        assert answer.status_code == 200
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == "TIMEOUT"
        assert "longer than 0.5 seconds" in error["message"]
        assert answer.json()["data"] is None
        await until(lambda: deeds.open == 0)
        async with asyncio.timeout(30):
            assert await one_reader.read("SELECT 1") == [(1,)]
        assert (await client.post("", json={"query": "{ viewer }"})).json() == {"data": {"viewer": None}}


async def test_a_query_ends_with_its_callers_going_away(deeds: Deeds, one_reader: Database) -> None:
    async with door(deeds, database=one_reader, seconds=600) as server, http(server) as client:
        asking = asyncio.create_task(client.post("", json={"query": "{ minutes }"}))
        await until(lambda: deeds.open == 1)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        await until(lambda: deeds.open == 0)
        async with asyncio.timeout(30):
            assert await one_reader.read("SELECT 1") == [(1,)]


async def test_a_mutation_goes_on_though_its_caller_is_gone(deeds: Deeds) -> None:
    async with door(deeds) as server, http(server) as client:
        asking = asyncio.create_task(client.post("", json={"query": "mutation { a: write(value: 1) }"}))
        await until(lambda: deeds.open == 1)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0.1)
        deeds.gate.set()
        await until(lambda: deeds.written == [1])


async def test_a_body_has_its_time(deeds: Deeds) -> None:
    loop = asyncio.get_running_loop()

    async def dribble(connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await loop.sock_sendall(connection, b" ")
                await asyncio.sleep(0.05)

    answered = b""
    async with door(deeds, bodies=BodyLimits(seconds=0.3)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.setblocking(False)
            await loop.sock_sendall(connection, f"{HEAD}content-length: 100\r\n\r\n".encode())
            dribbling = asyncio.create_task(dribble(connection))
            # A stream would lose the answer when it writes on to a server that has closed; a socket has it first.
            with contextlib.suppress(ConnectionError):
                while data := await loop.sock_recv(connection, 1 << 16):
                    answered += data
            dribbling.cancel()
            await asyncio.wait([dribbling])
    head, _, body = answered.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 408 ")
    assert "connection: close" in head
    assert "GRADBOOK_BODY_SECONDS" in json.loads(body)["errors"][0]["message"]


async def test_a_body_that_says_it_is_too_long_is_not_read(deeds: Deeds) -> None:
    async with door(deeds, bodies=BodyLimits(10 * SMALL)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"{HEAD}content-length: {10 * SMALL + 1}\r\n\r\n".encode())
        assert (await head_of(reader)).startswith("HTTP/1.1 413 ")
        writer.close()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, identity", "x"])
async def test_a_packed_body_is_refused(deeds: Deeds, coding: str) -> None:
    async with door(deeds) as server, http(server) as client:
        headers = {"content-type": "application/json", "content-encoding": coding}
        answer = await client.post("", content=b"\x1f\x8b...", headers=headers)
        assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
        assert f"Content-Encoding: {coding}" in answer.text
        plain = await client.post("", json={"query": "{ viewer }"}, headers={"content-encoding": "identity"})
        assert plain.status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_of_callers_who_are_not_signed_in_are_smaller(deeds: Deeds, chunked: bool) -> None:
    body = json.dumps({"query": "{ viewer }", "variables": {"x": "x" * 3 * SMALL}}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    async with door(deeds, bodies=BodyLimits(10 * SMALL, anonymous_percent=10)) as server, http(server) as client:
        for headers, status in (({}, 413), ({"name": "ann"}, 200)):
            content = chunks() if chunked else body
            answer = await client.post("", content=content, headers={"content-type": "application/json", **headers})
            assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("values", "status"),
    [
        (b"[" + b"{}," * 40_000 + b"{}]", 413),
        (b"[" + b'"",' * 60_000 + b"1]", 413),
        (b'["{", ' + b"1," * 60_000 + b'"}"]', 413),
        (b'"' + b"x" * 200_000 + b'"', 200),
        (b'"' + b'[{\\"a\\": 1, ' * 40_000 + b'\\\\"', 200),
    ],
    ids=["objects", "texts", "numbers", "a text", "code"],
)
async def test_what_is_short_to_send_and_long_to_decode_is_refused(deeds: Deeds, values: bytes, status: int) -> None:
    """A list of nothing but `{},` takes thirty times its length of memory."""
    body = b'{"query": "{ viewer }", "variables": {"x": ' + values + b"}}"
    headers = {"content-type": "application/json"}
    async with door(deeds, bodies=BodyLimits(anonymous_percent=5)) as server, http(server) as client:
        refused = await client.post("", content=body, headers=headers)
        assert refused.status_code == status
        assert "at most 50,000 at once" in refused.text or status == 200
        answer = await client.post("", content=body, headers={**headers, "name": "ann"})
        assert answer.status_code == 200, answer.text


async def test_whoever_breaks_off_a_body_is_no_error(deeds: Deeds, capsys: pytest.CaptureFixture[str]) -> None:
    async with door(deeds) as server:
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(f"{HEAD}content-length: 100\r\n\r\n{{".encode())
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.transport.abort()
        async with http(server) as client:
            assert (await client.post("", json={"query": "{ viewer }"})).status_code == 200
    assert "unexpected" not in "".join(capsys.readouterr())
