"""What every writing function of accounts begins with: who acts now, and what of the others they can see.

Changes of users, roles, memberships and keys are made one at a time: whoever acts takes their turn first and reads
afterwards, so two owners cannot demote each other, and a role lost a moment ago gives no right any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, select, text

from app.accounts import scope
from app.accounts.policy import Account
from app.accounts.tables import Membership, Role, User, Workspace
from app.accounts.viewer import Viewer
from app.db.changes import Clock
from app.db.database import Database
from app.db.statement import Statement
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError

TOPIC = "access"  # published when keys, sessions, roles, memberships or users changed; its clock counts the changes

# Who has the machine: commands, bootstrap, migrations. No user has this id, and no credential leads to it.
OPERATOR = Viewer(id=0, username="operator", role=Role.OWNER)

_NAMED = 10  # workspaces that a message lists

# The row's lock makes others wait.
_TURN = text(
    f"INSERT INTO clock (name, value) VALUES ('{TOPIC}', 1) ON CONFLICT (name) DO UPDATE SET value = clock.value + 1"
)
_CLOCK = Statement(select(Clock.value).where(Clock.name == TOPIC))


def take_turn(uow: UnitOfWork) -> None:
    """Wait until no other transaction changes accounts, keep others waiting until this one ends, and tell it then."""
    uow.connection.execute(_TURN)
    uow.publish(TOPIC)


async def access_clock(database: Database) -> int:
    """A number that grows with every change of accounts. While it stays, nobody lost access, but by a key's expiry."""
    rows = await database.read(*_CLOCK.on(database.dialect))
    return int(rows[0][0]) if rows else 0


def acting(uow: UnitOfWork) -> Account:
    """Take the turn, and return the viewer as they are now. Raises UNAUTHENTICATED when they were removed."""
    take_turn(uow)
    viewer: Viewer | None = uow.viewer
    if viewer is None:
        raise GradbookError(Code.UNAUTHENTICATED, Code.UNAUTHENTICATED.description)
    if viewer is OPERATOR:
        return Account(viewer.id, viewer.username, viewer.role, frozenset())
    account = _account(uow, User.id == viewer.id)
    if account is None:
        raise GradbookError(Code.UNAUTHENTICATED, f"User {viewer.username!r} was removed.")
    return account


def visible_user(uow: UnitOfWork, actor: Account, user_id: int, *path: str | int) -> Account:
    """A user whom the actor can see. Raises NOT_FOUND for others, and for removed ones."""
    account = _account(uow, User.id == user_id, scope.user(User.__table__, actor.role.name), viewer_id=actor.id)
    if account is None:
        raise GradbookError(Code.NOT_FOUND, f"There is no user usr_{user_id} that you can see.", path)
    return account


def visible_workspaces(uow: UnitOfWork, actor: Account | Viewer, workspace_ids: Sequence[int], *path: str) -> None:
    """Raise NOT_FOUND, with its place in the list, for the first workspace that the actor cannot see."""
    found = _workspaces(uow, actor, len(workspace_ids), Workspace.id.in_(workspace_ids))
    for position, workspace_id in enumerate(workspace_ids):
        if workspace_id not in found:
            raise _no_workspace(workspace_id, *path, position)


def visible_workspace(uow: UnitOfWork, actor: Account | Viewer, workspace_id: int, *path: str) -> str:
    """The name of a workspace that the actor can see. Raises NOT_FOUND for others."""
    found = _workspaces(uow, actor, 1, Workspace.id == workspace_id)
    if not found:
        raise _no_workspace(workspace_id, *path)
    return found[workspace_id]


def only_workspace(uow: UnitOfWork, actor: Account | Viewer, field: str, *path: str | int) -> int:
    """The workspace that is meant when the input's `field` names none. Raises WORKSPACE_REQUIRED unless it is clear."""
    found = _workspaces(uow, actor, _NAMED + 1)
    if len(found) == 1:
        return next(iter(found))
    names = ", ".join(f"{name!r} (wsp_{workspace_id})" for workspace_id, name in list(found.items())[:_NAMED])
    if not found and actor.role is Role.OWNER:
        message = "There is no workspace yet: make one, as by createWorkspace."
        raise GradbookError(Code.WORKSPACE_REQUIRED, message, (*path, field))
    seen = f"You see {names}{' and more' if len(found) > _NAMED else ''}" if found else "You belong to no workspace"
    raise GradbookError(Code.WORKSPACE_REQUIRED, f"{seen}: say by {field} which is meant.", (*path, field))


def _no_workspace(workspace_id: int, *path: str | int) -> GradbookError:
    return GradbookError(Code.NOT_FOUND, f"There is no workspace wsp_{workspace_id} that you can see.", path)


def _workspaces(
    uow: UnitOfWork, actor: Account | Viewer, limit: int, *conditions: ColumnElement[bool]
) -> dict[int, str]:
    rows = uow.connection.execute(
        select(Workspace.id, Workspace.name)
        .where(scope.workspace(Workspace.__table__, actor.role.name), *conditions)
        .order_by(Workspace.id)
        .limit(limit),
        {"viewer_id": actor.id},
    )
    return {row.id: row.name for row in rows}


def _account(uow: UnitOfWork, *conditions: ColumnElement[bool], **values: Any) -> Account | None:
    rows = uow.connection.execute(
        select(User.id, User.username, User.role, Membership.workspace_id)
        .outerjoin_from(User, Membership)
        .where(User.deleted_at.is_(None), *conditions),
        values,
    ).all()
    if not rows:
        return None
    workspaces = frozenset(row.workspace_id for row in rows if row.workspace_id is not None)
    return Account(rows[0].id, rows[0].username, rows[0].role, workspaces)
