"""What changed in a table after a position: the one statement under every feed of state."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, FromClause, bindparam, exists, literal, select, true, tuple_

from app.db import Database
from app.db.changes import settled_horizon
from app.db.statement import Statement
from app.db.types import Snowflake
from app.live.cursors import Position, check_not_ahead

_BEYOND_ALL = Position(2**63 - 1)


@dataclass(frozen=True, slots=True)
class Changes:
    """The rows that changed after a position, up to a limit, oldest change first."""

    ids: tuple[int, ...]
    cursor: Position
    """Where the next read goes on."""

    more: bool
    """The limit left some out."""

    unsettled: bool
    """Rows have changed that cannot be read yet: an older transaction is still open, which may have changed others."""

    visible: bool
    """Whether the statement's `visible` holds; if not, nothing else counts."""


class ChangedRows:
    """The rows of `table` (with the columns `id` and `changed`) that keep the conditions, by when they changed.

    `visible` says whether the viewer may see what the rows belong to. The conditions stand on the table's columns and
    on bind parameters, whose values come with each read; an index should begin with the columns that are compared for
    equality and end with `changed, id`.
    """

    def __init__(
        self, table: FromClause, *where: ColumnElement[bool], visible: ColumnElement[bool] | None = None
    ) -> None:
        changed, id_ = table.c.changed, table.c.id
        horizon = settled_horizon()
        after = tuple_(bindparam("after_change", type_=Snowflake), bindparam("after_id", type_=Snowflake))
        page = (
            select(id_, changed)
            .where(*where, tuple_(changed, id_) > after, changed < horizon)
            .order_by(changed, id_)
            .limit(bindparam("change_limit", type_=Snowflake))
            .subquery("page")
        )
        self._statement = Statement(
            select(
                horizon.label("horizon"),
                exists().where(*where, changed >= horizon).label("unsettled"),
                (true() if visible is None else visible).label("visible"),
                page.c.id,
                page.c.changed,
            )
            # One row even if nothing changed, for the horizon.
            .select_from(select(literal(1)).subquery("one").outerjoin(page, true()))
            .order_by(page.c.changed, page.c.id)
        )

    async def after(self, database: Database, position: tuple[int, ...] | None, limit: int, **values: Any) -> Changes:
        """At most `limit` of them. None stands for now: no rows, and the present cursor.

        Raises INVALID_CURSOR for a position that is ahead of the database.
        """
        change, id_ = _BEYOND_ALL if position is None else position
        sql, params = self._statement.on(
            database.dialect, after_change=change, after_id=id_, change_limit=limit + 1, **values
        )
        rows = await database.read(sql, params)
        horizon, unsettled, visible, *_ = rows[0]
        found = [(id_, changed) for *_, id_, changed in rows if id_ is not None]
        more = len(found) > limit
        if more:
            del found[limit:]
        cursor = Position(found[-1][1], found[-1][0]) if more else Position(horizon)
        if position is not None:
            check_not_ahead(position, cursor)
        return Changes(
            ids=tuple([id_ for id_, _ in found]),
            cursor=cursor,
            more=more,
            unsettled=bool(unsettled),
            visible=bool(visible),
        )
