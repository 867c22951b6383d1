"""API keys and sessions: what a caller shows to be recognised.

A secret is 256 random bits, so its SHA-256 is as good as a slow hash, and finds the row by an index. It is known to
the caller alone: the database has the hash, and of a key the first characters, to tell keys apart.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace

from sqlalchemy import ARRAY, BigInteger, Select, String, any_, bindparam, delete, func, insert, select, update
from sqlalchemy.sql import ColumnElement

from app.accounts import scope
from app.accounts.access import OPERATOR, acting, take_turn, visible_user
from app.accounts.audit import Event, audit
from app.accounts.names import checked_name
from app.accounts.policy import Action, demand
from app.accounts.tables import AuditAction, Credential, CredentialKind, Role, User
from app.accounts.viewer import Viewer
from app.db.database import Database
from app.db.statement import Statement
from app.db.types import Text, instant_text
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError

KEY_PREFIX = "gb_"
SESSION_PREFIX = "gbs_"
LINK_PREFIX = "gbl_"
PREFIXES = {
    CredentialKind.KEY: KEY_PREFIX,
    CredentialKind.SESSION: SESSION_PREFIX,
    CredentialKind.LINK: LINK_PREFIX,
}
_SECRET = re.compile(r"gbs?_[A-Za-z0-9_-]{43}")
_SHOWN = 10  # characters: `gb_` and 42 of the 256 bits


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key as a list shows it."""

    id: int
    name: str
    prefix: str
    username: str
    created_at: datetime.datetime
    expires_at: datetime.datetime | None
    revoked_at: datetime.datetime | None


def create_key(
    uow: UnitOfWork, name: str, user_id: int | None = None, expires_at: datetime.datetime | None = None
) -> tuple[int, str]:
    """Make an API key of a user (of the viewer, without `user_id`) and return its id and its secret.

    The secret is nowhere else: it cannot be shown again. Raises INVALID_INPUT for the name or a time that has passed,
    NOT_FOUND, FORBIDDEN.
    """
    actor = acting(uow)
    user = actor if user_id is None and uow.viewer is not OPERATOR else visible_user(uow, actor, user_id or 0, "userId")
    demand(actor, Action.CREATE_KEY, user, "userId")
    name = checked_name(name, "Key name")
    return insert_key(uow, user.id, name, None if expires_at is None else _future(uow, expires_at))


def insert_key(
    uow: UnitOfWork, user_id: int, name: str, expires_at: datetime.datetime | None = None
) -> tuple[int, str]:
    """Write a key, whoever asks: the caller has checked everything. Returns its id and its secret."""
    key_id, secret = insert_credential(uow, CredentialKind.KEY, user_id=user_id, name=name, expires_at=expires_at)
    details = {"user": f"usr_{user_id}", "expiresAt": None if expires_at is None else instant_text(expires_at)}
    audit(uow, Event(AuditAction.KEY_CREATED, f"key_{key_id}", name, details))
    return key_id, secret


def revoke_key(uow: UnitOfWork, key_id: int) -> None:
    """Make a key useless, from now on and for the sockets that it opened; it stays in the list.

    A revoked key stays as it is. Raises NOT_FOUND, FORBIDDEN.
    """
    actor = acting(uow)
    row = uow.connection.execute(
        select(Credential.user_id, Credential.name, Credential.revoked_at).where(
            Credential.id == key_id, scope.api_key(Credential.__table__, actor.role.name)
        ),
        {"viewer_id": actor.id},
    ).one_or_none()
    if row is None:
        raise GradbookError(Code.NOT_FOUND, f"There is no key key_{key_id} that you can see.", ("id",))
    demand(actor, Action.REVOKE_KEY, visible_user(uow, actor, row.user_id, "id"), "id")
    if row.revoked_at is None:
        uow.connection.execute(update(Credential).where(Credential.id == key_id).values(revoked_at=uow.now))
        audit(uow, Event(AuditAction.KEY_REVOKED, f"key_{key_id}", row.name, {"user": f"usr_{row.user_id}"}))


def list_keys(uow: UnitOfWork, user_id: int | None = None) -> list[KeyRow]:
    """The keys that the viewer can see, revoked and expired ones too, the oldest first; of one user, if given."""
    condition: list[ColumnElement[bool]] = [scope.api_key(Credential.__table__, uow.viewer.kind)]
    if user_id is not None:
        condition.append(Credential.user_id == user_id)
    keys = (
        select(
            Credential.id,
            Credential.name,
            Credential.prefix,
            User.username,
            Credential.created_at,
            Credential.expires_at,
            Credential.revoked_at,
        )
        .join_from(Credential, User)
        .where(*condition)
        .order_by(Credential.id)
    )
    rows = uow.connection.execute(keys, {"viewer_id": uow.viewer.id})
    return [KeyRow(*row) for row in rows]


def open_session(uow: UnitOfWork, user_id: int, password_hash: str, lifetime: datetime.timedelta) -> str | None:
    """Open a session for a user who has just proved the password, and return its secret.

    None when, since then, the user was removed or the password changed.
    """
    # The lock waits for a change of the password that is on its way, and lets one begun later find this session.
    user = uow.connection.execute(
        select(User.id, User.username, User.role)
        .where(User.id == user_id, User.password_hash == password_hash, User.deleted_at.is_(None))
        .with_for_update(key_share=True)
    ).one_or_none()
    return None if user is None else insert_session(uow, Viewer(*user), lifetime, by="password")


