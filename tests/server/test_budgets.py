"""Budgets of real servers: what an answer tells of them, how every door refuses, and that servers share them."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.graphql_socket.client import connected
from tests.server.conftest import Start
from tests.support.server import Client, Server

PAGE = "{ datasets(first: 100) { nodes { id name } } }"
PAGE_COST = 302  # the connection and its list, and an id, a name and the object itself for each of 100
DEAR = "{ datasets(first: 500) { nodes { records(first: 100) { nodes { id } } } } }"
DEAR_COST = 101_002


async def asked(client: Client, query: str, **headers: str) -> Any:
    return await client.http.post("/graphql", json={"query": query}, headers=headers)


async def empty(client: Client) -> Any:
    """Ask until it is refused; how it was refused. In the time of a request much less comes back than it costs."""
    for _ in range(200):
        answer = await asked(client, DEAR)
        if answer.status_code != 200:
            return answer
    raise AssertionError("There is no end to the budget.")


async def test_an_answer_tells_its_cost_and_what_is_left(server: Server) -> None:
    async with Client(server, server.key) as owner, Client(server, None) as nobody:
        told = (await asked(owner, PAGE)).json()["extensions"]["cost"]
        assert (told["requested"], told["limit"]) == (PAGE_COST, 1_000_000)
        assert 59_000_000 < told["remaining"] < 60_000_000
        told = (await asked(nobody, "{ __typename }")).json()["extensions"]["cost"]
        assert (told["requested"], told["limit"]) == (2, 100_000)
        assert 5_900_000 < told["remaining"] < 6_000_000
        dear = await asked(owner, DEAR.replace("first: 100", "first: 500").replace("id", "id externalId status"))
        assert dear.json()["errors"][0]["extensions"] == {"code": "LIMIT_EXCEEDED"}
        assert dear.json()["extensions"]["cost"]["requested"] > dear.json()["extensions"]["cost"]["limit"]
        for nothing in ("{", "{ nothing }", "query A { __typename } query B { __typename }"):
            told = (await asked(owner, nothing)).json()["extensions"]["cost"]
            assert (told["requested"], told["limit"]) == (0, 1_000_000), nothing
            assert 0 < told["remaining"] < 60_000_000, nothing
        events = await asked(owner, PAGE, accept="text/event-stream")
        assert b'"extensions":{"cost":{"requested":302,' in events.content
    async with connected(server.socket_address, init=False) as socket:
        await socket.init(authorization=f"Bearer {server.key}")
        first, last = await socket.run(PAGE)
        assert first["payload"]["extensions"]["cost"]["requested"] == PAGE_COST
        assert last == {"type": "complete"}


async def test_every_door_refuses_what_a_key_has_not_left(start: Start) -> None:
    server = start(budget_per_minute="1000000")
    async with Client(server, server.key) as owner:
        refused = await empty(owner)
        [error] = refused.json()["errors"]
        assert (refused.status_code, error["extensions"]["code"]) == (429, "RATE_LIMITED")
        assert int(refused.headers["retry-after"]) == error["extensions"]["retryAfter"] >= 1
        assert "for this key or session (GRADBOOK_BUDGET_PER_MINUTE)" in error["message"]
        cost = refused.json()["extensions"]["cost"]
        assert cost["requested"] == DEAR_COST > cost["remaining"] - 300
        for accept in ("application/json", "application/graphql-response+json", "text/event-stream"):
            answer = await asked(owner, DEAR, accept=accept)
            assert answer.status_code == 429, accept
            assert int(answer.headers["retry-after"]) >= 1
        file = await owner.http.get("/datasets/dst_1/export")
        assert (file.status_code, "RATE_LIMITED" in file.text) == (429, True)
        async with connected(server.socket_address) as socket:
            await socket.init(authorization=f"Bearer {server.key}")
            [message] = await socket.run(DEAR)
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
            assert message["payload"][0]["extensions"]["retryAfter"] >= 1
    async with Client(server, None) as nobody:
        assert (await asked(nobody, "{ __typename }")).status_code == 200, "it is the key's budget"
    assert "Traceback" not in server.log


REFUSED: dict[str, dict[str, Any]] = {
    "a document": {"json": {"query": "{ nothing }"}},
    "a hash that nobody sent": {
        "json": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}},
    },
    "a body": {"content": b"{", "headers": {"content-type": "application/json"}},
    "a key": {"json": {"query": "{ __typename }"}, "headers": {"authorization": f"Bearer gb_{'x' * 43}"}},
}


async def test_what_is_refused_is_paid_for_by_where_it_comes_from(start: Start) -> None:
    server = start(budget_per_minute="60000")
    async with Client(server, None) as nobody, Client(server, server.key) as owner:
        for name, request in REFUSED.items():
            answers = [await nobody.http.post("/graphql", **request) for _ in range(40)]
            assert answers[-1].status_code == 429, name
            assert "who are not signed in" in answers[-1].text, name
        assert (await owner.run("{ viewer { username } }"))["viewer"] == {"username": "owner"}
    async with connected(server.socket_address) as socket:
        for _ in range(100):
            async with connected(server.socket_address) as another:
                await another.send({"type": "connection_init", "payload": {"authorization": f"Bearer gb_{'x' * 43}"}})
                if (await another.closed())[0] == 1013:
                    break
        else:
            raise AssertionError("Wrong keys on sockets cost nothing.")
        await socket.init(authorization=f"Bearer {server.key}")


async def test_servers_on_one_database_share_a_budget(start: Start) -> None:
    one, other = start(budget_per_minute="3000000"), start(budget_per_minute="3000000")
    async with Client(one, one.key) as here, Client(other, one.key) as there:
        spent = [(await asked(there, DEAR)).json()["extensions"]["cost"]["remaining"] for _ in range(4)]
        assert spent[-1] > 2_400_000
        await empty(here)
        async with asyncio.timeout(60):
            while (answer := await asked(there, "{ viewer { username } }")).status_code == 200:
                if answer.json()["extensions"]["cost"]["remaining"] < 2_000_000:
                    break  # it has spent little more itself: it has heard of the rest
                await asyncio.sleep(0.2)


async def test_without_limits_nothing_is_left_to_tell(start: Start) -> None:
    server = start(budget_per_minute="0", budget_per_address_per_minute="0")
    async with Client(server, server.key) as owner:
        cost = (await asked(owner, PAGE)).json()["extensions"]["cost"]
        assert cost == {"requested": PAGE_COST, "limit": 1_000_000}
