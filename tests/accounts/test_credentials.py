import datetime
import hashlib
import re
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update

from app.accounts.authentication import authorization_of, identify, sign_out
from app.accounts.credentials import authenticate, create_key, list_keys, open_session, revoke_key, still_valid
from app.accounts.passwords import hash_password
from app.accounts.tables import Credential, Role, User
from app.accounts.users import UserChanges, remove_user, update_user
from app.accounts.viewer import Viewer
from app.db import UnitOfWork
from app.errors import GradbookError
from tests.accounts.conftest import LIFETIME, PASSWORD, Company, sign_in

NOW = datetime.datetime.now(datetime.UTC)


async def stored(company: Company, *columns: Any) -> list[tuple[Any, ...]]:
    def read(uow: UnitOfWork) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in uow.connection.execute(select(*columns).select_from(Credential))]

    return await company.database.transact(read)


async def let_expire(company: Company, credential_id: int) -> None:
    def expire(uow: UnitOfWork) -> None:
        just_now = uow.now - datetime.timedelta(microseconds=1)
        uow.connection.execute(update(Credential).where(Credential.id == credential_id).values(expires_at=just_now))

    await company.database.transact(expire)


@pytest.fixture
async def with_password(company: Company, password_hash: str) -> None:
    """`ann` can sign in."""
    await company.act("owner", update_user, company.id("ann"), UserChanges(password_hash=password_hash))


async def signed_in(company: Company, who: str) -> str:
    secret = await sign_in(company.database, who, PASSWORD, LIFETIME)
    assert secret is not None
    return secret


async def refusal(company: Company, authorization: str, session: str | None = None) -> str:
    with pytest.raises(GradbookError) as caught:
        await identify(company.database, authorization, session)
    assert caught.value.code == "UNAUTHENTICATED"
    return caught.value.message


async def test_only_the_hash_of_a_secret_is_kept(company: Company) -> None:
    key_id, secret = await company.act("ann", create_key, "laptop")

    assert re.fullmatch(r"gb_[A-Za-z0-9_-]{43}", secret)
    [row] = await stored(company, *Credential.__table__.c)
    assert row[0] == key_id
    assert secret[:10] in row
    assert hashlib.sha256(secret.encode()).hexdigest() in row
    assert not any(secret[3:] in str(value) for value in row)


async def test_a_key_is_its_user(company: Company) -> None:
    key_id, secret = await company.act("ann", create_key, "laptop", None, NOW + LIFETIME)

    ann = Viewer(company.id("ann"), "ann", Role.ANNOTATOR, key_id)
    assert await authenticate(company.database, secret) == ann
    assert await identify(company.database, f"Bearer {secret}") == ann
    assert await identify(company.database, f"  bearer   {secret} ") == ann
    assert await authenticate(company.database, secret[:-1] + ("A" if secret[-1] != "A" else "B")) is None


async def test_a_role_holds_as_soon_as_it_is_given(company: Company) -> None:
    _, secret = await company.act("ann", create_key, "laptop")

    await company.act("owner", update_user, company.id("ann"), UserChanges(role=Role.ADMIN, username="anna"))

    viewer = await authenticate(company.database, secret)
    assert viewer is not None
    assert (viewer.username, viewer.role) == ("anna", Role.ADMIN)


async def test_keys_end_by_revocation_expiry_and_removal(company: Company) -> None:
    keys = {name: await company.act("ann", create_key, name) for name in ("good", "revoked", "expired")}
    await company.act("ann", revoke_key, keys["revoked"][0])
    await let_expire(company, keys["expired"][0])
    ids = [key_id for key_id, _ in keys.values()]
    database = company.database

    viewers = {name: await authenticate(database, secret) for name, (_, secret) in keys.items()}
    assert [name for name, viewer in viewers.items() if viewer] == ["good"]
    good = keys["good"][0]
    assert await still_valid(database, [*ids, 12345]) == {good: Viewer(company.id("ann"), "ann", Role.ANNOTATOR, good)}
    assert await still_valid(database, []) == {}
    assert await still_valid(database, set(range(1, 5000)) | {good}) != {}

    await company.act("owner", remove_user, company.id("ann"))
    assert await authenticate(database, keys["good"][1]) is None
    assert await still_valid(database, ids) == {}


