"""The pages over HTTP: caching, packed copies, headers, and what is said where nothing was built."""

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from app.web import is_built, routes

SCRIPT = b"export const answer = 42;\n" * 100
Visit = Callable[[Path], AbstractAsyncContextManager[httpx2.AsyncClient]]


@asynccontextmanager
async def visit(static: Path) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(Starlette(routes=routes(static)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """What a build leaves."""
    for name in ("graphiql", "sign-in"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(f"<title>{name}</title>")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets/main-1a2b.js").write_bytes(SCRIPT)
    (tmp_path / "assets/main-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (tmp_path / "assets/icons.ttf").write_bytes(b"\0\1")
    (tmp_path / "favicon.svg").write_text("<svg/>")
    (tmp_path / "third-party-licenses.txt").write_text("MIT")
    (tmp_path / "secret.txt").write_text("not to be served")
    return tmp_path


async def test_where_pages_are(static: Path) -> None:
    async with visit(static) as client:
        home = await client.get("/")
        assert (home.status_code, home.headers["location"]) == (307, "/graphiql")
        for name in ("graphiql", "sign-in"):
            page = await client.get(f"/{name}")
            assert (page.status_code, page.text) == (200, f"<title>{name}</title>")
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert page.headers["cache-control"] == "no-cache"
        assert (await client.get("/favicon.svg")).headers["content-type"] == "image/svg+xml"
        assert (await client.get("/third-party-licenses.txt")).text == "MIT"
        for path in ("/secret.txt", "/assets/none.js", "/assets/../secret.txt", "/assets/%2e%2e/secret.txt", "/assets"):
            assert (await client.get(path)).status_code in {307, 404}, path
    assert is_built(static)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip, deflate, br, zstd", True), ("*", True), ("GZIP;q=0.5", True), ("gzip;q=0", False), ("br", False)],
)
async def test_assets_are_kept_for_ever_and_come_packed_to_whom_takes_it(
    static: Path, accepted: str, packed: bool
) -> None:
    async with visit(static) as client:
        answer = await client.get("/assets/main-1a2b.js", headers={"accept-encoding": accepted})
        assert answer.content == SCRIPT
        assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
        assert (int(answer.headers["content-length"]) < len(SCRIPT)) == packed
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["vary"] == "accept-encoding"
        again = {"accept-encoding": accepted, "if-none-match": answer.headers["etag"]}
        assert (await client.get("/assets/main-1a2b.js", headers=again)).status_code == 304
        assert (await client.get("/assets/icons.ttf")).headers["content-type"] == "font/ttf"


async def test_every_answer_is_fenced_in(static: Path, tmp_path: Path) -> None:
    async with visit(static) as built, visit(tmp_path / "nothing") as unbuilt:
        answers = [await built.get(path) for path in ("/", "/graphiql", "/sign-in", "/assets/main-1a2b.js")]
        answers.append(await unbuilt.get("/graphiql"))
    for answer in answers:
        policy = {part.split()[0]: part.split()[1:] for part in answer.headers["content-security-policy"].split(";")}
        assert policy["default-src"] == policy["connect-src"] == policy["worker-src"] == ["'self'"]
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == ["'none'"]
        assert "script-src" not in policy, "scripts come from our own files alone"
        assert not any("http" in source or "*" in source for sources in policy.values() for source in sources)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"


async def test_where_operations_are_registered_graphiql_is_closed(static: Path) -> None:
    transport = httpx2.ASGITransport(Starlette(routes=routes(static, registered_only=True)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        page = await client.get("/graphiql")
        assert (page.status_code, page.headers["cache-control"]) == (403, "no-store")
        assert "GRADBOOK_REGISTERED_ONLY" in page.text
        assert page.headers["x-frame-options"] == "DENY"
        assert (await client.get("/sign-in")).status_code == 200


async def test_without_a_build_the_pages_say_what_to_do(tmp_path: Path) -> None:
    static = tmp_path / "nothing"
    async with visit(static) as client:
        for name in ("graphiql", "sign-in"):
            page = await client.get(f"/{name}")
            assert (page.status_code, page.headers["cache-control"]) == (503, "no-store")
            assert "make web" in page.text
            assert "Node.js" in page.text
            assert "<script" not in page.text
        assert (await client.get("/assets/main.js")).status_code == 404
        assert (await client.get("/favicon.svg")).status_code == 404
        assert not is_built(static)
        (static / "graphiql").mkdir(parents=True)
        (static / "graphiql/index.html").write_text("built meanwhile")
        assert (await client.get("/graphiql")).text == "built meanwhile"
