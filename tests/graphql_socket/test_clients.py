"""A client library that others use: gql."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gql import Client, gql
from gql.client import AsyncClientSession
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from websockets import ConnectionClosed

from app.graphql.socket import SocketLimits
from tests.graphql_socket.client import until
from tests.graphql_socket.service import Deeds, running, socket


def gql_client(url: str, **options: Any) -> Client:
    return Client(transport=WebsocketsTransport(url=url, close_timeout=1, **options), execute_timeout=10)


@pytest.fixture
async def session(url: str) -> AsyncIterator[AsyncClientSession]:
    async with gql_client(url, init_payload={"name": "ann"}) as session:
        yield session


async def test_queries_and_mutations(session: AsyncClientSession, deeds: Deeds) -> None:
    assert await session.execute(gql("{ viewer }")) == {"viewer": "ann"}
    query = gql("query A($text: String!) { b: echo(text: $text) } query B { viewer }")
    query.variable_values = {"text": "ä\x00\U0001f600"}
    query.operation_name = "A"
    assert await session.execute(query) == {"b": "ä\x00\U0001f600"}
    deeds.gate.set()
    assert await session.execute(gql("mutation { write(value: 7) }")) == {"write": 7}
    assert deeds.written == [7]


async def test_errors(session: AsyncClientSession) -> None:
    for query, code in (("{ nonsense }", "INVALID_DOCUMENT"), ("{ refused }", "NOT_FOUND")):
        with pytest.raises(TransportQueryError) as refused:
            await session.execute(gql(query))
        assert refused.value.errors is not None
        assert refused.value.errors[0]["extensions"]["code"] == code
    assert await session.execute(gql("{ viewer }")) == {"viewer": "ann"}


async def test_subscriptions_side_by_side(session: AsyncClientSession, deeds: Deeds) -> None:
    async def count(to: int) -> list[int]:
        return [result["count"] async for result in session.subscribe(gql(f"subscription {{ count(to: {to}) }}"))]

    counts = await asyncio.gather(*(count(to) for to in range(20)))
    assert counts == [list(range(1, to + 1)) for to in range(20)]
    async for result in session.subscribe(gql("subscription { count }")):
        if result["count"] == 5:
            break
    await until(lambda: deeds.open == 0)
    assert await session.execute(gql("{ viewer }")) == {"viewer": "ann"}


async def test_pings_of_both_sides_are_answered(deeds: Deeds) -> None:
    limits = SocketLimits(ping_seconds=0.3, pong_seconds=0.3)
    async with running(socket(deeds, limits)) as url, gql_client(url, ping_interval=0.2) as session:
        transport = session.transport
        assert isinstance(transport, WebsocketsTransport)
        for _ in range(3):
            await asyncio.wait_for(transport.ping_received.wait(), 5)
            transport.ping_received.clear()
        assert await session.execute(gql("{ viewer }")) == {"viewer": None}


async def test_wrong_credentials(url: str) -> None:
    with pytest.raises(TransportConnectionFailed) as refused:
        async with gql_client(url, init_payload={"name": "wrong"}):
            raise AssertionError("it was let in")
    closed = refused.value.__cause__
    assert isinstance(closed, ConnectionClosed)
    assert closed.rcvd is not None
    assert closed.rcvd.code == 4403
