"""Probes: what those send who mean harm, as bytes for the wire, and how to send it.

Each is to be answered by an error that is no 5xx, or to be work that anybody may ask for. They are sent with the key of
somebody who is signed in wherever that gets further.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

_SUBPROTOCOL = "graphql-transport-ws"
_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@dataclass(frozen=True, slots=True)
class Aim:
    """Whom the probes are sent to and by whom: a port, a key, and a dataset that its owner sees."""

    port: int
    key: str
    dataset: str


Wire = list[bytes]
"""What is sent, piece by piece: the second when the first was answered (a socket's handshake)."""

_Make = Callable[[Aim, int], Wire]


@dataclass(frozen=True, slots=True)
class Probe:
    """A kind of probe. `make(aim, number)` gives the bytes of one; numbers make each another, where that matters."""

    name: str
    make: _Make
    is_socket: bool = False


def post(aim: Aim, body: bytes, *, key: str | None = None, path: str = "/graphql", **headers: str) -> Wire:
    """A POST of JSON after which the connection ends."""
    lines = {
        "host": "127.0.0.1",
        "connection": "close",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "authorization": f"Bearer {aim.key if key is None else key}",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return [f"{head}\r\n".encode() + body]


def ask(aim: Aim, query: str, variables: object = None, *, key: str | None = None) -> Wire:
    """A POST of an operation."""
    return post(aim, json.dumps({"query": query, "variables": variables}).encode(), key=key)


def talk(*messages: bytes) -> Wire:
    """A socket that says this, waits until that is worked off or the server closes it, and takes its leave."""
    return shout(b"".join([frame(message) for message in messages]))


def shout(data: bytes) -> Wire:
    """The same with bytes as they are."""
    handshake = (
        "GET /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        f"sec-websocket-key: {_KEY}\r\nsec-websocket-version: 13\r\nsec-websocket-protocol: {_SUBPROTOCOL}\r\n\r\n"
    )
    return [handshake.encode(), data + frame(_LAST), _CLOSE]


def frame(message: bytes, opcode: int = 1, *, fin: bool = True) -> bytes:
    """A client's frame; the mask of zeros changes nothing."""
    size = len(message)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + size.to_bytes(2) if size < 1 << 16 else b"\xff" + size.to_bytes(8)
    return bytes([0x80 * fin | opcode]) + length + bytes(4) + message


_CLOSE = frame((1000).to_bytes(2), opcode=8)
_INIT = b'{"type": "connection_init"}'
_LAST = b'{"type": "ping", "payload": {"last": true}}'
# What is waited for before the next piece: a head, the answer to the last message, or the head of a close frame.
_ENDS = ((b"\r\n\r\n",), (b'{"last":true}', b"\x88"))


async def send(aim: Aim, wire: Wire, address: str = "127.0.0.1") -> bytes:
    """Send it on a connection of its own, from an address; all that was answered until the server ended that."""
    reader, writer = await asyncio.open_connection("127.0.0.1", aim.port, local_addr=(address, 0))
    answered = b""
    try:
        for number, piece in enumerate(wire):
            writer.write(piece)
            ends = _ENDS[number] if number + 1 < len(wire) else ()
            while not any(end in answered[-1000:] for end in ends) and (data := await reader.read(1 << 16)):
                answered += data
    except ConnectionError:
        pass  # it answered before it had read everything, and does not read on
    finally:
        writer.transport.abort()
    return answered


def status(answered: bytes) -> int:
    """The status of an answer."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answered)
    assert found, answered[:200]
    return int(found[1])


# What is harmless: beside as many of these the same server is measured.


def harmless(aim: Aim, _number: int) -> Wire:
    """A small page."""
    return ask(aim, "query Datasets { datasets(first: 5) { nodes { id name } } }")


def harmless_socket(_aim: Aim, _number: int) -> Wire:
    """A socket that is opened, greeted and closed."""
    return talk(_INIT, b'{"type": "ping"}')


HARMLESS = Probe("harmless", harmless)
HARMLESS_SOCKET = Probe("harmless socket", harmless_socket, is_socket=True)


# Probes


def _fragments(levels: int = 100) -> str:
    chain = "".join(f" fragment f{n} on Dataset {{ id ...f{n + 1} ...f{n + 1} }}" for n in range(levels))
    return f"query {{ dataset(id: 1) {{ ...f0 }} }}{chain} fragment f{levels} on Dataset {{ id }}"


def _repeated(text: str, times: int) -> str:
    return " ".join(text.replace("N", str(number)) for number in range(times))


def _query(text: Callable[[Aim, int], str], variables: object = None) -> _Make:
    return lambda aim, number: ask(aim, text(aim, number), variables)


def _fixed(text: str, variables: object = None) -> _Make:
    return _query(lambda _aim, _number: text, variables)


def _raw(body: bytes, **headers: str) -> _Make:
    return lambda aim, _number: post(aim, body, **headers)


_PAGE = "query P($id: ID!, $where: RecordWhere) { dataset(id: $id) { records(where: $where) { totalCount } } }"


def _where(where: str) -> _Make:
    """A page of records whose condition is this JSON."""

    def make(aim: Aim, _number: int) -> Wire:
        body = f'{{"query": {json.dumps(_PAGE)}, "variables": {{"id": "{aim.dataset}", "where": {where}}}}}'
        return post(aim, body.encode())

    return make


def _never_seen(aim: Aim, number: int) -> str:
    """The largest operation that is allowed, another one each time: it has to be read, checked and compiled."""
    lists = _repeated("aN: records(first: 1) { nodes { id status externalId insertedAt updatedAt } }", 45)
    return f'query Q{number} {{ dataset(id: "{aim.dataset}") {{ {lists} }} }}'


def _chat(*messages: bytes) -> _Make:
    return lambda _aim, _number: talk(*messages)


def _subscribe(query: str) -> bytes:
    return json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}).encode()


_LONG = 90_000

HTTP = [
    Probe("fragments that double a hundred times", _fixed(_fragments())),
    Probe("fragments in a circle", _fixed("{ dataset(id: 1) { ...f0 } }" + _repeated(
        "fragment fN on Dataset { ...f0 ...f1 ...f2 ...f3 }", 200))),
    Probe("a thousand equal fields", _fixed("{ viewer {" + "id " * 1000 + "} }")),
    Probe("equal lists with long arguments", _fixed(
        "{ dataset(id: 1) {" + ("records(where: {id: {in: [" + "1 " * 90 + "]}}) { totalCount }") * 30 + "} }")),
    Probe("a thousand aliases", _fixed("{ " + _repeated("aN: viewer { id }", 1000) + " }")),
    Probe("ten thousand directives", _fixed("{ viewer { id" + " @skip(if: false)" * 10_000 + " } }")),
    Probe("five thousand levels", _fixed("{ node " * 5000 + "}" * 5000)),
    Probe("five thousand brackets", _fixed("{ nodes(ids: " + "[" * 5000 + "]" * 5000 + ") { id } }")),
    Probe("a long word", _fixed("{ " + "x" * _LONG + " }")),
    Probe("a megabyte of commas", _fixed("," * 1_000_000 + "{ __typename }")),
    Probe("comments", _fixed("#\n" * 40_000 + "{ __typename }")),
    Probe("nine hundred unknown fields", _fixed("{ viewer {" + _repeated("xN", 900) + "} }")),
    Probe("a thousand variables", _fixed("query (" + _repeated("$vN: Int", 1200) + ") { __typename }")),
    Probe("five hundred operations", _fixed(_repeated("query aN { __typename }", 490))),
    Probe("lists in lists in lists", _fixed(
        "{ datasets(first: 500) { nodes { records(first: 500) { nodes { responses(first: 500) { totalCount }}}}}}")),
    Probe("the largest operation, never seen before", _query(_never_seen)),
    Probe("the whole schema, never asked for like this before", _query(
        lambda _aim, number: f"query Q{number} {{ __schema {{ types {{ fields {{ name args {{ name }} }} }} }} }}"
    )),
    Probe("introspection in itself", _fixed(
        "{ __schema {" + "types { fields { type {" * 6 + "name" + "} } }" * 6 + "} }")),
    Probe("a hundred thousand ids", _fixed(
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [f"rec_{n}" for n in range(100_000)]})),
    Probe("a condition of a thousand levels", _where('{"not": ' * 1000 + "{}" + "}" * 1000)),
    Probe("a condition of ten thousand parts", _where(
        '{"or": [' + ", ".join('{"externalId": {"eq": "x"}}' for _ in range(10_000)) + "]}")),
    Probe("fifty thousand ids in a condition", _where(
        '{"id": {"in": [' + ", ".join('"rec_1"' for _ in range(50_000)) + "]}}")),
    Probe("fifty thousand brackets in a variable", _where("[" * 50_000 + "]" * 50_000)),
    Probe("a number of a hundred thousand digits", _where('{"id": {"eq": ' + "9" * 100_000 + "}}")),
    Probe("a search of ten thousand words", _fixed(
        "query ($words: String!, $dataset: ID!) { dataset(id: $dataset) { records(search: $words) { totalCount } } }",
        {"words": _repeated("wN", 10_000), "dataset": "dst_1"})),
    Probe("a page of a thousand million", _fixed("{ datasets(first: 1000000000) { nodes { id } } }")),
    Probe("a page of minus one", _fixed("{ datasets(first: -1) { nodes { id } } }")),
    Probe("a cursor of a megabyte", _fixed(
        "query ($after: String) { datasets(after: $after) { nodes { id } } }", {"after": "x" * 1_000_000})),
    Probe("null bytes and halves of characters", _raw(
        b'{"query": "query ($n: String!) { datasets(where: {name: {eq: $n}}) { totalCount } }", '
        b'"variables": {"n": "\\u0000\\ud800"}}')),
    Probe("bytes that are no text", _raw(b'{"query": "{ \xff\xfe }"}')),
    Probe("thirty megabytes", _raw(b'{"query": "{ __typename }", "variables": {"a": "' + b"x" * 31_000_000 + b'"}}')),
    Probe("a body that is too long", _raw(b"", content_length=str(1 << 40))),
    Probe("a compressed body", _raw(gzip.compress(b" " * 10_000_000), content_encoding="gzip")),
    Probe("a form", _raw(b"query=%7B__typename%7D", content_type="application/x-www-form-urlencoded")),
    Probe("a wrong key", lambda aim, number: ask(aim, "{ __typename }", key=f"gb_{number:043d}")),
    Probe("an unknown hash", lambda aim, number: post(aim, json.dumps(
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": f"{number:064x}"}}}).encode())),
    Probe("a wrong password", lambda aim, number: post(aim, json.dumps(
        {"username": "admin", "password": f"wrong {number}"}).encode(), key="", path="/sign-in")),
    Probe("a subscription by POST", _fixed('subscription { recordChanged(datasetId: "dst_1") { cursor } }')),
]  # fmt: skip

SOCKETS = [
    Probe("a message of fifty thousand brackets", _chat(_INIT, b"[" * 50_000 + b"]" * 50_000), is_socket=True),
    Probe("a message that is no object", _chat(b"[1]"), is_socket=True),
    Probe("a message of thirty megabytes", _chat(b'{"type": "' + b"x" * 30_000_000 + b'"}'), is_socket=True),
    Probe("a thousand pings", _chat(_INIT, *[b'{"type": "ping"}'] * 1000), is_socket=True),
    Probe(
        "a hundred thousand frames that ping",
        lambda _aim, _number: shout(frame(_INIT) + frame(b"", 9) * 100_000),
        is_socket=True,
    ),
    Probe("a subscription before the greeting", _chat(_subscribe("{ __typename }")), is_socket=True),
    Probe(
        "a message in a million pieces",
        lambda _aim, _number: shout(frame(b'"', fin=False) + frame(b"", 0, fin=False) * 1_000_000),
        is_socket=True,
    ),
    Probe("bytes that are no text in a message", _chat(_INIT, b'{"type": "\xff"}'), is_socket=True),
]

PROBES = [*HTTP, *SOCKETS]
