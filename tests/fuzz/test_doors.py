"""Bytes and frames that are nearly what the doors expect: each gets an answer that says what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Code
from tests.fuzz.budget import BEHIND_SERVERS, examples
from tests.fuzz.damage import WRONG_VALUES
from tests.fuzz.grammar import ODD_IDS, ODD_TEXTS
from tests.fuzz.test_schemathesis import BUSY, SECONDS, UNBOUNDED
from tests.graphql.drawing import Draw
from tests.graphql_socket.client import connected
from tests.support.server import Server

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

QUERY = 'query ($id: ID! = "x") { viewer { id } node(id: $id) { id } }'
SUBSCRIPTION = "subscription { trainTaskChanged { cursor } }"
HASH = "7f56e67dd21ab3f30d1ff8b7bed08893f0a0db86449836189b361dd1e56ddb4b"

JSON = "application/json"
CONTENT_TYPES = ["", "/", "text/plain", "application/graphql", "multipart/form-data", f"{JSON}, {JSON}"]
CONTENT_TYPES += [f"{JSON}; charset={charset}" for charset in ("utf-8", "UTF8", "utf-16", "", '"', "\u00ff")]
ACCEPTED = ["", "/", ",,;", "a/b;q=x", "text/html", f"{JSON};q=0", "text/event-stream"]
ACCEPTED += ["application/graphql-response+json", f"multipart/mixed;subscriptionSpec=1.0, {JSON}"]
CREDENTIALS = ["Bearer", "Bearer x", "Bearer gb_x", "Basic eDp4", "Bearer \u00ff", "é", "bearer  gb_" + "x" * 5_000]

PIECES = [b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xf4\x90\x80\x80", b'"', b",", b"-", b"NaN",
          b"1e999", b"[" * 2_000, b"9" * 5_000, b"\\ud800", b"\\u0000", b'{"a":1,"a":2}']  # fmt: skip
ODD_QUERIES = ["&", "&=", ";", "&query", "&variables=%ff", "&metric=%ed%a0%80", "&%00=%00", "&metric=" + "x" * 5_000]
URL_VALUES = ["", "{}", "null", "[", '{"id":"\\ud800"}', '{"id":1}', '{"persistedQuery":{}}', QUERY, "\0", "loss"]

FRAMES: list[Any] = [
    "connection_init",
    "ping",
    "pong",
    "subscribe",
    "complete",
    "next",
    "error",
    "connection_ack",
    "",
    None,
    1,
    [],
]
CLOSED = {1009, 1013, 4400, 4401, 4403, 4408, 4409, 4429}
DrawFrom = Callable[[st.SearchStrategy[Any]], Any]


@dataclass
class Door:
    """A server, the key of its owner, and a client without one."""

    server: Server
    key: str
    http: httpx2.AsyncClient


@pytest.fixture
async def door(database_url: str, tmp_path: Path) -> AsyncIterator[Door]:
    """Running for all examples; at the end nothing was unforeseen."""
    with Server(database_url, tmp_path, **UNBOUNDED) as server:
        assert server.key is not None
        async with httpx2.AsyncClient(base_url=server.address, timeout=SECONDS, verify=False) as client:
            yield Door(server, server.key, client)
        assert "Traceback" not in server.log, server.log


def damaged(d: Draw, text: bytes) -> bytes:
    """Bytes changed, missing or more."""
    for _ in range(1 + d.upto(2)):
        place = d.upto(len(text))
        text = text[:place] + d.one(PIECES) + text[place + d.upto(2) :]
    return text if d.chance(90) else text[: d.upto(len(text))]


def encoded(value: Any) -> bytes:
    """As JSON; what cannot be written as JSON becomes a lone surrogate."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return b'{"query":"\\ud800","type":"subscribe","id":"\\ud800"}'


def extension(d: Draw) -> Any:
    """What a persisted query's extension may hold."""
    made: dict[str, Any] = {"version": 1, "sha256Hash": HASH}
    if d.chance(70):
        made[d.one(list(made))] = d.one([*WRONG_VALUES, 1, 2, HASH.upper(), HASH[:-1], HASH + "0", "é" * 64])
    return made if d.chance(90) else d.one(WRONG_VALUES)


@st.composite
def bodies(draw: DrawFrom) -> bytes:
    """A request's body."""
    d = Draw(draw)
    made: dict[str, Any] = {"query": QUERY}
    for _ in range(d.upto(3)):
        name = d.one(["query", "variables", "operationName", "extensions", "id", ""])
        made[name] = d.one([*WRONG_VALUES, QUERY, {"id": d.one(ODD_TEXTS)}, {"persistedQuery": extension(d)}])
    text = encoded(made if d.chance(90) else d.one([[made], None, 1, "", [], [[made] * 3]]))
    return damaged(d, text) if d.chance(40) else text


