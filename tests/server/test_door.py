"""The HTTP door of a real server: what it refuses says why, and nothing is a 5xx."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.api.conftest import operation
from tests.server.conftest import Start
from tests.support.server import Client, Server

JSON = {"content-type": "application/json"}

BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no content type": ({"content": b"{}"}, 415, "content type is missing"),
    "a form": ({"data": {"query": "{ __typename }"}}, 415, "application/x-www-form-urlencoded"),
    "no JSON": ({"content": b"{", "headers": JSON}, 400, "no JSON"),
    "another charset": (
        {"content": b"{}", "headers": {"content-type": "application/json; charset=utf-16"}}, 415, "charset is utf-16"
    ),
    "invalid UTF-8": ({"content": b'{"query": "\xff"}', "headers": JSON}, 400, "no JSON"),
    "a list": ({"json": []}, 400, "no object"),
    "no query": ({"json": {}}, 400, "'query' is missing"),
    "a query that is no text": ({"json": {"query": 1}}, 400, "'query' is no text"),
    "a list of variables": ({"json": {"query": "{ __typename }", "variables": []}}, 400, "'variables' is no object"),
    "a name that is no text": ({"json": {"query": "{ __typename }", "operationName": 1}}, 400, "'operationName'"),
    "a list of extensions": ({"json": {"query": "{ __typename }", "extensions": []}}, 400, "'extensions' is no object"),
    "nothing that is accepted": (
        {"json": {"query": "{ __typename }"}, "headers": {"accept": "text/html"}}, 406, "accept application/json"
    ),
    "two operations": (
        {"json": {"query": "query A { __typename } query B { __typename }"}}, 200, "which of these to run: 'A', 'B'"
    ),
    "a syntax error": ({"json": {"query": "{"}}, 200, "Syntax Error"),
    "an unknown field": ({"json": {"query": "{ nothing }"}}, 200, "Cannot query field 'nothing'"),
    "an unknown operation": ({"json": {"query": "{ __typename }", "operationName": "X"}}, 200, "no operation 'X'"),
    "a subscription": (
        {"json": {"query": 'subscription { recordChanged(datasetId: "dst_1") { cursor } }'}}, 400, "WebSocket"
    ),
    "an id of another kind": ({"json": {"query": '{ dataset(id: "rec_1") { id } }'}}, 200, "not the id of a dataset"),
    "no id at all": ({"json": {"query": '{ node(id: "\\u0000") { id } }'}}, 200, "is no id"),
    "a null byte": (
        {"json": {"query": 'mutation { createWorkspace(input: {name: "\\u0000"}) { errors { message } } }'}},
        200, "U+0000",
    ),
    "a huge page": ({"json": {"query": "{ datasets(first: 100000) { nodes { id } } }"}}, 200, "0 to 500"),
    "a wrong key": ({"json": {"query": "{ viewer { id } }"}, "headers": {"authorization": "Bearer x"}}, 401, "API key"),
}  # fmt: skip


async def test_bad_requests(server: Server) -> None:
    async with Client(server, server.key) as client:
        for name, (request, status, words) in BAD.items():
            answer = await client.http.post("/graphql", **request)
            assert (answer.status_code, words in answer.text) == (status, True), (name, answer.status_code, answer.text)
            assert answer.headers["content-type"] == "application/json", name
        too_long = await client.http.post("/graphql", content=b"x" * (33 * 1024 * 1024), headers=JSON)
        assert too_long.status_code == 413
        by_get = await client.http.get("/graphql", params={"query": "{ viewer { username } }"})
        assert by_get.json()["data"] == {"viewer": {"username": "owner"}}
        mutation = 'mutation { createWorkspace(input: {name: "x"}) { errors { message } } }'
        refused = await client.http.get("/graphql", params={"query": mutation})
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        unreadable = await client.http.get("/graphql?query={__typename}%ff")
        assert (unreadable.status_code, "no UTF-8" in unreadable.text) == (400, True)
        forbidden = await client.http.put("/graphql")
        assert (forbidden.status_code, forbidden.headers["allow"]) == (405, "GET, POST")
    assert "Traceback" not in server.log


STRICT = "application/graphql-response+json"
FAILING = (
    "{",
    "{ nothing }",
    "query ($a: ID!) { node(id: $a) { id } }",
    "query A { __typename } query B { __typename }",
)


async def test_who_accepts_graphql_responses_learns_by_the_status_what_was_not_executed(server: Server) -> None:
    async with Client(server, server.key) as client:
        for query in FAILING:
            for accept, status in (("application/json", 200), (STRICT, 400), (f"{STRICT}, */*;q=0.1", 400)):
                answer = await client.http.post("/graphql", json={"query": query}, headers={"accept": accept})
                assert answer.status_code == status, (query, accept)
                assert answer.headers["content-type"] == (STRICT if status == 400 else "application/json")
                assert "data" not in answer.json(), query
        for query in ("{ __typename }", '{ dataset(id: "nonsense") { id } }'):  # the second one fails while it runs
            answer = await client.http.post("/graphql", json={"query": query}, headers={"accept": STRICT})
            assert (answer.status_code, "data" in answer.json()) == (200, True)


async def test_every_error_is_json_that_browsers_neither_keep_nor_guess_at(server: Server) -> None:
    requests = {
        ("GET", "/nothing"): 404, ("GET", "/assets/nothing.js"): 404, ("POST", "/assets/nothing.js"): 405,
        ("POST", "/healthz"): 405, ("DELETE", "/"): 405, ("GET", "/sign-out"): 405, ("PUT", "/graphql"): 405,
        ("OPTIONS", "/graphql"): 405, ("POST", "/graphql"): 415, ("GET", "/graphql"): 400, ("POST", "/sign-in"): 415,
    }  # fmt: skip
    async with Client(server, None) as client:
        for (method, path), status in requests.items():
            answer = await client.http.request(method, path)
            assert answer.status_code == status, (method, path)
            [error] = answer.json()["errors"]
            assert error["message"].endswith("."), (path, error)
            assert error["extensions"]["code"], path
            assert answer.headers["content-type"] == "application/json", path
            assert answer.headers["x-content-type-options"] == "nosniff", path
            assert answer.headers["referrer-policy"] == "no-referrer", path
            assert answer.headers["cache-control"] == "no-store", path
            assert answer.headers["cross-origin-resource-policy"] == "same-origin", path
            assert answer.headers["content-security-policy"].startswith("default-src 'none'"), path
            assert ("allow" in answer.headers) == (status == 405), path
            assert "HEAD, GET" not in answer.headers.get("allow", ""), path
        page = await client.http.put("/sign-in")
        assert page.headers["allow"] == "GET, HEAD, POST"
        with pytest.raises(InvalidStatus) as nothing:
            await connect(server.socket_address.replace("/graphql", "/nothing"))
        told = nothing.value.response
        assert (told.status_code, told.headers["content-type"]) == (404, "application/json")
        assert b"GraphQL is at /graphql" in told.body
        ok = await client.http.post("/graphql", json={"query": "{ __typename }"})
        assert ok.headers["cache-control"] == "no-store"
        assert ok.headers["x-content-type-options"] == "nosniff"
    assert "handshake" not in server.log


async def test_health_and_request_ids(server: Server) -> None:
    async with Client(server, None) as client:
        for path in ("/healthz", "/readyz"):
            answer = await client.http.get(path, headers={"x-request-id": "abc-1"})
            assert (answer.status_code, answer.json(), answer.headers["x-request-id"]) == (
                200,
                {"status": "ok"},
                "abc-1",
            )
        strange = await client.http.get("/healthz", headers={"x-request-id": "a b"})
        assert strange.headers["x-request-id"] != "a b"


async def test_signing_in_by_password(server: Server) -> None:
    async with Client(server, server.key) as owner, Client(server, None) as browser:
        await owner.mutate(operation("CreateWorkspace"), {"name": "team"})
        password = "correct horse battery"
        await owner.mutate(operation("CreateUser"), {"username": "ada", "role": "OWNER", "password": password})
        wrong = await browser.http.post("/sign-in", json={"username": "ada", "password": "wrong"})
        assert wrong.status_code == 401
        right = await browser.http.post("/sign-in", json={"username": "ada", "password": password})
        assert right.status_code == 200
        cookie = right.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert (await browser.run("{ viewer { username } }"))["viewer"] == {"username": "ada"}
        await browser.http.post("/sign-out")
        assert (await browser.run("{ viewer { username } }"))["viewer"] is None


@pytest.mark.parametrize("backend", ["sqlite"], indirect=False)
async def test_a_stop_closes_open_sockets_and_lets_requests_end(start: Start, backend: str) -> None:
    server = start(graceful_shutdown_seconds="5")
    async with Client(server, server.key) as client:
        socket = await connect(server.socket_address, subprotocols=[Subprotocol("graphql-transport-ws")])
        await socket.send('{"type":"connection_init"}')
        await socket.recv()
        assert (await client.run("{ viewer { username } }"))["viewer"] == {"username": "owner"}
        code = await asyncio.to_thread(server.stop)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code in (1001, 1012)
        assert code == 0
    assert "Traceback" not in server.log
    assert "Task was destroyed" not in server.log


async def test_messages_are_not_compressed(server: Server) -> None:
    """Browsers offer it; for each message of each socket it costs more than all the rest."""
    offered = connect(server.socket_address, subprotocols=[Subprotocol("graphql-transport-ws")], compression="deflate")
    async with offered as socket:
        assert socket.protocol.extensions == []
