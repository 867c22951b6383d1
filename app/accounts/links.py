"""One-time links: a secret that opens one session, once, for whoever has no password or lost their key.

The link carries the secret in its fragment (`/sign-in#gbl_…`), which browsers do not send: it stands in no log.
"""

from __future__ import annotations

import datetime
import re

from sqlalchemy import delete, select, update

from app.accounts.access import acting, visible_user
from app.accounts.audit import Event, audit
from app.accounts.credentials import LINK_PREFIX, hashed, insert_credential, insert_session
from app.accounts.policy import Action, demand
from app.accounts.tables import AuditAction, Credential, CredentialKind, User
from app.accounts.viewer import Viewer
from app.db.types import instant_text
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError

LIFETIME = datetime.timedelta(hours=1)
MAX_LIFETIME = datetime.timedelta(days=7)

_SECRET = re.compile(LINK_PREFIX + r"[A-Za-z0-9_-]{43}")
_ANOTHER = "`gradbook user link NAME`, on the machine that runs the server, prints a new one."


def create_link(uow: UnitOfWork, user_id: int, lifetime: datetime.timedelta = LIFETIME) -> str:
    """Make a link's secret that signs this user in, once. It is nowhere else: it cannot be shown again.

    Raises NOT_FOUND, FORBIDDEN, INVALID_INPUT for the lifetime.
    """
    actor = acting(uow)
    user = visible_user(uow, actor, user_id, "userId")
    demand(actor, Action.CREATE_LINK, user, "userId")
    if not datetime.timedelta(0) < lifetime <= MAX_LIFETIME:
        hours = lifetime / datetime.timedelta(hours=1)
        longest = MAX_LIFETIME // datetime.timedelta(hours=1)
        message = f"A link of {hours:g} hours is not made, as it lets in whoever finds it: choose up to {longest}."
        raise GradbookError(Code.INVALID_INPUT, message)
    return insert_link(uow, user.id, lifetime)


def insert_link(uow: UnitOfWork, user_id: int, lifetime: datetime.timedelta = LIFETIME) -> str:
    """Write a link, whoever asks: the caller has checked everything. The user's expired ones are cleared away."""
    uow.connection.execute(
        delete(Credential).where(
            Credential.user_id == user_id,
            Credential.kind == CredentialKind.LINK,
            Credential.expires_at <= uow.now,
        )
    )
    expires_at = uow.now + lifetime
    _, secret = insert_credential(uow, CredentialKind.LINK, user_id=user_id, name="Sign-in link", expires_at=expires_at)
    audit(uow, Event(AuditAction.LINK_CREATED, f"usr_{user_id}", None, {"expiresAt": instant_text(expires_at)}))
    return secret


def use_link(uow: UnitOfWork, secret: str, session_lifetime: datetime.timedelta) -> tuple[str, str]:
    """Open a session by a link's secret, which then has been used; the username and the session's secret.

    Raises UNAUTHENTICATED, and says whether it was used, has expired, or is no link that is known.
    """
    if not _SECRET.fullmatch(secret):
        raise _refused(f"This is no sign-in link: {LINK_PREFIX} and 43 characters follow the #. Was all of it copied?")
    # The user's row is locked first, as whoever removes them or changes their password does.
    link = uow.connection.execute(
        select(Credential.id, Credential.user_id, Credential.expires_at, User.username, User.role)
        .join_from(Credential, User)
        .where(
            Credential.secret_hash == hashed(secret),
            Credential.kind == CredentialKind.LINK,
            User.deleted_at.is_(None),
        )
        .with_for_update(of=User, key_share=True)
    ).one_or_none()
    if link is None:
        raise _refused(f"This link is unknown, or was used or has expired some time ago: {_ANOTHER}")
    if link.expires_at <= uow.now:
        raise _refused(f"This link has expired: {_ANOTHER}")
    # Of two who come at once one finds it unused.
    used = uow.connection.execute(
        update(Credential).where(Credential.id == link.id, Credential.revoked_at.is_(None)).values(revoked_at=uow.now)
    )
    if used.rowcount != 1:
        raise _refused(f"This link has been used, and works only once: {_ANOTHER}")
    user = Viewer(link.user_id, link.username, link.role)
    return user.username, insert_session(uow, user, session_lifetime, by="link")


def _refused(message: str) -> GradbookError:
    return GradbookError(Code.UNAUTHENTICATED, message)
