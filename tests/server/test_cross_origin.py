"""Pages of other origins: what a browser would send for them, and what it is told."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from app.accounts.authentication import SESSION_COOKIE
from app.cross_origin import Origins
from tests.api.conftest import operation
from tests.server.conftest import Start
from tests.support.server import Client, Server

LISTED = "https://ui.example.com"
OTHER = "https://evil.example"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-own"}
PASSWORD = "correct horse battery"
JSON = {"content-type": "application/json"}
MULTIPART = "multipart/mixed;subscriptionSpec=1.0"
DOORS = {
    "/graphql",
    "/sign-in",
    "/sign-out",
    "/datasets/dst_1/import",
    "/datasets/dst_1/export",
    "/tasks/1/metrics.csv",
}


def connection(origin: str | None, host: str = "book.example.com", scheme: str = "http") -> HTTPConnection:
    headers = [(b"host", host.encode("latin-1"))]
    if origin is not None:
        headers.append((b"origin", origin.encode("latin-1")))
    return HTTPConnection({"type": "http", "headers": headers, "scheme": scheme})


@pytest.mark.parametrize(
    ("origin", "scheme", "allowed"),
    [
        (None, "http", True),
        ("http://book.example.com", "http", True),
        ("https://book.example.com", "http", True),  # behind a proxy that is not believed
        ("https://BOOK.example.com", "https", True),
        ("http://book.example.com", "https", False),
        ("https://public.example.com", "https", True),
        (LISTED, "https", True),
        (f"{LISTED}:444", "https", False),
        (f"{LISTED}.evil.example", "https", False),
        ("https://book.example.com:444", "https", False),
        ("https://book.example.com.evil.example", "https", False),
        ("chrome-extension://book.example.com", "http", False),
        ("null", "http", False),
        ("", "http", False),
        ("http://[", "http", False),
        ("\xff", "http", False),
    ],
)
def test_origins_that_may(origin: str | None, scheme: str, allowed: bool) -> None:
    origins = Origins([LISTED], "https://public.example.com")
    assert origins.allow(connection(origin, scheme=scheme)) is allowed


def test_what_names_no_host_is_nobodys_origin() -> None:
    for origin in ("null", "", "https://"):
        assert not Origins().allow(connection(origin, host="x"))


async def cookie_of(server: Server) -> str:
    """The owner's session."""
    async with Client(server, server.key) as owner:
        await owner.mutate(operation("CreateUser"), {"username": "ada", "role": "OWNER", "password": PASSWORD})
        answer = await owner.http.post("/sign-in", json={"username": "ada", "password": PASSWORD})
        return answer.cookies[SESSION_COOKIE]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=False)
async def test_other_origins_get_nothing_with_a_cookie_and_no_cookie(start: Start, backend: str) -> None:
    server = start(allowed_origins=LISTED)
    session = {"cookie": f"a=b; {SESSION_COOKIE}={await cookie_of(server)}"}
    own = server.address
    query = {"query": "{ viewer { username } }"}
    async with Client(server, None) as browser:
        ask = browser.http.request
        requests: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/graphql", {"json": query}),
            ("GET", "/graphql", {"params": query}),
            ("GET", "/graphql", {"params": query, "headers": {"accept": "text/event-stream"}}),
            ("POST", "/graphql", {"json": query, "headers": {"accept": MULTIPART}}),
            ("POST", "/datasets/dst_1/import", {"content": b"{}", "headers": {"content-type": "text/csv"}}),
            ("GET", "/datasets/dst_1/export", {}),
            ("GET", "/tasks/tsk_1/metrics.csv", {}),
            ("POST", "/sign-out", {}),
        ]
        for method, path, more in requests:
            headers = {**more.pop("headers", {}), **session}
            for origin in (OTHER, "null", "http://["):
                refused = await ask(method, path, headers={**headers, "origin": origin}, **more)
                assert (refused.status_code, "GRADBOOK_ALLOWED_ORIGINS" in refused.text) == (403, True), (path, origin)
                assert "access-control-allow-origin" not in refused.headers
                assert refused.headers["x-request-id"]
            if path != "/sign-out":
                answer = await ask(method, path, headers={**headers, "origin": own}, **more)
                assert answer.status_code in (200, 404), (path, answer.text)
        for path in ("/sign-in", "/sign-out"):  # whoever has no cookie would get one of somebody else's
            body = {"username": "ada", "password": PASSWORD}
            refused = await ask("POST", path, json=body, headers={"origin": OTHER})
            assert (refused.status_code, "set-cookie" in refused.headers) == (403, False), path
            for origin in (own, LISTED):
                answer = await ask("POST", path, json=body, headers={"origin": origin})
                assert (answer.status_code, "set-cookie" in answer.headers) in ((200, True), (204, True)), path
        # No browser sends a key by itself.
        keyed = {"authorization": f"Bearer {server.key}", "origin": OTHER}
        for accept in ("application/json", "text/event-stream", MULTIPART):
            answer = await ask("POST", "/graphql", json=query, headers={**keyed, "accept": accept})
            assert (answer.status_code, '"owner"' in answer.text) == (200, True), accept
            assert "access-control-allow-origin" not in answer.headers
    assert "Traceback" not in server.log


