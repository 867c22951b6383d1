"""Apollo's multipart subscriptions: the protocol, and what they have in common with event streams."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from app.graphql.sse import StreamLimits
from tests.graphql_socket.client import APOLLO, SECONDS, until
from tests.graphql_socket.service import Deeds, Server, config, streams

DELIMITER = "\r\n--graphql"
END = "the end"


@pytest.fixture
async def url(deeds: Deeds) -> AsyncIterator[str]:
    """A server's address."""
    async with Server(config(streams(deeds))) as server:
        yield server.url.replace("ws:", "http:")


@contextlib.asynccontextmanager
async def opened(url: str, query: str, accept: str = APOLLO, **headers: str) -> AsyncIterator[httpx2.Response]:
    async with (
        httpx2.AsyncClient(timeout=SECONDS, verify=False) as client,
        client.stream("POST", url, json={"query": query}, headers={"accept": accept, **headers}) as response,
    ):
        yield response


async def parts(response: httpx2.Response) -> AsyncIterator[Any]:
    """What each part says as soon as its delimiter is there; at last END, if the stream says that it ends."""
    assert response.headers["content-type"] == 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0'
    rest, begun = "", False
    async for text in response.aiter_text():
        *whole, rest = (rest + text).split(DELIMITER)
        for part in whole:
            if begun:
                headers, _, content = part.partition("\r\n\r\n")
                assert headers == "\r\nContent-Type: application/json"
                yield json.loads(content)
            else:
                assert part == ""
                begun = True
    if rest:
        assert rest == "--\r\n"
        yield END


async def all_parts(url: str, query: str, **headers: str) -> list[Any]:
    async with opened(url, query, **headers) as response:
        assert response.status_code == 200
        return [part async for part in parts(response)]


def payload(**data: Any) -> Any:
    return {"payload": {"data": data}}


async def test_each_result_is_a_part(url: str) -> None:
    assert await all_parts(url, "subscription { count(to: 3) }") == [
        payload(count=1),
        payload(count=2),
        payload(count=3),
        END,
    ]


async def test_what_proxies_and_caches_are_told(url: str) -> None:
    async with opened(url, "subscription { silence }") as response:
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize(
    ("accept", "media_type", "failed"),
    [
        (APOLLO, "application/graphql-response+json", 400),
        ("multipart/mixed;subscriptionSpec=1.0, application/json", "application/json", 200),
        ("multipart/mixed;subscriptionSpec=1.0", "application/json", 200),
    ],
)
async def test_what_is_no_subscription_is_answered_as_ever(
    url: str, deeds: Deeds, accept: str, media_type: str, failed: int
) -> None:
    deeds.gate.set()
    for query, status, expected in (
        ('{ echo(text: "t") }', 200, {"data": {"echo": "t"}}),
        ("mutation { write(value: 7) }", 200, {"data": {"write": 7}}),
        ("{ nonsense }", failed, None),
        ("subscription { nonsense }", failed, None),
    ):
        async with opened(url, query, accept) as response:
            answer = json.loads(await response.aread())
            assert (response.status_code, response.headers["content-type"]) == (status, media_type)
            assert answer == expected if expected else answer["errors"][0]["extensions"]["code"] == "INVALID_DOCUMENT"
    assert deeds.written == [7]


async def test_another_multipart_is_not_meant(url: str) -> None:
    for accept in ("multipart/mixed;deferSpec=20220824, application/json", "multipart/mixed, application/json"):
        async with opened(url, "subscription { count }", accept) as response:
            assert response.status_code == 400
            assert "subscriptionSpec=1.0" in (await response.aread()).decode()
    async with opened(url, "subscription { count }", "multipart/mixed") as response:
        assert response.status_code == 406


async def test_a_subscription_that_cannot_begin_or_fails_says_so_in_a_payload(url: str) -> None:
    [refused, end] = await all_parts(url, "subscription { refused }")
    assert (refused["payload"]["errors"][0]["extensions"]["code"], end) == ("NOT_FOUND", END)
    *results, last, end = await all_parts(url, "subscription { failing }")
    assert results == [payload(failing=1), payload(failing=2)]
    assert (last["payload"]["data"], last["payload"]["errors"][0]["extensions"]["code"]) == (None, "NOT_FOUND")
    assert end == END


async def test_what_nobody_foresaw_is_a_transport_error(url: str, caplog: pytest.LogCaptureFixture) -> None:
    *_, last, end = await all_parts(url, "subscription { breaking }")
    assert (last["payload"], end) == (None, END)
    assert last["errors"][0]["extensions"]["incident"] in caplog.text
    assert "secret" not in str(last)
    caplog.clear()


async def test_wrong_requests_and_credentials_are_answered_by_a_status(url: str) -> None:
    for headers, status, code in (
        ({"name": "wrong"}, 401, "UNAUTHENTICATED"),
        ({"name": "busy"}, 503, "DATABASE_BUSY"),
        ({"content-type": "text/plain"}, 415, "INVALID_INPUT"),
    ):
        async with opened(url, "subscription { count }", **headers) as response:
            assert response.status_code == status
            assert json.loads(await response.aread())["errors"][0]["extensions"]["code"] == code


async def test_a_silent_stream_says_that_it_is_alive(deeds: Deeds) -> None:
    async with Server(config(streams(deeds, StreamLimits(alive_seconds=0.05)))) as server:
        async with opened(server.url.replace("ws:", "http:"), "subscription { silence }") as response:
            found = parts(response)
            for _ in range(3):
                assert await anext(found) == {}
        await until(lambda: deeds.open == 0)


@pytest.mark.parametrize("query", ["subscription { silence }", "subscription { count }"])
async def test_what_nobody_listens_to_ends(url: str, deeds: Deeds, query: str) -> None:
    async with opened(url, query, name="ann"):
        await until(lambda: deeds.open == 1)
        assert len(deeds.ends) == 1
    await until(lambda: deeds.open == 0 and deeds.ends == [])


async def test_a_stream_ends_with_its_credential_and_says_so(url: str, deeds: Deeds) -> None:
    async with opened(url, "subscription { silence }", name="ann") as response:
        await until(lambda: deeds.open == 1)
        await deeds.ends[0]()
        [error, end] = [part async for part in parts(response)]
        assert (error["payload"], error["errors"][0]["extensions"]["code"], end) == (None, "UNAUTHENTICATED", END)
    await until(lambda: deeds.open == 0)


async def test_a_shutdown_breaks_streams_off(deeds: Deeds) -> None:
    """Without the last delimiter, so that the client knows that it has not heard everything."""
    app = streams(deeds)
    async with Server(config(app)) as server:
        async with opened(server.url.replace("ws:", "http:"), "subscription { silence }") as response:
            await until(lambda: deeds.open == 1)
            app.close()
            assert [part async for part in parts(response)] == []
        await until(lambda: deeds.open == 0)


async def test_those_who_ask_for_the_same_share_the_work_whatever_they_speak(url: str, deeds: Deeds) -> None:
    query = "subscription { log(signs: 3) }"
    async with opened(url, query) as multipart, opened(url, query, accept="text/event-stream") as sse:
        results, lines = parts(multipart), sse.aiter_lines()
        await until(lambda: deeds.reads >= 2)  # both have begun
        for number in range(20):
            deeds.append(number)
            assert await anext(results) == payload(log=f"xxx{number}")
            async with asyncio.timeout(SECONDS):
                while await anext(lines) != f'data: {{"data":{{"log":"xxx{number}"}}}}':
                    pass
        assert deeds.reads < 60, "of each number two reads, one of which finds nothing more; not two for each of both"
    await until(lambda: deeds.open == 0)
