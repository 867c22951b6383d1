"""Who is calling: from what came with a request or a socket to a viewer, and signing in and out."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from sqlalchemy import bindparam, select, update

from app.accounts.credentials import (
    KEY_PREFIX,
    SESSION_PREFIX,
    authenticate,
    end_session,
    looks_like_a_secret,
    open_session,
    why_refused,
)
from app.accounts.names import normalized_name
from app.accounts.passwords import hash_password, needs_rehash, verify_password
from app.accounts.tables import User
from app.accounts.viewer import Viewer
from app.db.database import Database
from app.db.statement import Statement
from app.db.types import Text
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError

SESSION_COOKIE = "gradbook_session"

_PASSWORD = Statement(
    select(User.id, User.password_hash).where(
        User.username == bindparam("username", type_=Text), User.deleted_at.is_(None)
    )
)


async def identify(database: Database, authorization: str | None, session: str | None = None) -> Viewer | None:
    """The caller, from the Authorization header and the session cookie; None for nobody. At most one statement.

    A header is meant: a wrong one raises UNAUTHENTICATED, even beside a good cookie. A browser sends its cookie for as
    long as it has it, so one of a session that has ended means nobody, who can sign in.
    """
    if authorization is not None:
        return await _bearer(database, authorization)
    if session is not None and session.startswith(SESSION_PREFIX) and looks_like_a_secret(session):
        return await authenticate(database, session)
    return None


def authorization_of(connection_params: object) -> str | None:
    """The Authorization in a socket's connection_init payload, if there is one; it goes before the header.

    Raises UNAUTHENTICATED when it is not text.
    """
    if not isinstance(connection_params, Mapping):
        return None
    for name in ("Authorization", "authorization"):
        value = connection_params.get(name)
        if isinstance(value, str):
            return value
        if value is not None:
            raise _unauthenticated(f"{name} in connection_init is not text: send {{{name!r}: 'Bearer KEY'}}.")
    return None


async def sign_in(database: Database, username: str, password: str, lifetime: datetime.timedelta) -> str | None:
    """Open a session and return its secret; None when username or password are wrong, without saying which.

    It takes the same time for a username that does not exist, up to what a statement takes.
    """
    username = normalized_name(username)
    rows = [] if "\0" in username else await database.read(*_PASSWORD.on(database.dialect, username=username))
    user_id, stored = rows[0] if rows else (0, None)
    if not await verify_password(stored, password):
        return None
    secret = await database.transact(open_session, user_id, stored, lifetime)
    if secret is not None and needs_rehash(stored):
        await database.transact(_replace_hash, user_id, stored, await hash_password(password))
    return secret


async def sign_out(database: Database, session: str) -> None:
    """End a session, and the sockets that it opened; one that has ended already stays so."""
    if looks_like_a_secret(session):
        await database.transact(end_session, session)


async def _bearer(database: Database, authorization: str) -> Viewer:
    # Nothing of the header is repeated in a message: the secret may stand anywhere in it.
    scheme, _, secret = authorization.strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer":
        raise _unauthenticated("Authorization does not begin with `Bearer `: send `Authorization: Bearer KEY`.")
    if not (secret.startswith(KEY_PREFIX) and looks_like_a_secret(secret)):
        raise _unauthenticated(
            f"What follows `Bearer ` is no API key: a key is {KEY_PREFIX!r} and 43 letters, digits, - or _, as it was "
            f"shown when it was made; this has {len(secret)} characters. Was all of it copied, and nothing else?"
        )
    viewer = await authenticate(database, secret)
    if viewer is None:
        raise _unauthenticated(f"This API key {await why_refused(database, secret)}: create another one.")
    return viewer


def _replace_hash(uow: UnitOfWork, user_id: int, old: str, new: str) -> None:
    uow.connection.execute(update(User).where(User.id == user_id, User.password_hash == old).values(password_hash=new))


def _unauthenticated(message: str) -> GradbookError:
    return GradbookError(Code.UNAUTHENTICATED, message)
