"""Sockets that end: by revocation, by a shutdown, and by clients that are suddenly gone."""

import asyncio
import socket as sockets
import struct

import pytest

from app.graphql import socket as door
from tests.graphql_socket.client import Client, connected, until
from tests.graphql_socket.service import Deeds, Server, config, socket


async def test_a_socket_ends_with_its_credential(url: str, deeds: Deeds) -> None:
    async with connected(url) as revoked, connected(url) as other:
        await revoked.init(name="revoked")
        await revoked.subscribe("1", "subscription { silence }")
        await other.init(name="other")
        await until(lambda: deeds.open == 1)
        end, _ = deeds.ends
        await end()
        assert await revoked.closed() == (
            4403,
            "Forbidden: the credential of this connection no longer holds",
        )
        await until(lambda: deeds.open == 0 and len(deeds.ends) == 1)
        await end()  # it may come again, or too late
        assert await other.is_well()


@pytest.mark.parametrize("query", ["subscription { silence }", "mutation { write(value: 1) }", "{ forever }"])
async def test_a_socket_that_does_not_read_ends_with_its_credential_too(
    deeds: Deeds, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_CLOSE_SECONDS", 0.1)
    async with Server(config(socket(deeds))) as server, connected(server.url, slow=True) as client:
        await client.init(name="deaf")
        await client.subscribe("1", query)
        await client.subscribe("2", "subscription { texts(length: 500000) }")
        await until(lambda: deeds.given > 1)
        deeds.gate.set()  # the mutation's answer has to wait behind a text that cannot be sent
        await until(lambda: deeds.open < 2 or not query.startswith("mutation"))
        await deeds.ends[0]()
        await until(lambda: deeds.open == 0 and deeds.ends == [] and not server.server_state.tasks)
        client.connection.transport.abort()


async def test_a_shutdown_closes_sockets_and_waits_for_mutations(deeds: Deeds) -> None:
    async with (
        Server(config(socket(deeds))) as server,
        connected(server.url, init=True) as idle,
        connected(server.url, init=True) as busy,
    ):
        await busy.subscribe("1", "subscription { silence }")
        await busy.subscribe("2", "mutation { a: write(value: 1) b: write(value: 2) }")
        await until(lambda: deeds.open == 2)
        down = asyncio.create_task(server.shutdown())
        assert (await idle.closed())[0] == 1012
        assert (await busy.closed())[0] == 1012
        await until(lambda: deeds.open == 1)
        await asyncio.sleep(0.3)
        assert not down.done()
        deeds.gate.set()
        await down
    assert deeds.written == [1, 2]


async def test_a_shutdown_that_waits_no_longer_cuts_mutations_off(
    deeds: Deeds, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Server(config(socket(deeds), timeout_graceful_shutdown=0.1)) as server,
        connected(server.url, init=True) as client,
    ):
        await client.subscribe("1", "mutation { write(value: 1) }")
        await until(lambda: deeds.open == 1)
        await server.shutdown()
        await until(lambda: deeds.open == 0)
    assert deeds.written == []
    caplog.clear()  # the server tells of the task that it has cancelled


def vanish(client: Client) -> None:
    """A reset, as from a machine that lost its power: no close frame, no FIN."""
    raw: sockets.socket = client.connection.transport.get_extra_info("socket")
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
    client.connection.transport.abort()


async def test_clients_that_vanish_while_they_are_sent_to_cause_no_complaint(url: str, deeds: Deeds) -> None:
    for length in (10, 100_000, 4_000_000):
        for _ in range(10):
            async with connected(url, slow=True) as client:
                await client.init(name="brief")
                given = deeds.given
                for number in range(5):
                    await client.subscribe(str(number), f"subscription {{ texts(length: {length}) }}")
                await client.subscribe("failing", "{ nonsense }")
                await until(lambda given=given: deeds.given > given + 5)
                vanish(client)
        await until(lambda: deeds.open == 0 and deeds.ends == [])


async def test_clients_that_vanish_early_cause_no_complaint(url: str, deeds: Deeds) -> None:
    host, port = url.removeprefix("ws://").partition("/")[0].split(":")
    for sent in (b"", b"GET /graphql HTTP/1.1\r\n", handshake()):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(sent)
        await writer.drain()
        writer.transport.abort()
    async with connected(url) as client:
        await client.send({"type": "connection_init", "payload": {"name": "slow"}})
        await until(lambda: deeds.identified)
        vanish(client)
    await asyncio.sleep(0.05)
    deeds.gate.set()
    await asyncio.sleep(0.05)
    assert deeds.ends == []


def handshake() -> bytes:
    lines = [
        "GET /graphql HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: graphql-transport-ws",
    ]
    return "\r\n".join([*lines, "", ""]).encode()
