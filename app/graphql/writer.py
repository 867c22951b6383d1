"""Writing JSON in SQL: the text of every row of a level, and the joins that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, select
from sqlalchemy.sql.selectable import CTE

from app.graphql.entity import Entity
from app.graphql.sql import Text, concat

MAX_JOINS = 60
"""Tables that are joined in one SELECT; SQLite joins 64."""


@dataclass(frozen=True, slots=True)
class Level:
    """The rows of one level: a CTE with `id`, `parent` and the columns that were asked for.

    `ids` holds each row's id once (a row may stand below several parents). No entity means the level above root lists.
    """

    entity: Entity | None
    rows: CTE
    ids: CTE


@dataclass(slots=True)
class Writer:
    """Texts per row of a level, each written part by part. `rows` has the level's columns, and is joined in `source`.

    Where the joins become too many, what is written so far is put into a CTE, which then stands for the rows. So get
    a column from `rows` when it is needed, and `reserve` room for joins that belong together.
    """

    level: Level
    cte: Callable[[Select[Any]], CTE]
    rows: CTE = field(init=False)
    source: FromClause = field(init=False)
    texts: dict[str, Text] = field(default_factory=dict)
    _parts: list[Text | str] = field(default_factory=list)
    _joins: int = 0

    def __post_init__(self) -> None:
        self.rows = self.source = self.level.rows

    def add(self, *parts: Text | str) -> None:
        """Writes on."""
        self._parts += parts

    def end(self, name: str) -> None:
        """Ends a text, the column `name` of `select`."""
        self.texts[name] = concat(*self._parts)
        self._parts = []

    def reserve(self, joins: int) -> None:
        """Makes room for some joins in the same SELECT."""
        if self._joins + joins > MAX_JOINS:
            self.end("written")
            made = self.cte(self.select(*self.level.rows.c.keys()))
            self.texts = {name: made.c[name] for name in self.texts}
            self.rows = self.source = made
            self._parts = [self.texts.pop("written")]
            self._joins = 0

    def join(self, table: CTE, key: str, column: str) -> None:
        """Joins the row of `table` whose `key` is in the level's column, if there is one."""
        self.source = self.source.outerjoin(table, table.c[key] == self.rows.c[column])
        self._joins += 1

    def select(self, *columns: str) -> Select[Any]:
        """The level's rows: some of their columns, and all texts."""
        kept: list[ColumnElement[Any]] = [self.rows.c[name] for name in columns]
        return select(*kept, *(text.label(name) for name, text in self.texts.items())).select_from(self.source)
