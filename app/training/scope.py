"""Which rows of training a viewer may see, as SQL, written once. A metric follows its task."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, true

from app.accounts.scope import VIEWER_ID, in_workspace
from app.accounts.tables import Role
from app.accounts.viewer import Viewer


def train_task(table: FromClause, kind: str) -> ColumnElement[bool]:
    """An owner sees all tasks, an ADMIN those of their workspaces, an ANNOTATOR their own in these."""
    visible = in_workspace(table.c.workspace_id, kind)
    return and_(visible, table.c.user_id == VIEWER_ID) if kind == Role.ANNOTATOR.name else visible


def every_attempt(_table: FromClause, _kind: str) -> ColumnElement[bool]:
    """Of a task's next attempt nothing more is asked than that it is seen."""
    return true()


def viewer_values(viewer: Viewer) -> dict[str, Any]:
    """What a statement with such a condition takes for the viewer: the conditions of owners name nobody."""
    return {} if viewer.kind == Role.OWNER.name else {"viewer_id": viewer.id}
