"""Servers that run registered operations alone: every door, restarts, and replicas that hear of what is new."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from app.accounts.access import OPERATOR
from app.accounts.registered import Document, register_operations, remove_operations
from app.db import UnitOfWork
from app.services import open_book
from app.settings import load
from tests.server.conftest import Start
from tests.support.server import Client, Server

SECONDS = 60
ME = "query Me { viewer { username } }"
RENAME = "mutation Make($name: String!) { createWorkspace(input: {name: $name}) { workspace { name } } }"
TASKS = "subscription Tasks { trainTaskChanged { cursor } }"
NEW = "query New { viewer { role } }"
SHA = hashlib.sha256(ME.encode()).hexdigest()
OWNER = {"viewer": {"username": "owner"}}


async def change(url: str, work: Callable[[UnitOfWork], object]) -> None:
    """What the commands do, in another process than the servers'."""
    async with await open_book(load(database_url=url)) as database:
        await database.transact(work, viewer=OPERATOR)


async def register(url: str, **texts: str) -> None:
    documents = [Document(name, name, text) for name, text in texts.items()]
    await change(url, lambda uow: register_operations(uow, documents))


async def post(client: Client, body: dict[str, Any], **headers: str) -> Any:
    answer = await client.http.post("/graphql", json=body, headers=headers)
    assert answer.headers["content-type"].startswith(headers.get("accept", "application/json")), answer.text
    return answer


def refused(result: Any) -> bool:
    return "data" not in result and [error["extensions"]["code"] for error in result["errors"]] == [
        "OPERATION_NOT_REGISTERED"
    ]


async def over_socket(server: Server, key: str, payload: dict[str, Any]) -> Any:
    """The first message about an operation."""
    async with connect(server.socket_address, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {key}"}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        async with asyncio.timeout(SECONDS):
            return json.loads(await socket.recv())


async def first_event(client: Client, body: dict[str, Any]) -> Any:
    async with client.http.stream("POST", "/graphql", json=body, headers={"accept": "text/event-stream"}) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended without a result")


async def test_a_locked_server_runs_what_is_registered_through_every_door(start: Start, database_url: str) -> None:
    await register(database_url, me=ME, make=RENAME, tasks=TASKS)
    server = start(registered_only="true")
    assert server.key is not None
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": SHA}}
    good: list[dict[str, Any]] = [
        {"documentId": "me"},
        {"documentId": f"sha256:{SHA}"},
        {"extensions": persisted},
        {"query": ME},
        {"query": ME, "extensions": persisted},
    ]
    other = hashlib.sha256(NEW.encode()).hexdigest()
    bad: list[dict[str, Any]] = [
        {"documentId": "other"},
        {"query": NEW},
        {"query": ME + "\n"},
        {"query": "{ __schema { description } }"},
        {"query": NEW, "documentId": "me"},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": other}}},
        {"query": NEW, "extensions": {"persistedQuery": {"version": 1, "sha256Hash": other}}},
    ]
    async with Client(server, server.key) as client:
        for body in good:
            assert (await post(client, body)).json()["data"] == OWNER, body
            parameters = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
            assert (await client.http.get("/graphql", params=parameters)).json()["data"] == OWNER, body
            assert (await first_event(client, body))["data"] == OWNER, body
            assert (await over_socket(server, server.key, body))["payload"]["data"] == OWNER, body
        for body in bad:
            assert refused((await post(client, body)).json()), body
            strict = await post(client, body, accept="application/graphql-response+json")
            assert strict.status_code == 400
            assert refused(await first_event(client, body)), body
            message = await over_socket(server, server.key, body)
            assert message["type"] == "error"
            assert refused({"errors": message["payload"]}), body
        made = await post(client, {"documentId": "make", "variables": {"name": "new"}})
        assert made.json()["data"]["createWorkspace"]["workspace"] == {"name": "new"}
        by_get = await client.http.get("/graphql", params={"documentId": "make", "variables": '{"name": "x"}'})
        assert by_get.status_code == 405
        assert "trainTaskChanged" in (await first_event(client, {"documentId": "tasks"}))["data"]
        assert "trainTaskChanged" in (await over_socket(server, server.key, {"documentId": "tasks"}))["payload"]["data"]
        wrong = await post(client, {"documentId": 7})
        assert (wrong.status_code, "'documentId' is no text" in wrong.text) == (400, True)
        page = await client.http.get("/graphiql")
        assert (page.status_code, "GRADBOOK_REGISTERED_ONLY" in page.text) == (403, True)
    assert "Traceback" not in server.log


async def test_servers_hear_of_what_is_registered_and_removed_without_a_restart(
    start: Start, database_url: str
) -> None:
    locked, unlocked = start(registered_only="true"), start()
    body = {"documentId": "new"}
    role = {"viewer": {"role": "OWNER"}}
    async with Client(locked, locked.key) as a, Client(unlocked, locked.key) as b:
        await register(database_url, new=NEW)
        for client in (a, b):
            # Nobody has asked yet for what is not there: the first question finds it.
            assert (await post(client, body)).json()["data"] == role
        await change(database_url, lambda uow: remove_operations(uow, ["new"]))
        async with asyncio.timeout(SECONDS):
            for client in (a, b):
                while not refused((await post(client, body)).json()):
                    await asyncio.sleep(0.05)
        assert (await post(b, {"query": NEW})).json()["data"] == role
        # What is kept of automatic persisted queries on an open server is not registered by that.
        hashed = {"persistedQuery": {"version": 1, "sha256Hash": SHA}}
        for asked in ({"query": ME, "extensions": hashed}, {"extensions": hashed}):
            assert (await post(b, asked)).json()["data"] == OWNER
        assert refused((await post(b, {"documentId": SHA})).json())
        await register(database_url, new=NEW)
    assert locked.stop() == 0
    async with Client(start(registered_only="true"), locked.key) as client:
        assert (await post(client, body)).json()["data"] == role
    assert not any("Traceback" in server.log for server in (locked, unlocked))
