"""Which rows of accounts a viewer may see, as SQL, written once.

Every function takes the table (or an alias of it) and the viewer's kind, and returns a condition that holds for the
rows that a viewer of this kind sees. The viewer's id is the bind parameter `viewer_id`.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, ScalarSelect, and_, bindparam, false, or_, select, true
from sqlalchemy.sql.selectable import Select

from app.accounts.tables import CredentialKind, Membership, Role, User
from app.db.types import Snowflake

VIEWER_ID = bindparam("viewer_id", type_=Snowflake)


def viewer_workspaces() -> Select[tuple[int]]:
    """The ids of the workspaces that the viewer belongs to."""
    membership = Membership.__table__.alias("viewer_membership")
    return select(membership.c.workspace_id).where(membership.c.user_id == VIEWER_ID)


def in_workspace(workspace_id: ColumnElement[int] | ScalarSelect[int], kind: str) -> ColumnElement[bool]:
    """Rows of a workspace: an owner sees all workspaces, everybody else their own."""
    if kind == Role.OWNER.name:
        return true()
    return workspace_id.in_(viewer_workspaces())


def workspace(table: FromClause, kind: str) -> ColumnElement[bool]:
    """A workspace is seen by its members and by owners."""
    return in_workspace(table.c.id, kind)


def user(table: FromClause, kind: str) -> ColumnElement[bool]:
    """Oneself; an admin sees the members of their workspaces, an owner everybody."""
    if kind == Role.OWNER.name:
        return true()
    if kind == Role.ADMIN.name:
        shared = Membership.__table__.alias("shared_membership")
        members = select(shared.c.user_id).where(shared.c.workspace_id.in_(viewer_workspaces()))
        return or_(table.c.id == VIEWER_ID, table.c.id.in_(members))
    return table.c.id == VIEWER_ID


def api_key(table: FromClause, kind: str) -> ColumnElement[bool]:
    """One's own keys; an admin sees those of the annotators of their workspaces, an owner all. Sessions are no keys."""
    is_key = table.c.kind == CredentialKind.KEY
    if kind == Role.OWNER.name:
        return is_key
    if kind == Role.ADMIN.name:
        account = User.__table__.alias("key_user")
        annotators = select(account.c.id).where(user(account, kind), account.c.role == Role.ANNOTATOR)
        return and_(is_key, or_(table.c.user_id == VIEWER_ID, table.c.user_id.in_(annotators)))
    return and_(is_key, table.c.user_id == VIEWER_ID)


def audit_event(_table: FromClause, kind: str) -> ColumnElement[bool]:
    """The audit log is for owners."""
    return true() if kind == Role.OWNER.name else false()
