"""Lists: the statement's part for one connection or plain list below the rows of a level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import (
    ColumnElement,
    Integer,
    Label,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy import Text as SqlText
from sqlalchemy.sql.selectable import CTE

from app.graphql.entity import Condition, Many, Rows, Search, TermSearch
from app.graphql.filters import WhereCompiler, mentions
from app.graphql.paging import CURSOR_SECRET, Key, beyond, cursor_sql, order_keys
from app.graphql.scope import scope_below, scope_of
from app.graphql.searching import Searching
from app.graphql.selection import TYPENAME, Pick
from app.graphql.sql import Text, concat, literal, or_null, truth
from app.graphql.writer import Level, Writer

if TYPE_CHECKING:
    from app.graphql.compiler import Compiler

SECRET = bindparam(CURSOR_SECRET, type_=SqlText())
CURSORS = frozenset({"startCursor", "endCursor"})


class Listing:
    """One list below the rows that `writer` writes.

    It takes up to three CTEs, which are joined to these rows: `texts` with the items, `stands` with where the page
    stands in the list, and `whole` with what is asked of the list beyond the page.
    """

    def __init__(self, compiler: Compiler, pick: Pick, writer: Writer) -> None:
        self.compiler = compiler
        self.sql = compiler.sql
        self.slots = compiler.slots
        self.writer = writer
        self.level = writer.level
        self.declared = cast("Many", pick.declaration)
        self.target = compiler.entities[self.declared.target]
        self.page = compiler.pages[pick.place]
        # A plain list is a connection of nodes without the wrapping.
        self.parts = pick.inner if self.declared.paged else (replace(pick, name="nodes"),)
        self.names = {part.name for part in self.parts}
        self.info = {inner.name for part in self.parts if part.name == "pageInfo" for inner in part.inner}
        self.more = "hasPreviousPage" if self.page.backward else "hasNextPage"
        self.is_numbered = bool(self.info & {*CURSORS, self.more})
        self.keys = self.keys_on(self.target.table)
        self.search: Searching | None = None
        if self.page.search is not None and isinstance(self.target.search, Search):
            self.search = Searching(self, self.target.search, self.page.search)

    def write(self) -> None:
        """Joins what the list needs, and writes it."""
        texts, stands = self._items_and_stands()
        whole = self._whole()
        self.writer.reserve(3)
        for made in (texts, stands, whole):
            if made is not None:
                self.writer.join(made, "parent", "id")
        if not self.declared.paged:
            assert texts is not None
            self.writer.add("[", func.coalesce(texts.c.t0, literal("")), "]")
            return
        self.writer.add("{")
        for index, part in enumerate(self.parts):
            self.writer.add("," if index else "", f'"{part.key}":')
            if part.name == TYPENAME:
                self.writer.add(f'"{part.type_name}"')
            elif part.name == "pageInfo":
                self._write_info(part, stands, whole)
            elif part.name == "totalCount":
                assert whole is not None
                self.writer.add(self.sql.text(whole.c.total))
            else:
                assert texts is not None
                self.writer.add("[", func.coalesce(texts.c[f"t{index}"], literal("")), "]")
        self.writer.add("}")

    def _write_info(self, part: Pick, stands: CTE | None, whole: CTE | None) -> None:
        values: dict[str, Text | str] = {}
        for name in sorted(CURSORS & self.info):
            assert stands is not None
            values[name] = or_null(concat('"', stands.c[name], '"'))
        for name in self.info - CURSORS:
            found = [made.c[name] for made in (stands, whole) if made is not None and name in made.c]
            values[name] = truth(or_(*found)) if found else "false"
        self.writer.add("{")
        for index, inner in enumerate(part.inner):
            self.writer.add("," if index else "", f'"{inner.key}":')
            self.writer.add(f'"{inner.type_name}"' if inner.name == TYPENAME else values[inner.name])
        self.writer.add("}")

    # The page

    def _items_and_stands(self) -> tuple[CTE | None, CTE | None]:
        with_items = bool(self.names & {"edges", "nodes"})
        if not with_items and not self.is_numbered:
            return None, None
        rows = self._page()
        stands = None
        if self.is_numbered:
            rows = self._numbered(rows)
            stands = self.compiler.once(self._stands(rows))
            # What follows the page shows only that there is more.
            rows = self.compiler.cte(select(*rows.c).where(rows.c.n <= self._size()))
        return self._texts(rows) if with_items else None, stands

    def _page(self) -> CTE:
        """For every parent its first rows in the direction of reading; one too many where they will be numbered."""
        compiler, ids = self.compiler, self.level.ids
        table = compiler.alias(self.target)
        if self.search is not None:
            found = self.search.first(self._limit(), self._bounds, backward=self.page.backward)
            return compiler.cte(self._rows_of(found, table))
        rows: Rows = table
        on: Condition = and_(*self.conditions(table))
        columns: Sequence[ColumnElement[Any]] = self._columns(table)
        if self.sql.lateral:
            # Also where nothing limits it: the planner, which cannot know how few the parents are, joins whole tables.
            rows = self._first(table, columns).lateral(compiler.name("l"))
            on, columns = true(), list(rows.c)
        elif self.declared.paged:
            inner = compiler.alias(self.target)
            on = table.c.id.in_(self._first(inner, [inner.c.id]))
        return compiler.cte(select(ids.c.id.label("parent"), *columns).select_from(ids.join(rows, on)))

    def _first(self, rows: Rows, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
        keys = self.keys_on(rows)
        conditions = self.conditions(rows)
        if not self.declared.paged:
            return select(*columns).where(*conditions).offset(literal_column("0", Integer())).correlate(self.level.ids)
        conditions += self._bounds(keys)
        order = [key.order(backward=self.page.backward) for key in keys]
        return select(*columns).where(*conditions).order_by(*order).limit(self._limit()).correlate(self.level.ids)

    def _rows_of(self, found: CTE, table: Rows) -> Select[Any]:
        """The rows whose ids were found."""
        columns = self._columns(table)
        if not self.sql.lateral:
            joined = found.join(table, table.c.id == found.c.id)
            return select(found.c.parent, *columns).select_from(joined)
        one = select(*columns).where(table.c.id == found.c.id).offset(literal_column("0", Integer()))
        rows = one.correlate(found).lateral(self.compiler.name("l"))
        return select(found.c.parent, *rows.c).select_from(found.join(rows, true()))

    def _bounds(self, keys: Sequence[Key]) -> list[Condition]:
        """What the cursors say."""
        bounds: list[Condition] = []
        if self.page.after is not None:
            bounds.append(beyond(keys, self.page.after, self.slots, backward=False))
        if self.page.before is not None:
            bounds.append(beyond(keys, self.page.before, self.slots, backward=True))
        return bounds

    def _limit(self) -> ColumnElement[int]:
        return self.slots.param(self.page.size_and_one if self.is_numbered else self.page.size, Integer())

    def conditions(self, rows: Rows, parents: CTE | None = None, *, joined: bool = False) -> list[Condition]:
        """Which rows of the target belong to the list: the parent's, visible, and as `where` says.

        `joined` leaves out that they are the parent's. What is searched for is not among the conditions.
        """
        compiler, level, key = self.compiler, self.level, self.declared.key
        conditions: list[Condition] = []
        if level.entity is None:
            conditions.append(scope_of(self.target, rows, compiler.kind, compiler.entities))
        else:
            if not joined:
                conditions.append(self.declared.joins(rows, level.ids if parents is None else parents))
            conditions.append(scope_below(level.entity, key, self.target, rows, compiler.kind, compiler.entities))
        if self.page.search is not None and isinstance(self.target.search, TermSearch):
            conditions.append(self.sql.holds(rows.c[self.target.search.text], self.slots, self.page.search))
        if not mentions(self.page.where, self.target.hidden):
            conditions.append(self.target.is_shown(rows))
        if self.page.where is not None:
            conditions.append(self._where().compile(self.target, rows, self.page.where))
        return conditions

    def _columns(self, rows: Rows) -> list[ColumnElement[Any]]:
        """The id, the columns that the selections need, and the order's keys."""
        nodes = [part for part in self.parts if part.name == "nodes"]
        nodes += [inner for part in self.parts if part.name == "edges" for inner in part.inner if inner.name == "node"]
        picks = [pick for node in nodes for pick in node.inner]
        keys = [key.value.label(key.label) for key in self.keys_on(rows) if key.label != "id"]
        return [rows.c.id, *self.compiler.columns(self.target, rows, picks), *keys]

    def keys_on(self, rows: Rows) -> list[Key]:
        """The order's keys on the target's table or an alias of it."""
        return order_keys(self.target, rows, self.page.order, self._where())

    def _where(self) -> WhereCompiler:
        return WhereCompiler(self.compiler.entities, self.sql, self.compiler.kind, self.slots)

    def _keys_in(self, rows: CTE) -> list[Key]:
        """The order's keys on rows that have them as columns."""
        return [key.on(rows) for key in self.keys]

    def _size(self) -> ColumnElement[int]:
        return self.slots.param(self.page.size, Integer())

    # The items

    def _texts(self, rows: CTE) -> CTE:
        """Per parent the items' JSON joined by commas: a column t0, t1, ... for every `edges` and `nodes`."""
        compiler = self.compiler
        is_tree = self.level.entity is None or self.declared.on is None
        ids = rows if is_tree else compiler.cte(select(rows.c.id).distinct())
        writer = compiler.writer(Level(self.target, rows, ids))
        for index, part in enumerate(self.parts):
            if part.name == "nodes":
                compiler.write(writer, part.inner)
                writer.end(f"t{index}")
            elif part.name == "edges":
                self._write_edge(writer, part)
                writer.end(f"t{index}")
        names = list(writer.texts)
        keys = self._keys_in(rows)
        made = compiler.cte(writer.select("parent", *(key.label for key in keys)))
        return compiler.once(self.sql.joined(made, names, [key.on(made).order() for key in keys]))

    def _write_edge(self, writer: Writer, edge: Pick) -> None:
        writer.add("{")
        for index, inner in enumerate(edge.inner):
            writer.add("," if index else "", f'"{inner.key}":')
            if inner.name == "node":
                self.compiler.write(writer, inner.inner)
            elif inner.name == "cursor":
                writer.add('"', self._cursor(writer.rows), '"')
            else:
                writer.add(f'"{inner.type_name}"')
        writer.add("}")

    def _cursor(self, rows: CTE) -> Text:
        return cursor_sql(self.slots.param(self.page.tag, SqlText()), self._keys_in(rows), self.sql, SECRET)

    # Where the page stands

    def _numbered(self, rows: CTE) -> CTE:
        """The page with each row's number `n` from 1 in the direction of reading, and the next row's id `next_id`."""
        order = [key.order(backward=self.page.backward) for key in self._keys_in(rows)]
        window: dict[str, Any] = {"partition_by": rows.c.parent, "order_by": order}
        number, following = func.row_number().over(**window), func.lead(rows.c.id).over(**window)
        return self.compiler.cte(select(*rows.c, number.label("n"), following.label("next_id")))

    def _stands(self, rows: CTE) -> Select[Any]:
        """Per parent: whether there is more in the direction of reading, and the page's first and last cursor."""
        size = self._size()
        on_page = rows.c.n <= size
        near = and_(on_page, rows.c.n == 1)
        far = and_(on_page, or_(rows.c.n == size, rows.c.next_id.is_(None)))
        columns: list[Label[Any]] = []
        if self.more in self.info:
            columns.append((func.max(rows.c.n) > size).label(self.more))
        for name in sorted(CURSORS & self.info):
            at = near if (name == "startCursor") != self.page.backward else far
            columns.append(func.max(case((at, self._cursor(rows)))).label(name))
        return select(rows.c.parent, *columns).group_by(rows.c.parent)

    # The whole list

    def _whole(self) -> CTE | None:
        """Per parent: how many rows the whole list has, and whether some stand before and behind the cursors."""
        columns: list[Label[Any]] = []
        if "totalCount" in self.names:
            columns.append(self._count().scalar_subquery().label("total"))
        if self.page.after is not None and "hasPreviousPage" in self.info:
            columns.append(self._outside(self.page.after, backward=True).label("hasPreviousPage"))
        if self.page.before is not None and "hasNextPage" in self.info:
            columns.append(self._outside(self.page.before, backward=False).label("hasNextPage"))
        if not columns:
            return None
        return self.compiler.once(select(self.level.ids.c.id.label("parent"), *columns))

    def _count(self) -> Select[Any]:
        if self.search is not None:
            return self.search.count()
        rows = self.compiler.alias(self.target)
        return select(func.count()).select_from(rows).where(*self.conditions(rows)).correlate(self.level.ids)

    def _outside(self, cursor: Sequence[int | None], *, backward: bool) -> Condition:
        """Whether the list has rows at the cursor or beyond it."""

        def there(keys: Sequence[Key]) -> list[Condition]:
            return [beyond(keys, cursor, self.slots, backward=backward, inclusive=True)]

        if self.search is not None:
            found = self.search.first(literal_column("1", Integer()), there, backward=backward)
            return exists(select(1).where(found.c.parent == self.level.ids.c.id).correlate(self.level.ids))
        rows = self.compiler.alias(self.target)
        return exists(
            select(1)
            .select_from(rows)
            .where(*self.conditions(rows), *there(self.keys_on(rows)))
            .correlate(self.level.ids)
        )
