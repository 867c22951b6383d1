"""Who is calling: from what came with a request or a socket to a viewer, and signing in and out."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import bindparam, select, update

from app.accounts.audit import Event, audit
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
from app.accounts.passwords import hash_password, in_line, needs_rehash, verify_password
from app.accounts.tables import AuditAction, User
from app.accounts.throttle import (
    DEFAULT_LIMITS,
    SignInLimits,
    charge,
    device_token,
    forget_full,
    known_device,
    may_note_failure,
    refund,
)
from app.accounts.viewer import Viewer
from app.db.database import Database
from app.db.statement import Statement
from app.db.types import Text
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError
from app.origin import ORIGIN

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


class SignedIn(NamedTuple):
    """An open session, and what to show at the next sign-in to be known as the same device."""

    secret: str
    device: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """What somebody shows. `device` is what their last sign-in gave them."""

    username: str
    password: str
    device: str | None = None


async def sign_in(
    database: Database, attempt: SignIn, lifetime: datetime.timedelta, limits: SignInLimits = DEFAULT_LIMITS
) -> SignedIn | None:
    """Open a session; None when username or password are wrong, without saying which.

    For a username that does not exist all is done as for one that does. Raises RATE_LIMITED, and OVERLOADED.
    """
    username = normalized_name(attempt.username)
    rows = [] if "\0" in username else await database.read(*_PASSWORD.on(database.dialect, username=username))
    user_id, stored = rows[0] if rows else (None, None)
    origin = ORIGIN.get()
    device = known_device(stored, attempt.device)
    charges = limits.charges(username, origin.address if origin else None, device)
    with in_line:
        await database.transact(charge, charges)
        is_right = await verify_password(stored, attempt.password)
    if not is_right:
        await database.transact(_note_failure, user_id, username)
        return None

    def succeed(uow: UnitOfWork) -> str | None:
        refund(uow, charges)
        return open_session(uow, user_id, stored, lifetime)

    secret = await database.transact(succeed)
    if secret is None:
        return None
    if needs_rehash(stored):
        new = await hash_password(attempt.password)
        await database.transact(_replace_hash, user_id, stored, new)
        stored = new
    return SignedIn(secret, device_token(stored, device))


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


def _note_failure(uow: UnitOfWork, user_id: int | None, username: str) -> None:
    """Of a name that nobody has nothing is noted: people type passwords in its place."""
    forget_full(uow)
    if may_note_failure(uow):
        subject = None if user_id is None else f"usr_{user_id}"
        audit(uow, Event(AuditAction.SIGN_IN_FAILED, subject, None if user_id is None else username))


def _replace_hash(uow: UnitOfWork, user_id: int, old: str, new: str) -> None:
    uow.connection.execute(update(User).where(User.id == user_id, User.password_hash == old).values(password_hash=new))


def _unauthenticated(message: str) -> GradbookError:
    return GradbookError(Code.UNAUTHENTICATED, message)
