"""Event streams: the protocol, its edges, and how they end."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx2
import pytest

from app.db.database import Database
from app.db.options import Options
from app.graphql import sse as door
from app.graphql.sse import StreamLimits
from tests.graphql_socket.client import APOLLO, SECONDS, deaf, until
from tests.graphql_socket.service import Deeds, Server, config, streams

EVENTS = {"accept": "text/event-stream"}


class Event(NamedTuple):
    """One event; a comment has neither type nor data."""

    type: str | None
    data: Any
    id: str | None = None


COMPLETE = Event("complete", None)


def next_event(**data: Any) -> Event:
    return Event("next", {"data": data})


async def events(response: httpx2.Response) -> AsyncIterator[Event]:
    """As a browser reads them, but for comments, which it leaves out."""
    rest = ""
    async for text in response.aiter_text():
        *whole, rest = (rest + text).split("\n\n")
        for block in whole:
            fields = {
                name: value.removeprefix(" ") for name, _, value in (line.partition(":") for line in block.split("\n"))
            }
            data = fields.get("data")
            yield Event(fields.get("event"), json.loads(data) if data else None, fields.get("id"))


@pytest.fixture
async def url(deeds: Deeds) -> AsyncIterator[str]:
    """A server's address."""
    async with Server(config(streams(deeds))) as server:
        yield server.url.replace("ws:", "http:")


@contextlib.asynccontextmanager
async def opened(url: str, query: str, method: str = "POST", **options: Any) -> AsyncIterator[httpx2.Response]:
    headers = EVENTS | options.pop("headers", {})
    async with httpx2.AsyncClient(timeout=SECONDS, verify=False) as client:
        if method == "GET":
            request = client.stream("GET", f"{url}?{urlencode({'query': query, **options})}", headers=headers)
        else:
            request = client.stream(method, url, json={"query": query, **options}, headers=headers)
        async with request as response:
            yield response


async def all_events(url: str, query: str, method: str = "POST", **options: Any) -> list[Event]:
    async with opened(url, query, method, **options) as response:
        assert response.status_code == 200
        return [event async for event in events(response)]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_subscription_and_a_query(url: str, method: str) -> None:
    counted = await all_events(url, "subscription { count(to: 3) }", method)
    assert counted == [next_event(count=1), next_event(count=2), next_event(count=3), COMPLETE]
    assert await all_events(url, '{ echo(text: "ä\\n\\r\\u2028") }', method) == [
        next_event(echo="ä\n\r\u2028"),
        COMPLETE,
    ]


async def test_variables_in_the_url(url: str) -> None:
    query = "query A { viewer } query B($text: String!) { echo(text: $text) }"
    assert await all_events(
        url, query, "GET", variables='{"text": "t"}', operationName="B", headers={"name": "ann"}
    ) == [next_event(echo="t"), COMPLETE]


async def test_what_proxies_and_caches_are_told(url: str) -> None:
    async with opened(url, "subscription { silence }") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"


async def test_a_mutation_by_post_alone(url: str, deeds: Deeds) -> None:
    deeds.gate.set()
    assert await all_events(url, "mutation { write(value: 7) }") == [next_event(write=7), COMPLETE]
    async with opened(url, "mutation { write(value: 8) }", "GET") as response:
        assert response.status_code == 405
        assert response.headers["allow"] == "POST"
    assert deeds.written == [7]


async def test_a_wrong_document_is_told_by_an_event(url: str) -> None:
    for query, code in (("{ nonsense }", "INVALID_DOCUMENT"), ("subscription { refused }", "NOT_FOUND")):
        first, *rest = await all_events(url, query, "GET")
        assert first.type == "next"
        assert first.data["errors"][0]["extensions"]["code"] == code
        assert rest == [COMPLETE]


async def test_a_stream_that_fails_says_so_in_its_last_result(url: str) -> None:
    *results, last, complete = await all_events(url, "subscription { failing }")
    assert results == [next_event(failing=1), next_event(failing=2)]
    assert (last.data["data"], last.data["errors"][0]["extensions"]["code"]) == (None, "NOT_FOUND")
    assert complete == COMPLETE


async def test_what_nobody_foresaw_is_shown_as_an_id(url: str, caplog: pytest.LogCaptureFixture) -> None:
    *_, last, complete = await all_events(url, "subscription { breaking }")
    assert complete == COMPLETE
    assert last.data["errors"][0]["extensions"]["incident"] in caplog.text
    assert "secret" not in str(last)
    caplog.clear()


