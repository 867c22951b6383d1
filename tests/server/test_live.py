"""Live on two real servers over one database: whoever commits, everybody sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest
from gql import Client as GqlClient
from gql import gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.api.conftest import operation
from tests.server.conftest import Start, Team
from tests.support.server import Client, Server

PATIENCE = 30


@asynccontextmanager
async def subscribed(server: Server, key: str, **variables: Any) -> AsyncIterator[AsyncIterator[Any]]:
    """The messages of RecordChanged, by the `gql` client."""
    transport = WebsocketsTransport(server.socket_address, init_payload={"Authorization": f"Bearer {key}"})
    async with GqlClient(transport=transport, fetch_schema_from_transport=False) as session:
        request = gql(operation("RecordChanged"))
        request.variable_values = variables

        async def messages() -> AsyncIterator[Any]:
            async for data in session.subscribe(request):
                yield data["recordChanged"]

        yield messages()


async def next_message(messages: AsyncIterator[Any]) -> Any:
    return await asyncio.wait_for(anext(messages), PATIENCE)


async def changed(messages: AsyncIterator[Any], record: str) -> Any:
    """The next message that has this record, and the record as it has it."""
    while True:
        message = await next_message(messages)
        for item in message["records"]:
            if item["id"] == record:
                return message, item


async def test_a_change_on_one_server_is_seen_on_the_other(start: Start, server: Server, team: Team) -> None:
    other = start()
    record = team.records[0]
    async with Client(server, team.keys["ann"]) as ann, Client(server, team.keys["ben"]) as ben:
        async with subscribed(other, team.keys["cem"], dataset=team.dataset) as messages:
            first = await next_message(messages)
            assert first["records"] == []
            assert first["progress"] == {"total": 200, "completed": 0, "pending": 200}
            answer = {"recordId": record, "values": {"quality": 1}}
            await ann.mutate(operation("SubmitResponse"), answer)
            _, seen = await changed(messages, record)
            assert seen == {"id": record, "status": "PENDING", "submittedCount": 1}
            await ben.mutate(operation("SubmitResponse"), answer)
            message, seen = await changed(messages, record)
            assert seen == {"id": record, "status": "COMPLETED", "submittedCount": 2}
            assert message["progress"] == {"total": 200, "completed": 1, "pending": 199}
            cursor = message["cursor"]
        # Nobody listens. What happens now is told to whoever resumes, on either server.
        await ann.mutate(operation("DiscardResponse"), {"recordId": record})
        await ben.mutate(operation("SaveDraft"), {"recordId": team.records[1], "values": {"quality": 2}})
        for resumed_on in (server, other):
            async with subscribed(resumed_on, team.keys["cem"], dataset=team.dataset, after=cursor) as messages:
                seen = {}
                while len(seen) < 2:
                    seen |= {item["id"]: item for item in (await next_message(messages))["records"]}
                assert seen[record] == {"id": record, "status": "PENDING", "submittedCount": 1}
                assert seen[team.records[1]]["status"] == "PENDING"


async def _socket(server: Server, key: str, stack: Any) -> ClientConnection:
    socket = await stack.enter_async_context(
        connect(server.socket_address, subprotocols=[Subprotocol("graphql-transport-ws")])
    )
    await socket.send(orjson.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {key}"}}).decode())
    assert orjson.loads(await socket.recv())["type"] == "connection_ack"
    return socket  # type: ignore[no-any-return]


async def test_a_revoked_key_ends_the_sockets_on_every_server(start: Start, server: Server, team: Team) -> None:
    other = start()
    async with AsyncExitStack() as stack, Client(server, team.owner) as owner:
        revoked = await _socket(other, team.keys["ann"], stack)
        kept = await _socket(other, team.keys["ben"], stack)
        await owner.mutate(operation("RevokeApiKey"), {"id": team.key_ids["ann"]})
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(revoked.recv(), PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
        await kept.send('{"type":"ping"}')
        assert orjson.loads(await asyncio.wait_for(kept.recv(), PATIENCE)) == {"type": "pong"}


async def test_a_removed_member_s_stream_ends(start: Start, server: Server, team: Team) -> None:
    other = start()
    async with (
        Client(server, team.owner) as owner,
        subscribed(other, team.keys["ann"], dataset=team.dataset) as messages,
    ):
        await next_message(messages)
        await owner.mutate(operation("RemoveMember"), {"workspaceId": team.workspace, "userId": team.users["ann"]})
        with pytest.raises(TransportQueryError, match="There is no dataset"):
            await next_message(messages)


async def test_the_stream_of_a_deleted_dataset_ends(start: Start, server: Server, team: Team) -> None:
    other = start()
    async with (
        Client(server, team.owner) as owner,
        subscribed(other, team.keys["ann"], dataset=team.dataset) as messages,
    ):
        await next_message(messages)
        await owner.mutate(operation("DeleteDataset"), {"id": team.dataset})
        with pytest.raises(TransportQueryError, match="There is no dataset"):
            await next_message(messages)
