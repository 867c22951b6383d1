"""Connections of a real server: heads that do not come, answers that nobody reads, and too many of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import orjson
import pytest

from tests.support.probes import shout
from tests.support.server import Client, Server

MOST = 10
HEAD = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
ASK = b"GET /graphql?query={__typename} HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("connections")
    with Server(f"sqlite:///{folder}/book.db", folder, max_connections=str(MOST), header_seconds="1") as server:
        yield server
    assert "Traceback" not in server.log
    assert "Fatal error" not in server.log
    assert "Invalid HTTP" not in server.log


class Connection:
    """One connection, and what is said on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def status(self) -> int:
        async with asyncio.timeout(60):
            return int((await self.reader.readline()).split()[1])

    async def rest(self) -> bytes:
        """All that is said until the server ends it."""
        said = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(60):
                while data := await self.reader.read(1 << 16):
                    said += data
        return said


@contextlib.asynccontextmanager
async def connection(server: Server, data: bytes = b"") -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.address).port)
    writer.write(data)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


async def test_a_head_that_does_not_come_ends_its_connection(server: Server) -> None:
    """Neither nothing at all, nor line by line, nor after an answer."""
    async with (
        connection(server) as silent,
        connection(server, HEAD) as slow,
        connection(server, HEAD + b"\r\n") as next_,
    ):
        dripping = asyncio.create_task(drip(slow))
        assert await silent.rest() == b""
        said = await slow.rest()
        dripping.cancel()
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"GRADBOOK_HEADER_SECONDS" in said
        assert b"x-content-type-options: nosniff" in said
        assert await next_.status() == 200
        next_.writer.write(b"\r\n")  # it ends uvicorn's wait for the next request, and begins none
        await next_.rest()


async def drip(connection: Connection) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            connection.writer.write(b"a: b\r\n")
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
async def test_a_head_has_its_length(server: Server, end: bytes) -> None:
    async with connection(server, HEAD + b"a: " + b"x" * 70_000 + end) as long:
        if not end:
            async with asyncio.timeout(60):
                while not long.reader._buffer and not long.reader.at_eof():  # type: ignore[attr-defined]
                    long.writer.write(b"x" * 10_000)
                    await asyncio.sleep(0.02)
        assert await long.status() == 431
    async with connection(server, ASK.replace(b"__typename", b"x" * 70_000) + b"\r\n") as long:
        assert await long.status() == 431
    async with connection(server, HEAD + b"a: " + b"x" * 60_000 + b"\r\n\r\n") as fine:
        assert await fine.status() == 200


async def test_what_is_left_of_a_refused_body_is_not_waited_for(server: Server) -> None:
    head = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 100000000\r\n\r\n"
    async with connection(server, head) as refused:
        assert await refused.status() == 415
        dripping = asyncio.create_task(drip(refused))
        await refused.rest()
        dripping.cancel()


PIECES = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
NONSENSE = {
    "no HTTP": b"nonsense\r\n\r\n",
    "a path of other letters": b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n",
    "two lengths": b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "a handshake that is none": b"POST / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "a handshake with a long line": shout(b"")[0][:-2] + b"a: " + b"x" * 10_000 + b"\r\n\r\n",
    "a handshake of many lines": shout(b"")[0][:-2] + b"a: b\r\n" * 300 + b"\r\n",
    "a handshake of other letters": shout(b"")[0][:-2] + b"a: \xff\xfe\r\n\r\n",
    "a handshake without a key": HEAD + b"upgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    "a body in pieces that are none": PIECES + b"2\r\n{}\r\nzz\r\n",
    "a body of no known coding": PIECES.replace(b"chunked", b"foo"),
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_nonsense_is_a_4xx(server: Server, name: str) -> None:
    async with connection(server, NONSENSE[name]) as odd:
        status = await odd.status()
        assert status == 101 or 400 <= status < 500, status
        if status != 101:
            assert b'"errors"' in await odd.rest()


async def test_connections_beyond_the_bound_are_told_to_come_back(server: Server) -> None:
    async with contextlib.AsyncExitStack() as stack:

        async def silent() -> None:
            while True:  # they are ended after a second
                await stack.enter_async_context(connection(server))
                await asyncio.sleep(0.02)

        crowd = asyncio.create_task(silent())
        try:
            async with asyncio.timeout(60):
                while True:
                    async with connection(server, ASK + b"connection: close\r\n\r\n") as one:
                        said = await one.rest()
                        if not said.startswith(b"HTTP/1.1 200"):
                            break
                    await asyncio.sleep(0.02)
            assert said.startswith(b"HTTP/1.1 503 ")
            head, _, body = said.partition(b"\r\n\r\n")
            assert b"retry-after: 1" in head
            assert b"x-request-id" in head
            [error] = orjson.loads(body)["errors"]
            assert "(GRADBOOK_MAX_CONNECTIONS)" in error["message"]
            async with connection(server, HEAD + b"\r\n") as health:
                assert await health.status() == 200
        finally:
            crowd.cancel()
    async with Client(server, None) as client, asyncio.timeout(60):
        while (await client.http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)
