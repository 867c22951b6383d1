"""A client that sends what it is told, right or wrong."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

SECONDS = 60.0  # no answer takes so long, on the busiest machine

# As Apollo Client sends it for a subscription.
APOLLO = (
    "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9"
)

Json = dict[str, Any]


class Client:
    """One socket."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, *messages: Any) -> None:
        """Send messages; text and bytes go as they are."""
        for message in messages:
            raw = message if isinstance(message, str | bytes) else json.dumps(message)
            await self.connection.send(raw)

    async def receive(self) -> Json:
        """The next message."""
        async with asyncio.timeout(SECONDS):
            text = await self.connection.recv()
        assert isinstance(text, str), "a binary frame"
        message: Json = json.loads(text)
        return message

    async def all_until(self, last: str, id: str) -> list[Json]:
        """The messages up to the one of this type for this id."""
        found: list[Json] = []
        while not found or (found[-1]["type"], found[-1].get("id")) != (last, id):
            found.append(await self.receive())
        return found

    async def closed(self) -> tuple[int, str]:
        """The code and the reason the server closes with; messages that come before are dropped."""
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await self.connection.recv()
        received = self.connection.protocol.close_rcvd
        assert received is not None, "closed without a frame: 1006"
        return received.code, received.reason

    async def init(self, **parameters: Any) -> None:
        """`connection_init` and its answer."""
        await self.send(
            {"type": "connection_init", "payload": parameters} if parameters else {"type": "connection_init"}
        )
        assert await self.receive() == {"type": "connection_ack"}

    async def subscribe(self, id: str, query: str, **rest: Any) -> None:
        """Start an operation."""
        await self.send({"id": id, "type": "subscribe", "payload": {"query": query, **rest}})

    async def run(self, query: str, **rest: Any) -> list[Json]:
        """An operation's messages, all of them."""
        await self.subscribe("run", query, **rest)
        found: list[Json] = []
        while not found or found[-1]["type"] not in {"complete", "error"}:
            found.append(await self.receive())
        assert {message.pop("id") for message in found} == {"run"}
        return found

    async def is_well(self) -> bool:
        """Whether it still answers."""
        return await self.run('{ echo(text: "well") }') == [next_message(echo="well"), {"type": "complete"}]


@contextlib.asynccontextmanager
async def connected(
    url: str,
    *,
    subprotocols: Sequence[str] = ("graphql-transport-ws",),
    init: bool = False,
    slow: bool = False,
    **options: Any,
) -> AsyncIterator[Client]:
    """An open socket; with `init`, one that was acknowledged; with `slow`, one that buffers little of what comes."""
    offered = [Subprotocol(name) for name in subprotocols]
    # A client that has stopped to read would wait for the whole timeout.
    options |= {"compression": None, "proxy": None, "ping_interval": None, "close_timeout": 0.2}
    if slow:
        options |= {"sock": _little_socket(url), "max_queue": 1}
    async with connect(url, subprotocols=offered or None, **options) as connection:
        client = Client(connection)
        if init:
            await client.init()
        yield client


def _little_socket(url: str) -> socket.socket:
    host, _, port = url.removeprefix("ws://").partition("/")[0].partition(":")
    little = socket.socket()
    little.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    little.connect((host, int(port)))
    little.setblocking(False)
    return little


@contextlib.contextmanager
def deaf(url: str, query: str, accept: str) -> Iterator[None]:
    """A client that asks for an event stream and never reads; it buffers little of what comes."""
    path = f"/graphql?{urlencode({'query': query})}"
    with _little_socket(url) as little:
        little.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\n\r\n".encode())
        yield


def next_message(**data: Any) -> Json:
    """A result without errors."""
    return {"type": "next", "payload": {"data": data}}


async def until(condition: Any) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)
