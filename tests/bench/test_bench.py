"""The benchmark compares what is comparable: all answer the same, and the load generator sees what is wrong."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Send

from bench import bare, ours, plain
from bench.against import interval
from bench.book import Book, fill
from bench.in_process import running
from bench.load import drive, http_request
from bench.measure import Round, Target, ratio
from bench.operations import RECORD_PAGE, SUBMIT_RESPONSE, body, page_variables, submit_variables
from bench.recording import Said
from bench.report import missed
from bench.scenarios import BARE, OURS, PLAIN, Result

PASSAGES = 60


@pytest.fixture
async def book(database_url: str) -> Book:
    return await fill(database_url, PASSAGES)


async def test_all_answer_the_same_page(database_url: str, book: Book) -> None:
    asked = body(RECORD_PAGE, page_variables(book.dataset_id))
    answers = {}
    for name, app in {"ours": ours.serve, "plain": plain.page, "bare": bare.page}.items():
        async with running(app(database_url)) as (_, ask):
            answers[name] = await ask(book.admin.key, asked)
    assert len(orjson.loads(answers["ours"])["data"]["dataset"]["records"]["edges"]) == 50
    assert answers["bare"] == answers["ours"]
    assert orjson.loads(answers["plain"]) == orjson.loads(answers["ours"])


async def test_who_asks_within_the_process_waits_for_the_answer() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        asked = await receive()
        with pytest.raises(TimeoutError):  # a server that looks whether the caller is there hears nothing
            await asyncio.wait_for(receive(), 0.01)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": asked["body"]})

    async with running(Starlette(routes=[Mount("/", app)])) as (_, ask):
        assert await ask("key", b"{}") == b"{}"


async def test_a_bare_submission_is_written_as_ours_is(database_url: str, book: Book) -> None:
    record, other = book.record_ids[1:3]  # to learn, the bare handler answers the first
    person = book.annotators[3]
    values = {"tone": "grave", "clarity": 2}
    answers = []
    for number, serve in ((record, ours.serve), (other, bare.submit)):
        async with running(serve(database_url)) as (_, ask):
            answer = orjson.loads(await ask(person.key, body(SUBMIT_RESPONSE, submit_variables(number, values))))
            answers.append(answer["data"]["submitResponse"])
    async with running(ours.serve(database_url)) as (_, ask):
        page = orjson.loads(await ask(book.admin.key, body(RECORD_PAGE, page_variables(book.dataset_id))))
    edges = {edge["node"]["id"]: edge["node"] for edge in page["data"]["dataset"]["records"]["edges"]}
    for number, answer in zip((record, other), answers, strict=True):
        assert (answer["response"]["status"], answer["response"]["values"], answer["errors"]) == (
            "SUBMITTED",
            values,
            [],
        )
        stored = edges[f"rec_{number}"]
        submitted = [response for response in stored["responses"]["nodes"] if response["status"] == "SUBMITTED"]
        assert answer["response"]["id"] in {response["id"] for response in submitted}
        assert answer["record"] == {key: stored[key] for key in ("id", "status", "submittedCount")}
        assert stored["submittedCount"] == len(submitted)


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[int]:
    """A server on the port given that answers requests with these in turn, each in two pieces."""
    turn = itertools.cycle(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(10_000):
            answer = next(turn)
            middle = len(answer) // 3
            writer.write(answer[:middle])
            await writer.drain()
            await asyncio.sleep(0.001)
            writer.write(answer[middle:])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def http_answer(status: int, content: bytes) -> bytes:
    return b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n\r\n%b" % (status, len(content), content)


async def test_the_load_generator_reads_every_answer_whole() -> None:
    seen = []
    requests = ((number, http_request("/", "key", b"{}")) for number in itertools.count())
    async with answering(http_answer(200, b"x" * 500), http_answer(404, b"")) as port:
        window = await drive(port, requests, lambda *answer: seen.append(answer), connections=1, seconds=0.1)
    assert window.count == len(seen) > 2
    assert [asked for asked, _, _ in seen] == list(range(len(seen)))
    assert [answer[1:] for answer in seen[:2]] == [(200, b"x" * 500), (404, b"")]
    assert window.seconds >= 0.1
    assert all(0 < latency < window.seconds for latency in window.latencies)


async def test_a_wrong_answer_ends_the_measurement() -> None:
    def accept(_: None, status: int, __: bytes) -> None:
        assert status == 200

    async with answering(http_answer(500, b"oh")) as port:
        with pytest.raises(AssertionError):
            await drive(port, itertools.repeat((None, b"GET")), accept, connections=2, seconds=5)


def test_statements_are_repeated_with_other_values() -> None:
    said = Said("SELECT $1, $2, $3", (7, 50, "2026-01-02T03:04:05.678900Z"))
    assert said.naming(viewer_id=7).on(viewer_id=8, now="then") == (said.sql, [8, 50, "then"])


def test_a_missed_goal_is_named() -> None:
    def target(name: str, *speeds: float) -> Target:
        return Target(name, "", "", rounds=[Round(speed, 0, 0, 0, 0, 0) for speed in speeds])

    ours_, fast, slow = target(OURS, 100, 200, 120), target(BARE, 200, 450, 300), target(PLAIN, 10, 10, 10)
    assert ratio(ours_, fast).median == pytest.approx(200 / 450)
    result = Result("RecordPage", "postgresql", [ours_, slow, fast], goals={PLAIN: 10.0, BARE: 0.5})
    [line] = missed([result])
    assert line == "RecordPage on postgresql: 0.44 × the bare handler, wanted 0.5 or more"


def test_the_interval_of_a_median_is_of_order_statistics() -> None:
    """Of 15 values the 4th and the 12th hold the median with 96.5 % (sign test), the 5th not with 95 %."""
    assert interval([float(number) for number in range(15, 0, -1)]) == (4.0, 12.0)
    assert interval([float(number) for number in range(1, 26)]) == (8.0, 18.0)
    assert interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
