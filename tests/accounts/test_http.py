from collections.abc import AsyncIterator

import httpx2
import orjson
import pytest
from starlette.applications import Starlette

from app.accounts.authentication import identify
from app.accounts.http import routes
from app.accounts.users import UserChanges, update_user
from tests.accounts.conftest import LIFETIME, PASSWORD, Company

JSON = {"content-type": "application/json"}
RIGHT = {"username": "ann", "password": PASSWORD}


@pytest.fixture
async def client(company: Company, password_hash: str) -> AsyncIterator[httpx2.AsyncClient]:
    await company.act("owner", update_user, company.id("ann"), UserChanges(password_hash=password_hash))
    app = Starlette(routes=routes(lambda _: company.database, LIFETIME))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_signing_in_and_out(client: httpx2.AsyncClient, company: Company) -> None:
    response = await client.post("/sign-in", json=RIGHT)

    assert response.status_code == 200
    assert response.json().keys() == {"username", "expiresAt"}
    assert response.headers["cache-control"] == "no-store"
    session = client.cookies["gradbook_session"]
    viewer = await identify(company.database, None, session)
    assert viewer is not None
    assert viewer.username == "ann"

    gone = await client.post("/sign-out")

    assert (gone.status_code, gone.content) == (204, b"")
    assert "gradbook_session" not in client.cookies
    assert await identify(company.database, None, session) is None
    assert (await client.post("/sign-out")).status_code == 204, "twice does no harm"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_script_and_no_other_site_gets_the_cookie(client: httpx2.AsyncClient, scheme: str) -> None:
    signed_in = await client.post(f"{scheme}://test/sign-in", json=RIGHT)
    signed_out = await client.post(f"{scheme}://test/sign-out")

    for response in (signed_in, signed_out):
        attributes = {part.strip().lower() for part in response.headers["set-cookie"].split(";")}
        assert {"httponly", "samesite=strict", "path=/"} <= attributes
        assert ("secure" in attributes) == (scheme == "https")
    assert "Max-Age=3600" in signed_in.headers["set-cookie"]


@pytest.mark.parametrize(
    "body",
    [
        {**RIGHT, "password": "wrong horse"},
        {**RIGHT, "username": "nobody"},
        {**RIGHT, "username": "owner"},
        {**RIGHT, "username": "a\0nn"},
        {**RIGHT, "password": ""},
        {**RIGHT, "password": "x" * 2000},
    ],
    ids=["password", "nobody", "without a password", "NUL", "empty", "long"],
)
async def test_a_wrong_pair_is_told_from_no_other(client: httpx2.AsyncClient, body: dict[str, str]) -> None:
    response = await client.post("/sign-in", json=body)

    assert response.status_code == 401
    assert response.json() == {
        "errors": [
            {
                "message": "The username or the password is wrong, or the user has no password yet: "
                "`gradbook user passwd NAME` sets one.",
                "extensions": {"code": "UNAUTHENTICATED"},
            }
        ]
    }
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"", 400, "The body is no JSON"),
        (b'{"username": "ann"', 400, "The body is no JSON"),
        (b'{"username": "\xff"}', 400, "The body is no JSON"),
        (b"[]", 400, "The body is no object"),
        (b'{"password": "x"}', 400, "username is missing"),
        (b'{"username": 5, "password": "x"}', 400, "username is no text"),
        (b'{"username": "ann", "password": null}', 400, "password is no text"),
        (b'{"username": "ann", "password": "\\ud800"}', 400, "The body is no JSON"),
        (b" " * 20_000, 413, "The body is longer than 16,384 bytes"),
    ],
    ids=["empty", "cut off", "encoding", "list", "missing", "number", "null", "surrogate", "large"],
)
async def test_bad_bodies(client: httpx2.AsyncClient, content: bytes, status: int, says: str) -> None:
    response = await client.post("/sign-in", content=content, headers=JSON)

    [error] = response.json()["errors"]
    assert (response.status_code, says in error["message"]) == (status, True), error


async def test_a_form_of_another_site_is_refused(client: httpx2.AsyncClient) -> None:
    body = orjson.dumps(RIGHT)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        for path in ("/sign-in", "/sign-out"):
            response = await client.post(path, content=body, headers={"content-type": content_type})
            assert response.status_code == 415
            assert (
                f"is {content_type.partition(';')[0]}: send application/json" in response.json()["errors"][0]["message"]
            )
    assert (await client.post("/sign-in", content=body)).status_code == 415
    with_charset = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await client.post("/sign-in", content=body, headers=with_charset)).status_code == 200


async def test_only_post(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/sign-in")).status_code == 405
    assert (await client.get("/sign-out")).status_code == 405
