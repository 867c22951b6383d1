"""Which rows of annotation a viewer may see, as SQL, written once.

A child is seen when its parent is seen and `own` rules hold: a record follows its dataset, a response its record.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, true

from app.accounts.scope import VIEWER_ID, in_workspace
from app.accounts.tables import Role


def dataset(table: FromClause, kind: str) -> ColumnElement[bool]:
    """A dataset is seen by the members of its workspace and by owners."""
    return in_workspace(table.c.workspace_id, kind)


def response(table: FromClause, kind: str) -> ColumnElement[bool]:
    """Of a visible record's responses an annotator sees only their own: absent means absent from counts too."""
    if kind == Role.ANNOTATOR.name:
        return table.c.user_id == VIEWER_ID
    return true()
