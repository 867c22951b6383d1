"""Which rows of annotation a viewer may see, as SQL, written once.

A child is seen when its parent is seen and `own` rules hold: a record follows its dataset, a response its record.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, exists, select, true

from app.accounts.scope import VIEWER_ID, in_workspace
from app.accounts.tables import Role, User


def dataset(table: FromClause, kind: str) -> ColumnElement[bool]:
    """A dataset is seen by the members of its workspace and by owners."""
    return in_workspace(table.c.workspace_id, kind)


def response(table: FromClause, kind: str) -> ColumnElement[bool]:
    """Of a visible record's responses an annotator sees only their own: absent means absent from counts too."""
    if kind == Role.ANNOTATOR.name:
        return own_response(table, kind)
    return true()


def own_response(table: FromClause, _kind: str) -> ColumnElement[bool]:
    """The viewer's own responses."""
    return table.c.user_id == VIEWER_ID


def active_viewer() -> ColumnElement[bool]:
    """Whether the viewer is there still. The lock keeps them there, and comes before those on records."""
    user = User.__table__
    return exists(
        select(user.c.id)
        .where(user.c.id == VIEWER_ID, user.c.deleted_at.is_(None))
        .with_for_update(read=True, key_share=True)
    )
