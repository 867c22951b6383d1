"""Bytes that no well-behaved client sends, at every door of a real server: a 4xx or an error that names the mistake."""

from __future__ import annotations

import asyncio
import json
import re

from tests.server.conftest import Team
from tests.support.server import Server

JSON = b"content-type: application/json"
KEYED = b"authorization: Bearer KEY"
COOKIE = b"cookie: gradbook_session=x"
STREAM = b"accept: text/event-stream"
ASK = b'{"query": "{ viewer { id } }"}'


def variables(text: bytes) -> bytes:
    return b'{"query": "query ($i: ID!) { node(id: $i) { id } }", "variables": {"i": ' + text + b"}}"


def document(text: str) -> bytes:
    return json.dumps({"query": text}).encode()


# (method, path, header lines, body): the status, and words of the answer.
Sent = tuple[bytes, bytes, tuple[bytes, ...], bytes]
POSTS: list[tuple[bytes, int, str]] = [
    (b"", 400, "no JSON"),
    (b"null", 400, "no object"),
    (b"[" * 100_000, 400, "no JSON"),
    (b'{"query": "{ __typename }"}\x00', 400, "no JSON"),
    ('{"query": "{ __typename }"}'.encode("utf-16"), 400, "no JSON"),
    (b"\xef\xbb\xbf" + ASK, 400, "no JSON"),
    (variables(b"NaN"), 400, "no JSON"),
    (variables(b"1e999"), 400, "no JSON"),
    (variables(b"1" * 10_000), 400, "no JSON"),
    (variables(b"[" * 10_000 + b"]" * 10_000), 400, "no JSON"),
    (variables(b'"\\ud800"'), 400, "surrogate"),
    (variables(b'"\xff"'), 400, "no JSON"),
    (variables(b'"\\u0000"'), 200, "is no id"),
    (variables(b'"rec_9223372036854775808"'), 200, "is not the id of a record"),
    (variables(b'"rec_\\u0661"'), 200, "is not the id of a record"),
    (variables(b"[" * 900 + b"]" * 900), 200, "ID cannot represent"),
    (document('{ node(id: "\\ud800") { id } }'), 200, "Invalid Unicode escape"),
    (document("{ __typename \0 }"), 200, "U+0000"),
    (document("{ datasets(first: 1, last: 1) { totalCount } }"), 200, "exclude each other"),
    (document("{ datasets(first: -1) { totalCount } }"), 200, "may be 0 to 500"),
    (document('{ datasets(after: "\\u0000") { totalCount } }'), 200, "is no cursor"),
    (b'{"query": "{ __typename }", "operationName": "\\u0000"}', 200, "no operation"),
    (b'{"query": "{ __typename }", "extensions": {"persistedQuery": 1}}', 200, "persistedQuery"),
]
OTHERS: list[tuple[Sent, int, str]] = [
    ((b"POST", b"/graphql", (JSON, b"authorization: Bearer \xff"), ASK), 401, "no API key"),
    ((b"POST", b"/graphql", (JSON, b"authorization: Bearer gb_" + b"\xe9" * 43), ASK), 401, "no API key"),
    ((b"POST", b"/graphql", (JSON, b"authorization: " + b"x" * 60_000), ASK), 401, "does not begin with"),
    ((b"POST", b"/graphql", (JSON, b"cookie: gradbook_session=gbs_" + b"\xff" * 43), ASK), 200, '"viewer":null'),
    ((b"POST", b"/graphql", (JSON, STREAM, COOKIE, b"origin: http://["), ASK), 403, "GRADBOOK_ALLOWED_ORIGINS"),
    ((b"POST", b"/graphql", (KEYED, b"content-type: \xff"), ASK), 415, "content type"),
    ((b"POST", b"/graphql", (KEYED, JSON + b"; charset=\xff"), ASK), 415, "charset"),
    ((b"POST", b"/graphql", (KEYED, JSON, b"accept: \xff"), ASK), 406, "accept"),
    ((b"POST", b"/graphql", (KEYED, JSON, b"x-forwarded-for: \xff", b"x-request-id: \xff"), ASK), 200, "viewer"),
    ((b"GET", b"/graphql?query=%00", (KEYED,), b""), 200, "U+0000"),
    ((b"GET", b"/graphql?query=%7B__typename%7D&variables=%ff", (KEYED,), b""), 400, "no UTF-8"),
    ((b"GET", b"/graphql?query=%7B__typename%7D&variables=1", (KEYED,), b""), 400, "no object"),
    ((b"GET", b"/%00%ff/../..//etc", (KEYED,), b""), 404, "nothing here"),
    ((b"GET", b"/assets/%2e%2e/%2e%2e/pages.py", (KEYED,), b""), 404, "nothing here"),
    ((b"GET", b"/assets/%00", (KEYED,), b""), 404, "nothing here"),
    ((b"GET", b"/assets/" + b"a" * 5_000, (KEYED,), b""), 404, "nothing here"),
    ((b"GET", b"/datasets/dst_%00/export", (KEYED,), b""), 400, "not the id of a dataset"),
    ((b"GET", b"/datasets/dst_1/export?%00=1", (KEYED,), b""), 400, "no option"),
    ((b"POST", b"/datasets/dst_1/import?onConflict=%ff", (KEYED,), b""), 400, "onConflict"),
    ((b"GET", b"/tasks/tsk_%D9%A1/metrics.csv", (KEYED,), b""), 400, "not the id of a training task"),
    ((b"GET", b"/\xff", (KEYED,), b""), 400, "no HTTP request"),
    ((b"TRACE", b"/graphql", (KEYED,), b""), 405, "not supported"),
    ((b"POST", b"/sign-in", (JSON,), b'{"username": "\\u0000", "password": "\\u0000"}'), 401, "is wrong"),
    ((b"POST", b"/sign-in", (JSON,), b'{"username": "\\ud800", "password": ""}'), 400, "surrogate"),
    ((b"POST", b"/sign-in", (JSON,), b'{"username": "\xff", "password": ""}'), 400, "no JSON"),
    ((b"POST", b"/sign-in", (JSON,), b'{"link": "\\u0000"}'), 401, "no sign-in link"),
    ((b"POST", b"/sign-in", (JSON,), b"[" * 10_000), 400, "no JSON"),
]


