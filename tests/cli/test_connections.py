"""What is written has to be read: else the connection is given up."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from app.cli.connections import BoundedHttp, ConnectionLimits
from app.cli.wire import BoundedWebSocket
from app.graphql.admission import Bound
from tests.graphql_socket.client import until
from tests.graphql_socket.service import Server, config
from tests.support.probes import shout

LARGE = b"x" * 50_000_000
ASK = {"http": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "socket": shout(b"")[0]}


async def say_much(scope: Scope, _receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        length = (b"content-length", str(len(LARGE)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": LARGE})
    else:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": LARGE})
        await send({"type": "websocket.close"})


def bounded(limits: ConnectionLimits) -> Server:
    options: dict[str, Any] = {
        "limits": limits,
        "unread": Bound(limits.unread_bytes, "bytes", "HELD_BYTES"),
    }
    made = config(say_much, http=type("Http", (BoundedHttp,), options))
    made.ws = type("Socket", (BoundedWebSocket,), options)
    return Server(made)


@pytest.mark.parametrize("kind", ASK)
@pytest.mark.parametrize(
    "limits", [ConnectionLimits(stall_seconds=0.2), ConnectionLimits(unread_bytes=1_000_000)], ids=["time", "bytes"]
)
async def test_what_nobody_reads_is_given_up(kind: str, limits: ConnectionLimits) -> None:
    async with bounded(limits) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1000)
        writer.write(ASK[kind])
        await until(lambda: len(server.server_state.connections) == 1)
        await until(lambda: len(server.server_state.connections) == 0)
        writer.transport.abort()


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
