"""What is written has to be read: else the connection is given up."""

from __future__ import annotations

import asyncio
import contextlib
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, socket
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from app.cli import connections
from app.cli.connections import BoundedHttp, ConnectionLimits
from app.cli.wire import BoundedWebSocket
from app.graphql.admission import Bound
from tests.graphql_socket.client import until
from tests.graphql_socket.service import Server, config
from tests.support.probes import shout

LARGE = b"x" * 50_000_000
SMALL = b"x" * 200_000
CLOSING = "GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
ASK = {
    "http": CLOSING.format("").encode(),
    "kept": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "socket": shout(b"")[0],
}


async def say_much(scope: Scope, _receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        body = SMALL if scope["path"] == "/small" else LARGE
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})
    else:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": LARGE})
        await send({"type": "websocket.close"})


def bounded(limits: ConnectionLimits, http: type[BoundedHttp] = BoundedHttp, **configured: Any) -> Server:
    options: dict[str, Any] = {
        "limits": limits,
        "unread": Bound(limits.unread_bytes, "bytes", "HELD_BYTES"),
    }
    made = config(say_much, http=type("Http", (http,), options), **configured)
    made.ws = type("Socket", (BoundedWebSocket,), options)
    return Server(made)


class Patient(BoundedHttp):
    """Writes everything at once: nobody is told to wait."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(2 * len(LARGE), 0)


class Narrow(BoundedHttp):
    """The system takes little ahead, too."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, 4096)


@pytest.mark.parametrize("kind", ASK)
@pytest.mark.parametrize("http", [BoundedHttp, Patient])
@pytest.mark.parametrize(
    "limits",
    [ConnectionLimits(stall_seconds=0.2), ConnectionLimits(stall_seconds=600, unread_bytes=1_000_000)],
    ids=["time", "bytes"],
)
async def test_what_nobody_reads_is_given_up(kind: str, http: type[BoundedHttp], limits: ConnectionLimits) -> None:
    async with bounded(limits, http, timeout_keep_alive=0) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
        await until(lambda: len(server.server_state.connections) == 1)
        writer.write(ASK[kind])
        await until(lambda: len(server.server_state.connections) == 0)
        writer.transport.abort()


async def test_what_is_left_is_given_up_to_the_last_byte() -> None:
    async with bounded(ConnectionLimits(stall_seconds=0.5), Narrow) as server:
        loop = asyncio.get_running_loop()
        with socket() as client:
            client.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            await loop.sock_sendall(client, CLOSING.format("small").encode())
            open_ = server.server_state.connections
            await until(lambda: any(one.transport.get_write_buffer_size() for one in open_))
            [connection] = open_
            while (left := connection.transport.get_write_buffer_size()) > 10_000:
                await loop.sock_recv(client, 1000)
            assert left > 0
            await until(lambda: not open_)


@pytest.mark.parametrize("kind", ASK)
async def test_what_is_read_comes_whole(kind: str) -> None:
    async with bounded(ConnectionLimits(stall_seconds=60)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(ASK[kind])
        async with asyncio.timeout(60):
            await reader.readuntil(b"\r\n\r\n")
            if kind == "socket":
                await reader.readexactly(10)
            assert await reader.readexactly(len(LARGE)) == LARGE
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_who_reads_slowly_gets_it_whole() -> None:
    """No further request is waited for, but what was asked for is."""
    async with bounded(ConnectionLimits(stall_seconds=60), timeout_keep_alive=0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(ASK["kept"])
        await until(lambda: any(one.transport.is_closing() for one in server.server_state.connections))
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(60):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(LARGE)) == LARGE
        await until(lambda: len(server.server_state.connections) == 0)
        writer.close()


async def test_too_many_connections_get_no_socket_and_far_too_many_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_SPARE", 1)
    writers: list[asyncio.StreamWriter] = []

    async def answer(data: bytes) -> bytes:
        """The first line of an answer; to nothing there is none."""
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writers.append(writer)
        writer.write(data)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                return await reader.readline() if data else b""
        return b""

    async with bounded(ConnectionLimits(connections=1, head_seconds=600)) as server:
        await answer(b"")
        await until(lambda: len(server.server_state.connections) == 1)
        assert (await answer(ASK["socket"])).startswith(b"HTTP/1.1 503 ")
        await until(lambda: len(server.server_state.connections) == 1)
        await answer(b"")
        await until(lambda: len(server.server_state.connections) == 2)
        assert await answer(ASK["http"]) == b""
        for writer in writers:
            writer.transport.abort()