async def test_wrong_requests_and_credentials_are_answered_by_a_status(url: str) -> None:
    for headers, status, code in (
        ({"name": "wrong"}, 401, "UNAUTHENTICATED"),
        ({"name": "busy"}, 503, "DATABASE_BUSY"),
    ):
        async with opened(url, "subscription { count }", "GET", headers=headers) as response:
            assert response.status_code == status
            assert json.loads(await response.aread())["errors"][0]["extensions"]["code"] == code
    async with opened(url, "subscription { count }", variables=[]) as response:
        assert response.status_code == 400
    async with opened(url, "subscription { count }", "PUT") as response:
        assert response.status_code == 405
    async with opened(url, "{ viewer }", headers={"content-type": "text/plain"}) as response:
        assert response.status_code == 415


async def test_who_does_not_accept_events_is_told_what_to_do(url: str) -> None:
    async with opened(url, "subscription { count }", headers={"accept": "application/json"}) as response:
        assert response.status_code == 400
        assert "accept text/event-stream" in (await response.aread()).decode()


async def test_comments_keep_a_silent_stream_alive(deeds: Deeds) -> None:
    limits = StreamLimits(alive_seconds=0.05)
    async with Server(config(streams(deeds, limits))) as server:
        async with opened(server.url.replace("ws:", "http:"), "subscription { silence }") as response:
            found = events(response)
            for _ in range(3):
                assert await anext(found) == Event(None, None)
        await until(lambda: deeds.open == 0)


@pytest.mark.parametrize("query", ["subscription { silence }", "subscription { count }", "{ forever }"])
async def test_what_nobody_listens_to_ends(url: str, deeds: Deeds, query: str) -> None:
    async with opened(url, query, headers={"name": "ann"}):
        await until(lambda: deeds.open == 1)
        assert len(deeds.ends) == 1
    await until(lambda: deeds.open == 0 and deeds.ends == [])


@pytest.fixture
async def one_reader(database_url: str) -> AsyncIterator[Database]:
    """A database that is read by one statement at a time."""
    async with await Database.open(database_url, options=Options(readers=1)) as database:
        yield database


async def test_leaving_ends_the_work_of_the_database(deeds: Deeds, one_reader: Database) -> None:
    async with Server(config(streams(deeds, database=one_reader))) as server:
        async with opened(server.url.replace("ws:", "http:"), "subscription { minutes }"):
            await until(lambda: deeds.open == 1)
            await asyncio.sleep(0.1)  # the statement is under way
        async with asyncio.timeout(30):
            assert await one_reader.read("SELECT 1") == [(1,)]


async def test_a_mutation_goes_on_though_the_client_is_gone(url: str, deeds: Deeds) -> None:
    async with opened(url, "mutation { a: write(value: 1) b: write(value: 2) }"):
        await until(lambda: deeds.open == 1)
    await asyncio.sleep(0.05)
    deeds.gate.set()
    await until(lambda: deeds.written == [1, 2])


async def test_a_stream_ends_with_its_credential(url: str, deeds: Deeds) -> None:
    async with opened(url, "subscription { silence }", headers={"name": "ann"}) as response:
        await until(lambda: deeds.open == 1)
        await deeds.ends[0]()
        assert [event async for event in events(response)] == []
    await until(lambda: deeds.open == 0)


async def test_a_shutdown_ends_streams(deeds: Deeds) -> None:
    app = streams(deeds)
    async with Server(config(app)) as server:
        async with opened(server.url.replace("ws:", "http:"), "subscription { silence }") as response:
            await until(lambda: deeds.open == 1)
            app.close()
            assert [event async for event in events(response)] == []
        await until(lambda: deeds.open == 0)


@pytest.mark.parametrize("accept", [EVENTS["accept"], APOLLO], ids=["events", "multipart"])
async def test_a_client_that_never_reads_holds_one_result_and_is_given_up(
    deeds: Deeds, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, accept: str
) -> None:
    monkeypatch.setattr(door, "_CLOSE_SECONDS", 0.05)
    length = 250_000
    async with Server(config(streams(deeds, StreamLimits(alive_seconds=0.5)))) as server:
        with deaf(server.url, f"subscription {{ texts(length: {length}) }}", accept):
            await until(lambda: deeds.given > 1)
            await until(lambda: deeds.open == 0 and deeds.ends == [] and not server.server_state.tasks)
            assert deeds.given * length < 10 * 1024 * 1024 + 3 * length
    caplog.clear()  # the server tells of the response that was cut off