def insert_session(uow: UnitOfWork, user: Viewer, lifetime: datetime.timedelta, by: str) -> str:
    """Open a session, whoever asks: the caller has checked everything, and holds the user's row. Returns its secret.

    The user's expired sessions are cleared away. `by` is how the user proved who they are.
    """
    uow.connection.execute(
        delete(Credential).where(
            Credential.user_id == user.id,
            Credential.kind == CredentialKind.SESSION,
            Credential.expires_at <= uow.now,
        )
    )
    session_id, secret = insert_credential(
        uow, CredentialKind.SESSION, user_id=user.id, name="Sign-in", expires_at=uow.now + lifetime
    )
    event = Event(AuditAction.SIGNED_IN, f"usr_{user.id}", user.username, {"by": by})
    audit(uow, event, actor=replace(user, credential_id=session_id))
    return secret


def end_session(uow: UnitOfWork, secret: str) -> None:
    """End the session of this secret, and the sockets that it opened; without one nothing happens."""
    take_turn(uow)
    is_it = (Credential.secret_hash == hashed(secret), Credential.kind == CredentialKind.SESSION)
    session = uow.connection.execute(
        select(User.id, User.username, User.role, Credential.id).join_from(Credential, User).where(*is_it)
    ).one_or_none()
    if session is not None:
        viewer = Viewer(*session)
        uow.connection.execute(delete(Credential).where(*is_it))
        audit(uow, Event(AuditAction.SIGNED_OUT, f"usr_{viewer.id}", viewer.username), actor=viewer)


def looks_like_a_secret(text: str) -> bool:
    """Whether it has the form of a key or of a session's secret: nothing else is worth asking the database for."""
    return _SECRET.fullmatch(text) is not None


def hashed(secret: str) -> str:
    """What is stored of a secret: its SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _viewers() -> Select[int, int, str, Role, datetime.datetime | None]:
    # Expiry is judged in Python: the time as a parameter of each request costs more than the few that have one.
    return (
        select(Credential.id, User.id, User.username, User.role, Credential.expires_at)
        .join_from(Credential, User)
        .where(Credential.kind != CredentialKind.LINK, Credential.revoked_at.is_(None), User.deleted_at.is_(None))
    )


_BY_HASH = Statement(_viewers().where(Credential.secret_hash == bindparam("secret_hash", type_=Text)))
_STATE = Statement(select(Credential.revoked_at).where(Credential.secret_hash == bindparam("secret_hash", type_=Text)))
_BY_ID = {
    "sqlite": Statement(
        _viewers().where(
            Credential.id.in_(select(func.json_each(bindparam("ids", type_=String)).table_valued("value").c.value))
        )
    ),
    "postgresql": Statement(_viewers().where(Credential.id == any_(bindparam("ids", type_=ARRAY(BigInteger))))),
}


async def authenticate(database: Database, secret: str) -> Viewer | None:
    """Who shows this secret; None when it is unknown, revoked or expired, or its user was removed. One statement.

    A sign-in link's secret is nobody's.
    """
    rows = await database.read(*_BY_HASH.on(database.dialect, secret_hash=hashed(secret)))
    return _viewer(*rows[0]) if rows else None


async def why_refused(database: Database, secret: str) -> str:
    """Completes "this key": what is wrong with a secret that `authenticate` did not take. For error messages."""
    rows = await database.read(*_STATE.on(database.dialect, secret_hash=hashed(secret)))
    if not rows:
        return "is unknown"
    return "was revoked" if rows[0][0] is not None else "has expired"


async def still_valid(database: Database, credential_ids: Collection[int]) -> dict[int, Viewer]:
    """Of these credentials those that still hold, each with who shows it, as they are now. One statement.

    For open sockets, when the topic `access` was published and, for keys that expire, from time to time.
    """
    ids = list(credential_ids)
    value = str(ids) if database.dialect_name == "sqlite" else ids
    rows = await database.read(*_BY_ID[database.dialect_name].on(database.dialect, ids=value))
    return {row[0]: viewer for row in rows if (viewer := _viewer(*row))}


def _viewer(
    credential_id: int, user_id: int, username: str, role: str, expires_at: str | datetime.datetime | None
) -> Viewer | None:
    """The viewer out of a driver's row; None when the credential has expired."""
    if expires_at is not None:
        end = datetime.datetime.fromisoformat(expires_at) if isinstance(expires_at, str) else expires_at
        if end <= datetime.datetime.now(datetime.UTC):
            return None
    return Viewer(user_id, username, Role[role], credential_id)


def insert_credential(
    uow: UnitOfWork, kind: CredentialKind, *, user_id: int, name: str, expires_at: datetime.datetime | None
) -> tuple[int, str]:
    """Write a credential, whoever asks: the caller has checked everything. Returns its id and its secret."""
    credential_id = uow.new_id()
    secret = PREFIXES[kind] + secrets.token_urlsafe(32)
    uow.connection.execute(
        insert(Credential).values(
            id=credential_id,
            kind=kind,
            user_id=user_id,
            name=name,
            prefix=secret[:_SHOWN],
            secret_hash=hashed(secret),
            created_at=uow.now,
            expires_at=expires_at,
        )
    )
    return credential_id, secret


def _future(uow: UnitOfWork, expires_at: datetime.datetime) -> datetime.datetime:
    if expires_at.tzinfo is None:
        message = f"expiresAt {expires_at.isoformat()} has no time zone: add Z for UTC, or an offset such as +01:00."
        raise GradbookError(Code.INVALID_INPUT, message, ("expiresAt",))
    if expires_at <= uow.now:
        message = (
            f"expiresAt {expires_at.isoformat()} has passed (it is {uow.now.isoformat(timespec='seconds')}): "
            "use a time to come, or leave it out for a key that does not expire."
        )
        raise GradbookError(Code.INVALID_INPUT, message, ("expiresAt",))
    return expires_at