@pytest.mark.parametrize("backend", ["sqlite"], indirect=False)
async def test_what_pages_of_other_origins_embed_gets_nothing_with_a_cookie(start: Start, backend: str) -> None:
    server = start()
    session = {"cookie": f"{SESSION_COOKIE}={await cookie_of(server)}"}
    query = {"query": "{ viewer { username } }"}

    async def asked(site: str, mode: str, dest: str, **headers: str) -> int:
        sent = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest, **headers}
        answer = await browser.http.get("/graphql", params=query, headers=sent)
        assert ("GRADBOOK_ALLOWED_ORIGINS" in answer.text) == (answer.status_code == 403), answer.text
        return answer.status_code

    async with Client(server, None) as browser:
        for site in ("same-site", "cross-site"):
            assert await asked(site, "no-cors", "image", **session) == 403
            assert await asked(site, "navigate", "iframe", **session) == 403
            assert await asked(site, "navigate", "document", **session) == 200
            assert await asked(site, "no-cors", "image") == 200
        for site, mode, dest in (("same-origin", "cors", "empty"), ("none", "navigate", "document")):
            assert await asked(site, mode, dest, **session) == 200
    async with Client(server, server.key) as program:
        answer = await program.http.get("/graphql", params=query, headers={"sec-fetch-site": "same-site"})
        assert answer.status_code == 200


@pytest.mark.parametrize("backend", ["sqlite"], indirect=False)
async def test_other_origins_get_no_socket(start: Start, backend: str) -> None:
    """No browser keeps what comes by one from the page that opened it, so they need no cookie for that."""
    server = start(allowed_origins=LISTED)
    protocols = [Subprotocol("graphql-transport-ws")]
    for refused in (OTHER, "null", "http://["):
        with pytest.raises(InvalidStatus) as refusal:
            await connect(server.socket_address, origin=Origin(refused), subprotocols=protocols)
        answer = refusal.value.response
        assert (answer.status_code, b"GRADBOOK_ALLOWED_ORIGINS" in (answer.body or b"")) == (403, True), refused
    for allowed in (None, server.address, LISTED):
        origin = Origin(allowed) if allowed else None
        async with connect(server.socket_address, origin=origin, subprotocols=protocols) as socket:
            await socket.send('{"type": "ping"}')
            assert await socket.recv() == '{"type":"pong"}'
    assert "Traceback" not in server.log


@pytest.mark.parametrize("backend", ["sqlite"], indirect=False)
async def test_listed_origins_may_ask_and_read_answers_of_every_kind(start: Start, backend: str) -> None:
    server = start(allowed_origins=f"{LISTED}/")
    async with Client(server, None) as browser:
        ask = browser.http.request
        for path in DOORS:
            asked = await ask("OPTIONS", path, headers={"origin": LISTED, **PREFLIGHT})
            assert (asked.status_code, asked.text) == (204, ""), path
            _may_read(asked)
            assert asked.headers["access-control-allow-methods"] == "GET, HEAD, POST"
            assert asked.headers["access-control-allow-headers"] == "authorization,x-own"
            assert asked.headers["access-control-max-age"] == "7200"
            refused = await ask("OPTIONS", path, headers={"origin": OTHER, **PREFLIGHT})
            assert (refused.status_code, "GRADBOOK_ALLOWED_ORIGINS" in refused.text) == (403, True), path
            assert not [name for name in refused.headers if name.startswith("access-control")]
            assert refused.headers["vary"] == "origin"
        for method, path, headers, status in (
            ("POST", "/graphql", JSON, 200),
            ("POST", "/graphql", JSON | {"accept": "text/event-stream"}, 200),
            ("POST", "/graphql", {}, 415),
            ("POST", "/graphql", JSON | {"authorization": "x"}, 401),
            ("PUT", "/graphql", {}, 405),
            ("POST", "/datasets/dst_1/import", {}, 401),
            ("GET", "/nothing", {}, 404),
        ):
            answer = await ask(
                method, path, headers={**headers, "origin": LISTED}, content=b'{"query": "{ __typename }"}'
            )
            assert answer.status_code == status, (path, headers)
            _may_read(answer)
            assert answer.headers["access-control-expose-headers"] == "content-disposition, retry-after, x-request-id"


def _may_read(answer: httpx2.Response) -> None:
    assert answer.headers["access-control-allow-origin"] == LISTED
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["vary"] == "origin"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=False)
async def test_without_a_list_nobody_may_and_by_https_all_stays_https(server: Server, backend: str) -> None:
    async with Client(server, None) as browser:
        for path in (*DOORS, "/graphiql", "/assets/x.js", "/healthz"):
            answer = await browser.http.get(path, headers={"origin": LISTED})
            assert not [name for name in answer.headers if name.startswith("access-control")], path
            assert "strict-transport-security" not in answer.headers
            assert answer.headers["cross-origin-resource-policy"] == "same-origin", path
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
            secure = await browser.http.get(path, headers={"x-forwarded-proto": "https"})
            assert secure.headers["strict-transport-security"] == "max-age=31536000", path
