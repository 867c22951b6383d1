"""One-time sign-in links."""

import asyncio
import datetime
import re

import httpx2
import pytest
from sqlalchemy import select, update
from starlette.applications import Starlette

from app.accounts.authentication import identify
from app.accounts.credentials import authenticate, list_keys, still_valid
from app.accounts.http import routes
from app.accounts.links import MAX_LIFETIME, create_link, use_link
from app.accounts.tables import Credential, CredentialKind
from app.accounts.users import UserChanges, remove_user, update_user
from app.db import Database, UnitOfWork
from app.errors import GradbookError
from tests.accounts.conftest import LIFETIME, Company

HOUR = datetime.timedelta(hours=1)


async def link(company: Company, who: str = "ann", by: str = "owner") -> str:
    secret = await company.act(by, create_link, company.id(who))
    assert isinstance(secret, str)
    return secret


async def use(database: Database, secret: str) -> str:
    """The session's secret."""
    return (await database.transact(use_link, secret, LIFETIME))[1]


async def refusal(company: Company, secret: str) -> str:
    with pytest.raises(GradbookError) as caught:
        await use(company.database, secret)
    assert caught.value.code == "UNAUTHENTICATED"
    return caught.value.message


async def links(company: Company) -> list[tuple[int, str]]:
    def read(uow: UnitOfWork) -> list[tuple[int, str]]:
        wanted = select(Credential.id, Credential.secret_hash).where(Credential.kind == CredentialKind.LINK)
        return [(row.id, row.secret_hash) for row in uow.connection.execute(wanted)]

    return await company.database.transact(read)


async def test_a_link_signs_in_once_and_only_its_hash_is_kept(company: Company) -> None:
    secret = await link(company)
    assert re.fullmatch(r"gbl_[A-Za-z0-9_-]{43}", secret)
    ((_, stored),) = await links(company)
    assert secret not in stored

    username, session = await company.database.transact(use_link, secret, LIFETIME)

    viewer = await identify(company.database, None, session)
    assert viewer is not None
    assert (username, viewer.username) == ("ann", "ann")
    assert "has been used, and works only once: `gradbook user link NAME`" in await refusal(company, secret)


async def test_of_two_who_use_a_link_at_once_one_gets_in(company: Company, other_database: Database) -> None:
    for _ in range(10):
        secret = await link(company)
        both = await asyncio.gather(
            *(use(database, secret) for database in (company.database, other_database)), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in both) == ["GradbookError", "str"], both


async def test_a_link_is_no_key_and_no_session(company: Company) -> None:
    secret = await link(company)

    with pytest.raises(GradbookError, match="is no API key"):
        await identify(company.database, f"Bearer {secret}")
    assert await identify(company.database, None, secret) is None
    assert await authenticate(company.database, secret) is None
    ((link_id, _),) = await links(company)
    assert await still_valid(company.database, [link_id]) == {}
    assert await company.act("owner", list_keys) == []
    assert await use(company.database, secret), "and none of this used it"


async def test_an_expired_link(company: Company) -> None:
    secret = await link(company)

    def expire(uow: UnitOfWork) -> None:
        uow.connection.execute(update(Credential).values(expires_at=uow.now - datetime.timedelta(microseconds=1)))

    await company.database.transact(expire)
    assert "This link has expired" in await refusal(company, secret)
    await link(company)
    assert len(await links(company)) == 1, "the next one clears it away"
    assert "unknown, or was used or has expired some time ago" in await refusal(company, secret)


@pytest.mark.parametrize("secret", ["", "gbl_", "gbl_" + "x" * 42, "gb_" + "x" * 43, "gbl_" + "\0" * 43])
async def test_what_is_no_link(company: Company, secret: str) -> None:
    assert "This is no sign-in link" in await refusal(company, secret)


async def test_a_new_password_and_a_removal_end_links(company: Company) -> None:
    first, second = await link(company), await link(company, "admin")
    await company.act("owner", update_user, company.id("ann"), UserChanges(password_hash="new"))
    await company.act("owner", remove_user, company.id("admin"))

    assert "This link is unknown" in await refusal(company, first)
    assert "This link is unknown" in await refusal(company, second)


@pytest.mark.parametrize("lifetime", [datetime.timedelta(0), -HOUR, MAX_LIFETIME + HOUR])
async def test_lifetimes(company: Company, lifetime: datetime.timedelta) -> None:
    with pytest.raises(GradbookError, match="choose up to 168"):
        await company.act("owner", create_link, company.id("ann"), lifetime)


async def test_over_http(company: Company) -> None:
    secret = await link(company)
    app = httpx2.ASGITransport(Starlette(routes=routes(lambda _: company.database, LIFETIME)))
    async with httpx2.AsyncClient(transport=app, base_url="http://test") as client:
        answer = await client.post("/sign-in", json={"link": secret})
        assert (answer.status_code, answer.json()["username"]) == (200, "ann")
        attributes = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}
        assert {"httponly", "samesite=strict", "path=/"} <= attributes
        assert await identify(company.database, None, client.cookies["gradbook_session"])
        again = await client.post("/sign-in", json={"link": secret})
        assert (again.status_code, "set-cookie" in again.headers) == (401, False)
        wrong = await client.post("/sign-in", json={"link": 5})
        assert (wrong.status_code, "link is no text" in wrong.json()["errors"][0]["message"]) == (400, True)