@st.composite
def headers(draw: DrawFrom) -> dict[str, bytes]:
    """Of a request that has a body; no credentials stand for the owner's."""
    d = Draw(draw)
    made = {"content-type": d.one(CONTENT_TYPES) if d.chance(15) else JSON}
    if d.chance(30):
        made["accept"] = d.one(ACCEPTED)
    if d.chance(20):
        made["authorization"] = d.one(CREDENTIALS)
    return {name: value.encode("latin-1") for name, value in made.items()}


@st.composite
def url_queries(draw: DrawFrom) -> str:
    """What stands behind the question mark."""
    d = Draw(draw)
    names = ["query", "variables", "operationName", "extensions", "metric", "x"]
    pairs: list[tuple[str, Any]] = [("query", QUERY)] * d.upto(1) + [
        (d.one(names), d.one(URL_VALUES)) for _ in range(d.upto(3))
    ]
    return str(httpx2.QueryParams(pairs)) + (d.one(ODD_QUERIES) if d.chance(30) else "")


@st.composite
def frames(draw: DrawFrom) -> list[str | bytes]:
    """Messages of a socket."""
    d = Draw(draw)
    made: list[str | bytes] = ['{"type":"connection_init"}'] if d.chance(85) else []
    for _ in range(d.upto(5)):
        query = d.one([QUERY, QUERY, SUBSCRIPTION, "{", "", "mutation { nothing }", "query A { a } query B { b }"])
        payload: Any = {"query": query, "variables": d.one([None, {}, {"id": "x"}, *WRONG_VALUES])}
        if d.chance(20):
            payload["extensions"] = {"persistedQuery": extension(d)}
        message = {
            "type": d.one(FRAMES) if d.chance(30) else "subscribe",
            "id": d.one(["1", "2", "3", "", "\0", 1]),
            "payload": payload if d.chance(80) else d.one(WRONG_VALUES),
        }
        text = encoded(message if d.chance(95) else d.one(WRONG_VALUES))
        text = damaged(d, text) if d.chance(15) else text
        made.append(text if d.chance(5) else text.decode(errors="replace"))
    return made


def check(answer: httpx2.Response, sent: Any) -> None:
    """JSON with codes, or a stream; no 5xx but for a server that has too much to do."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    assert kind in {JSON, "application/graphql-response+json", "text/event-stream", "multipart/mixed"}, (kind, sent)
    codes = []
    if kind.startswith("application/"):
        codes = [error["extensions"]["code"] for error in orjson.loads(answer.content).get("errors", ())]
    assert set(codes) <= set(Code.__members__), (codes, sent)
    assert b'"INTERNAL"' not in answer.content, (answer.text, sent)
    assert answer.status_code < 500 or (answer.status_code == 503 and set(codes) <= BUSY), (answer.text, sent)


Ask = Callable[[Door], Awaitable[None]]


@st.composite
def posts(draw: DrawFrom) -> Ask:
    """GraphQL by POST."""
    body, said = draw(bodies()), draw(headers())

    async def ask(door: Door) -> None:
        by = {"authorization": f"Bearer {door.key}".encode(), **said}
        check(await door.http.post("/graphql", content=body, headers=by), (body, said))

    return ask


@st.composite
def gets(draw: DrawFrom) -> Ask:
    """GraphQL by GET, and points as CSV."""
    query, task, is_owner = draw(url_queries()), draw(st.sampled_from(ODD_IDS)), draw(st.booleans())
    escaped = "".join(f"%{byte:02x}" for byte in task.encode(errors="surrogatepass"))

    async def ask(door: Door) -> None:
        by = {"authorization": f"Bearer {door.key}"} if is_owner else {}
        check(await door.http.get(f"/graphql?{query}", headers=by), query)
        answer = await door.http.get(f"/tasks/{escaped}/metrics.csv?{query}", headers=by)
        assert answer.status_code in {400, 401, 404, 413}, (answer.text, task, query)
        check(answer, (task, query))

    return ask


@st.composite
def sockets(draw: DrawFrom) -> Ask:
    """A socket, which answers in JSON until a code of the protocol closes it."""
    sent, is_owner = draw(frames()), draw(st.booleans())

    async def ask(door: Door) -> None:
        by = {"authorization": f"Bearer {door.key}"} if is_owner else {}
        async with connected(door.server.socket_address, additional_headers=by) as client:
            with contextlib.suppress(websockets.ConnectionClosed):
                # A frame of bytes is none of the protocol's: it ends every socket that is still open.
                await client.send(*sent, b"")
                while True:
                    message = await client.receive()
                    assert '"INTERNAL"' not in orjson.dumps(message).decode(), (message, sent)
            code, reason = await client.closed()
            assert code in CLOSED, (code, reason, sent)

    return ask


@pytest.mark.parametrize("backend", BEHIND_SERVERS, indirect=True)
@given(posts() | gets() | sockets())
@examples(100)
async def test_whatever_is_sent_is_answered(door: Door, ask: Ask) -> None:
    await ask(door)