async def answer_to(server: Server, sent: Sent) -> tuple[int, str]:
    """The status and the text of what comes back."""
    method, path, headers, body = sent
    host, port = server.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [b"%s %s HTTP/1.1" % (method, path), b"host: x", b"connection: close", *headers]
    if method == b"POST":
        lines.append(b"content-length: %d" % len(body))
    assert server.key is not None
    writer.write(b"\r\n".join(lines).replace(b"KEY", server.key.encode()) + b"\r\n\r\n" + body)
    answer = (await asyncio.wait_for(reader.read(), 60)).decode("utf-8")
    writer.close()
    found = re.match(r"HTTP/1\.1 (\d+) ", answer)
    assert found is not None, (sent, answer)
    return int(found[1]), answer.partition("\r\n\r\n")[2]


async def test_nonsense_in_bodies_headers_and_paths(server: Server) -> None:
    for body, status, words in POSTS:
        for accept in ((), (STREAM,)):
            code, text = await answer_to(server, (b"POST", b"/graphql", (JSON, KEYED, *accept), body))
            assert (code, words in text) == (status, True), (body[:80], code, text[:500])
    for sent, status, words in OTHERS:
        code, text = await answer_to(server, sent)
        assert (code, words in text) == (status, True), (sent[:3], code, text[:500])
    assert "Traceback" not in server.log


IMPORTS: list[tuple[bytes, str]] = [
    (b'{"fields": {"text": "a\\u0000"}}', "U+0000"),
    (b'{"fields": {"text": "a\x00"}}', "NUL byte"),
    (b'{"externalId": "\\u0000", "fields": {"text": "a"}}', "U+0000"),
    (b'{"fields": {"text": "a"}, "metadata": {"a\\u0000": 1}}', "U+0000"),
    (b'{"fields": {"text": "a\\ud800"}}', "not JSON"),
    (b'{"fields": {"text": "\xff"}}', "not UTF-8"),
    (b'{"fields": {"text": "a"}, "metadata": {"n": ' + b"1" * 10_000 + b"}}", "64 bits"),
    (b'{"fields": {"text": "a"}, "metadata": {"n": 1e999}}', "not JSON"),
    (b'{"fields": {"text": "a"}, "metadata": {"n": NaN}}', "not JSON"),
    (b'{"fields": {"text": "a"}, "metadata": {"n": ' + b"[" * 300 + b"]" * 300 + b"}}", "cannot be stored as JSON"),
    (b'{"fields": {"text": "a"}, "metadata": {"n": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}", "not JSON"),
]


async def test_nonsense_in_an_import_is_named_by_its_line(server: Server, team: Team) -> None:
    lines = b"\n".join(line for line, _ in IMPORTS)
    path = f"/datasets/{team.dataset}/import".encode()
    code, text = await answer_to(server, (b"POST", path, (KEYED, b"content-type: application/jsonl"), lines))
    answer = json.loads(text)
    assert (code, answer["bad"], answer["added"]) == (200, len(IMPORTS), 0), answer
    for number, ((_, words), error) in enumerate(zip(IMPORTS, answer["errors"], strict=True), start=1):
        assert error["line"] == number
        assert words in error["message"], error
    assert "Traceback" not in server.log
