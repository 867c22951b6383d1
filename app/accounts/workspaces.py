"""Workspaces and who belongs to them. Who may change that is in `app.accounts.policy`."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from app.accounts import scope
from app.accounts.access import acting, only_workspace, visible_user, visible_workspace
from app.accounts.audit import Event, audit
from app.accounts.names import checked_name
from app.accounts.policy import Account, Action, demand
from app.accounts.tables import AuditAction, Membership, Workspace
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError


@dataclass(frozen=True, slots=True)
class WorkspaceRow:
    """A workspace as a list shows it."""

    id: int
    name: str
    created_at: datetime.datetime


def create_workspace(uow: UnitOfWork, name: str) -> int:
    """Make a workspace without members and return its id. Raises INVALID_INPUT, DUPLICATE, FORBIDDEN."""
    actor = acting(uow)
    demand(actor, Action.CREATE_WORKSPACE, actor)
    name = checked_name(name, "Workspace name")
    if uow.connection.scalar(select(Workspace.id).where(Workspace.name == name)) is not None:
        raise GradbookError(Code.DUPLICATE, f"There is a workspace {name!r} already.", ("name",))
    return insert_workspace(uow, name)


def insert_workspace(uow: UnitOfWork, name: str) -> int:
    """Write a workspace, whoever asks: the caller has checked everything, in its turn."""
    workspace_id = uow.new_id()
    uow.connection.execute(insert(Workspace).values(id=workspace_id, name=name, created_at=uow.now))
    audit(uow, Event(AuditAction.WORKSPACE_CREATED, f"wsp_{workspace_id}", name))
    return workspace_id


def add_member(uow: UnitOfWork, workspace_id: int, user_id: int) -> None:
    """Let a user into a workspace; a member stays one. Raises NOT_FOUND, FORBIDDEN."""
    actor = acting(uow)
    name = visible_workspace(uow, actor, workspace_id, "workspaceId")
    user = visible_user(uow, actor, user_id, "userId")
    demand(actor, Action.ADD_MEMBER, user, "userId")
    if workspace_id not in user.workspaces:
        uow.connection.execute(
            insert(Membership).values(workspace_id=workspace_id, user_id=user.id, created_at=uow.now)
        )
        audit(uow, _membership(AuditAction.MEMBER_ADDED, user, workspace_id, name))


def remove_member(uow: UnitOfWork, workspace_id: int, user_id: int) -> None:
    """Take a workspace from a user, at once; their responses stay. Who was no member stays none.

    Raises NOT_FOUND, FORBIDDEN.
    """
    actor = acting(uow)
    name = visible_workspace(uow, actor, workspace_id, "workspaceId")
    user = visible_user(uow, actor, user_id, "userId")
    demand(actor, Action.REMOVE_MEMBER, user, "userId")
    if workspace_id in user.workspaces:
        uow.connection.execute(
            delete(Membership).where(Membership.workspace_id == workspace_id, Membership.user_id == user.id)
        )
        audit(uow, _membership(AuditAction.MEMBER_REMOVED, user, workspace_id, name))


def chosen_workspace(uow: UnitOfWork, workspace_id: int | None) -> int:
    """The workspace that an input's `workspaceId` means; without one, the only workspace that the viewer sees.

    Raises NOT_FOUND for one that they do not see, WORKSPACE_REQUIRED when none is given and they see several or none.
    """
    if workspace_id is None:
        return only_workspace(uow, uow.viewer, "workspaceId")
    visible_workspace(uow, uow.viewer, workspace_id, "workspaceId")
    return workspace_id


def list_workspaces(uow: UnitOfWork) -> list[WorkspaceRow]:
    """The workspaces that the viewer sees, the oldest first."""
    rows = uow.connection.execute(
        select(Workspace.id, Workspace.name, Workspace.created_at)
        .where(scope.workspace(Workspace.__table__, uow.viewer.kind))
        .order_by(Workspace.id),
        {"viewer_id": uow.viewer.id},
    )
    return [WorkspaceRow(row.id, row.name, row.created_at) for row in rows]


def _membership(action: AuditAction, user: Account, workspace_id: int, name: str) -> Event:
    details = {"workspace": f"wsp_{workspace_id}", "workspaceName": name}
    return Event(action, f"usr_{user.id}", user.username, details)
