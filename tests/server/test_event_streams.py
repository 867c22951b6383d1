"""Event streams of a real server process, as a browser's EventSource uses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import orjson

from tests.api.conftest import operation
from tests.server.conftest import Team
from tests.support.server import Client, Server

PATIENCE = 60
Event = dict[str, str]


@asynccontextmanager
async def listening(server: Server, dataset: str, **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of RecordChanged, from a URL that says nothing of a cursor."""
    parameters = {"query": operation("RecordChanged"), "variables": orjson.dumps({"dataset": dataset}).decode()}
    headers = {"accept": "text/event-stream", **headers}
    async with (
        httpx2.AsyncClient(base_url=server.address, timeout=PATIENCE, verify=False) as http,
        http.stream("GET", "/graphql", params=parameters, headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()

        async def events() -> AsyncIterator[Event]:
            rest = ""
            async for text in response.aiter_text():
                *whole, rest = (rest + text).split("\n\n")
                for block in whole:
                    if not block.startswith(":"):
                        fields = (line.partition(": ") for line in block.split("\n"))
                        yield {name: value for name, _, value in fields}

        yield events()


def told(event: Event) -> Any:
    """What the event tells."""
    return orjson.loads(event["data"])["data"]["recordChanged"]


async def test_a_browser_that_connects_again_goes_on_after_the_last_event(server: Server, team: Team) -> None:
    """With a session's cookie and the browser's Last-Event-ID: no page has to know of cursors."""
    async with Client(server, team.keys["ann"]) as ann:
        bearer = {"authorization": f"Bearer {team.keys['cem']}"}
        async with listening(server, team.dataset, **bearer) as events:
            first = await anext(events)
            assert first["id"] == told(first)["cursor"]
        for record in team.records[:2]:
            await ann.mutate(operation("SubmitResponse"), {"recordId": record, "values": {"quality": 1}})
        last = first["id"]
        seen: set[str] = set()
        async with listening(server, team.dataset, **bearer, **{"last-event-id": last}) as events:
            while len(seen) < 2:
                seen |= {item["id"] for item in told(await anext(events))["records"]}
        assert seen == set(team.records[:2])


async def test_streams_end_with_the_key_and_with_the_server(server: Server, team: Team) -> None:
    async with (
        Client(server, team.owner) as owner,
        listening(server, team.dataset, authorization=f"Bearer {team.keys['ann']}") as ann,
        listening(server, team.dataset, authorization=f"Bearer {team.keys['ben']}") as ben,
    ):
        await anext(ann)
        await anext(ben)
        await owner.mutate(operation("RevokeApiKey"), {"id": team.key_ids["ann"]})
        async with asyncio.timeout(PATIENCE):
            assert [event async for event in ann] == []
        stopping = asyncio.to_thread(server.stop)
        async with asyncio.timeout(PATIENCE):
            code, _ = await asyncio.gather(stopping, _drained(ben))
        assert code == 0
        assert "ERROR" not in server.log.upper()


async def _drained(events: AsyncIterator[Event]) -> None:
    assert [event async for event in events] == []


async def test_a_session_is_enough_and_other_origins_are_not(server: Server, team: Team) -> None:
    async with httpx2.AsyncClient(base_url=server.address, timeout=PATIENCE, verify=False) as http:
        made = await http.post("/sign-in", json={"link": str(server.link).partition("#")[2]})
        cookie = made.headers["set-cookie"].partition(";")[0]
    async with listening(server, team.dataset, cookie=cookie, origin=server.address) as events:
        assert told(await anext(events))["records"] == []
    async with httpx2.AsyncClient(base_url=server.address, timeout=PATIENCE, verify=False) as http:
        headers = {"accept": "text/event-stream", "cookie": cookie, "origin": "https://evil.example"}
        refused = await http.get("/graphql", params={"query": "{ viewer { id } }"}, headers=headers)
        assert refused.status_code == 403
