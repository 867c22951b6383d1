"""The door without a server: what servers may do that this one does not."""

import asyncio
import json
import sys
from typing import Any

import pytest
from starlette.types import Message, Scope

from app.graphql import socket as door
from tests.graphql_socket.client import next_message, until
from tests.graphql_socket.service import Deeds, socket

SCOPE: Scope = {"type": "websocket", "subprotocols": ["graphql-transport-ws"], "headers": [], "path": "/graphql"}


class Asgi:
    """A server's side of one socket. It takes so many messages from the application, then none."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})
        self.receive = self._incoming.get
        self.put(*messages)
        self.sent: list[Message] = []
        self.takes = sys.maxsize
        self.sending = self.most_sending = 0

    def put(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self._incoming.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    def leave(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def send(self, message: Message) -> None:
        self.sending += 1
        self.most_sending = max(self.most_sending, self.sending)
        try:
            while self.takes == 0:
                await asyncio.sleep(0)
            self.takes -= 1
        finally:
            self.sending -= 1
        self.sent.append(message)

    def texts(self) -> list[dict[str, Any]]:
        return [json.loads(message["text"]) for message in self.sent if message["type"] == "websocket.send"]


async def test_one_message_is_sent_at_a_time(deeds: Deeds) -> None:
    streams = [
        {"type": "subscribe", "id": str(number), "payload": {"query": "subscription { count(to: 3) }"}}
        for number in range(5)
    ]
    asgi = Asgi({"type": "connection_init"})
    serving = asyncio.create_task(socket(deeds)(SCOPE, asgi.receive, asgi.send))
    await until(lambda: asgi.texts() == [{"type": "connection_ack"}])
    asgi.takes = 0
    asgi.put(*streams)
    await until(lambda: deeds.given == 5)
    for _ in range(20):
        await asyncio.sleep(0)
    assert deeds.given == 5  # each waits with the next result until the one before is sent
    assert asgi.sending == 1
    asgi.takes = sys.maxsize
    await until(lambda: len(asgi.texts()) == 1 + 5 * 4)
    asgi.leave()
    await serving
    assert asgi.most_sending == 1
    assert {"id": "4", **next_message(count=3)} in asgi.texts()


@pytest.mark.parametrize(
    ("query", "goes_through"),
    [
        ("mutation { write(value: 1) }", 0),
        ("mutation { write(value: 1) }", 1),
        ("{ viewer }", 0),
        ("{ viewer }", 1),
        ("subscription { refused }", 0),
        ("{ nonsense }", 0),
    ],
)
async def test_an_answer_that_cannot_be_sent_is_given_up_with_the_socket(
    deeds: Deeds, query: str, goes_through: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_CLOSE_SECONDS", 0.05)
    deeds.gate.set()
    asgi = Asgi({"type": "connection_init", "payload": {"name": "deaf"}})
    serving = asyncio.create_task(socket(deeds)(SCOPE, asgi.receive, asgi.send))
    await until(lambda: asgi.texts() == [{"type": "connection_ack"}])
    asgi.takes = goes_through
    asgi.put({"type": "subscribe", "id": "1", "payload": {"query": query}})
    await until(lambda: asgi.sending == 1)
    await deeds.ends[0]()
    await until(serving.done)
    assert len(asgi.texts()) == 1 + goes_through
    assert deeds.written == [1] * query.count("write")


async def test_a_burst_of_messages_leaves_others_their_turn(deeds: Deeds) -> None:
    asgi = Asgi({"type": "connection_init"}, *[{"type": "ping"}] * 500)
    turns: set[int] = set()

    async def other() -> None:
        while len(asgi.sent) < 500:
            turns.add(len(asgi.sent))
            await asyncio.sleep(0)
        asgi.leave()

    async with asyncio.TaskGroup() as group:
        group.create_task(other())
        group.create_task(socket(deeds)(SCOPE, asgi.receive, asgi.send))
    assert len(turns) > 400


@pytest.mark.parametrize("subprotocols", [["graphql-transport-ws"], ["graphql-ws"], []], ids=str)
async def test_a_client_that_vanishes_during_the_handshake(deeds: Deeds, subprotocols: list[str]) -> None:
    async def send(message: Message) -> None:
        raise OSError("the client is gone")

    scope = {**SCOPE, "subprotocols": subprotocols}
    await socket(deeds)(scope, Asgi().receive, send)