async def test_a_wrong_key_is_told_what_is_wrong_with_it_and_never_repeated(company: Company) -> None:
    revoked_id, revoked = await company.act("ann", create_key, "revoked")
    expired_id, expired = await company.act("ann", create_key, "expired")
    await company.act("ann", revoke_key, revoked_id)
    await let_expire(company, expired_id)
    unknown = "gb_" + "A" * 43
    says = {
        f"Bearer {unknown}": "This API key is unknown: create another one.",
        f"Bearer {revoked}": "This API key was revoked: create another one.",
        f"Bearer {expired}": "This API key has expired: create another one.",
        f"Bearer {unknown}x": "this has 47 characters. Was all of it copied, and nothing else?",
        f"Bearer {unknown[:-1]}": "this has 45 characters.",
        "Bearer gbs_" + "A" * 43: "is no API key: a key is 'gb_' and 43 letters",
        "Bearer": "this has 0 characters.",
        unknown: "does not begin with `Bearer `: send `Authorization: Bearer KEY`.",
        f"Basic {unknown}": "does not begin with `Bearer `",
        "": "does not begin with `Bearer `",
    }

    got = {authorization: await refusal(company, authorization) for authorization in says}

    for authorization, message in got.items():
        assert says[authorization] in message
        assert "AAAA" not in message
        assert authorization[10:] not in message or len(authorization) < 10


async def test_listed_keys(company: Company, with_password: None) -> None:
    key_id, secret = await company.act("ann", create_key, "laptop", None, NOW + LIFETIME)
    await company.act("admin", create_key, "desk")
    await company.act("ann", revoke_key, key_id)
    await signed_in(company, "ann")

    [key] = await company.act("admin", list_keys, company.id("ann"))

    assert (key.id, key.name, key.prefix, key.username) == (key_id, "laptop", secret[:10], "ann")
    assert key.expires_at == NOW + LIFETIME
    assert key.revoked_at is not None
    assert len(await company.act("admin", list_keys)) == 2, "the session is none"


async def test_revoking_twice_keeps_the_first_time(company: Company) -> None:
    key_id, _ = await company.act("ann", create_key, "laptop")
    await company.act("ann", revoke_key, key_id)
    first = await stored(company, Credential.revoked_at)

    await company.act("ann", revoke_key, key_id)

    assert await stored(company, Credential.revoked_at) == first


async def test_a_session_is_its_user_until_they_sign_out(company: Company, with_password: None) -> None:
    secret, other = await signed_in(company, "ann"), await signed_in(company, "ann")

    viewer = await identify(company.database, None, secret)
    assert viewer is not None
    assert (viewer.id, viewer.role) == (company.id("ann"), Role.ANNOTATOR)
    assert await still_valid(company.database, [viewer.credential_id or 0])

    await sign_out(company.database, secret)
    await sign_out(company.database, secret)
    await sign_out(company.database, "nonsense")

    assert await identify(company.database, None, secret) is None
    assert await still_valid(company.database, [viewer.credential_id or 0]) == {}
    assert await identify(company.database, None, other) is not None


async def test_a_key_is_no_cookie_and_signing_out_revokes_no_key(company: Company) -> None:
    _, key = await company.act("ann", create_key, "laptop")

    assert await identify(company.database, None, key) is None
    await sign_out(company.database, key)
    assert await identify(company.database, f"Bearer {key}") is not None


async def test_an_old_cookie_is_nobody_but_a_wrong_header_is_an_error(company: Company, with_password: None) -> None:
    secret = await signed_in(company, "ann")

    for old in ("", "nonsense", "gbs_" + "A" * 43):
        assert await identify(company.database, None, old) is None
    assert await identify(company.database, None, None) is None
    assert "unknown" in await refusal(company, "Bearer gb_" + "A" * 43, secret)


