"""Sockets of the load generator: they say what they are told to, and keep what comes with the time when it came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

_AT_ONCE = 100  # sockets that connect at a time


class Socket(asyncio.Protocol):
    """A WebSocket that says its lines, each when the one before was answered, and keeps the frames that come."""

    def __init__(self, said: Sequence[bytes]) -> None:
        self._said = list(said)
        self._data = b""
        self._upgraded = False
        self.frames: list[tuple[float, bytes]] = []
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(_HANDSHAKE)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        data = self._data + data
        if not self._upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._data = data
                return
            assert data.startswith(b"HTTP/1.1 101"), data[:200]
            self._upgraded = True
            data = data[end + 4 :]
            self._say()
        at = 0
        while len(data) - at >= 2:
            length, head = data[at + 1], 2
            if length == 126:
                length, head = int.from_bytes(data[at + 2 : at + 4]), 4
            elif length == 127:
                length, head = int.from_bytes(data[at + 2 : at + 10]), 10
            if len(data) - at < head + length or len(data) - at < head:
                break
            message = data[at + head : at + head + length]
            if message == _PING:
                self.transport.write(_masked(_PONG))
            elif data[at] == 0x81:
                self.frames.append((now, message))
                self._say()
            at += head + length
        self._data = data[at:]

    def _say(self) -> None:
        if self._said:
            self.transport.write(_masked(self._said.pop(0)))


_PING, _PONG = b'{"type":"ping"}', b'{"type":"pong"}'
_HANDSHAKE = "\r\n".join([
    "GET /graphql HTTP/1.1", "Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: graphql-transport-ws", "", "",
]).encode()  # fmt: skip


def _masked(text: bytes) -> bytes:
    """A client's text frame; the mask of zeros changes nothing."""
    length = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2)
    return b"\x81" + length + bytes(4) + text


@asynccontextmanager
async def connected(port: int, said: Sequence[bytes], count: int) -> AsyncIterator[list[Socket]]:
    """So many sockets that say the same."""
    loop = asyncio.get_running_loop()
    sockets: list[Socket] = []
    try:
        while len(sockets) < count:
            more = min(_AT_ONCE, count - len(sockets))
            making = [loop.create_connection(lambda: Socket(said), "127.0.0.1", port) for _ in range(more)]
            sockets += [socket for _, socket in await asyncio.gather(*making)]
        yield sockets
    finally:
        for socket in sockets:
            socket.transport.abort()