async def test_expired_sessions_end_and_are_cleared_away(company: Company, with_password: None) -> None:
    secret = await signed_in(company, "ann")
    viewer = await identify(company.database, None, secret)
    assert viewer is not None
    await let_expire(company, viewer.credential_id or 0)
    key_id, _ = await company.act("ann", create_key, "expired key")
    await let_expire(company, key_id)

    assert await identify(company.database, None, secret) is None
    await signed_in(company, "ann")

    kinds = await stored(company, Credential.kind)
    assert sorted(kind.name for (kind,) in kinds) == ["KEY", "SESSION"]


async def test_signing_in(company: Company, with_password: None) -> None:
    database = company.database

    assert await sign_in(database, "ann", PASSWORD, LIFETIME) is not None
    assert await sign_in(database, "ann", "wrong horse", LIFETIME) is None
    assert await sign_in(database, "peer", PASSWORD, LIFETIME) is None, "who has no password"
    assert await sign_in(database, "nobody", PASSWORD, LIFETIME) is None
    assert await sign_in(database, "a\0nn", PASSWORD, LIFETIME) is None
    assert await sign_in(database, "ann", "", LIFETIME) is None


async def test_a_new_password_ends_the_other_sessions(company: Company, with_password: None) -> None:
    here, there = await signed_in(company, "ann"), await signed_in(company, "ann")
    _, key = await company.act("ann", create_key, "script")
    viewer = await identify(company.database, None, here)
    changes = UserChanges(password_hash=await hash_password("another horse"))

    await company.database.transact(update_user, company.id("ann"), changes, viewer=viewer)

    assert await identify(company.database, None, here) is not None
    assert await identify(company.database, None, there) is None
    assert await identify(company.database, f"Bearer {key}") is not None
    assert await sign_in(company.database, "ann", PASSWORD, LIFETIME) is None


async def test_no_session_for_a_password_that_changed_meanwhile(company: Company, password_hash: str) -> None:
    old, new = password_hash, await hash_password("another horse")
    await company.act("owner", update_user, company.id("ann"), UserChanges(password_hash=new))

    assert await company.database.transact(open_session, company.id("ann"), old, LIFETIME) is None
    assert await company.database.transact(open_session, company.id("ann"), new, LIFETIME) is not None


async def test_signing_in_renews_an_outdated_hash(company: Company) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    await company.act("owner", update_user, company.id("ann"), UserChanges(password_hash=weak))

    session = await signed_in(company, "ann")

    def password_hash(uow: UnitOfWork) -> str | None:
        return uow.connection.scalar(select(User.password_hash).where(User.id == company.id("ann")))

    renewed = await company.database.transact(password_hash)
    assert renewed is not None
    assert "m=65536,t=3" in renewed
    assert await identify(company.database, None, session) is not None
    await signed_in(company, "ann")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"Authorization": "Bearer gb_x"}, "Bearer gb_x"),
        ({"authorization": "Bearer gb_x"}, "Bearer gb_x"),
        ({"Authorization": None, "other": 5}, None),
        ({}, None),
        (None, None),
        ("Bearer gb_x", None),
    ],
    ids=["as documented", "lower case", "null", "empty", "none", "no object"],
)
def test_authorization_of_a_socket(params: object, expected: str | None) -> None:
    assert authorization_of(params) == expected


def test_authorization_of_a_socket_is_text() -> None:
    with pytest.raises(GradbookError, match="Authorization in connection_init is not text"):
        authorization_of({"Authorization": ["Bearer gb_x"]})


async def test_authentication_is_one_statement(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    _, secret = await company.act("ann", create_key, "laptop")
    count = 0
    read = company.database.read

    async def counted(*args: Any) -> list[tuple[Any, ...]]:
        nonlocal count
        count += 1
        return await read(*args)

    monkeypatch.setattr(company.database, "read", counted)
    for authorization, session in [(f"Bearer {secret}", None), (None, "gbs_" + "A" * 43)]:
        count = 0
        await identify(company.database, authorization, session)
        assert count == 1
    for session in (None, "nonsense"):
        count = 0
        await identify(company.database, None, session)
        assert count == 0
