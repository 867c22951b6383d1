"""The compiler: a selection on an entity becomes one statement that builds the answer's JSON in the database.

The statement is flat: under one WITH stands, for every level, a CTE with the level's rows (its page) and, bottom-up,
a CTE that joins their JSON per parent. Nested subqueries would be a little faster, but four levels of them overflow
SQLite's parser stack. The viewer's scope is part of every level's rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Join,
    Label,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy import Text as SqlText
from sqlalchemy.sql.selectable import CTE

from app.db.types import Snowflake
from app.graphql.entity import Aggregate, Attached, Column, Entity, Many, One, Rows
from app.graphql.filters import WhereCompiler, scope_below, scope_of, type_of
from app.graphql.paging import CURSOR_SECRET, Key, Page, beyond, cursor_sql, order_keys
from app.graphql.selection import Pick
from app.graphql.slots import Slots
from app.graphql.sql import NULL_JSON, Sql, Text, as_text, concat, literal, not_null

MAX_JOINS = 30
"""Relations of one object that are joined in one CTE; SQLite joins 64 tables, and each relation takes one or two."""

ZERO = literal_column("0", Integer())
SECRET = bindparam(CURSOR_SECRET, type_=SqlText())


@dataclass(slots=True)
class Level:
    """The rows of one level: a CTE with `id`, `parent` and the columns that were asked for.

    `ids` holds each row's id once (a row may stand below several parents).
    """

    entity: Entity
    rows: CTE
    ids: CTE


class Compiler:
    """Compiles one statement for viewers of one kind on one database."""

    def __init__(
        self, entities: Mapping[str, Entity], objects: Mapping[str, Mapping[str, Any]], sql: Sql, kind: str
    ) -> None:
        self.entities = entities
        self.objects = objects
        self.sql = sql
        self.kind = kind
        self.slots = Slots()
        self.shapes: Iterator[Page] = iter(())
        self.names = 0

    def by_ids(self, entity: Entity, picks: Sequence[Pick], shapes: Sequence[Page], count: int) -> Select[Any]:
        """Rows of (id, JSON text) for `count` ids, which are the first values; what is hidden is left out."""
        self.shapes = iter(shapes)
        table = entity.table.alias(self._name("t"))
        wanted = table.c.id.in_([self.slots.next(Snowflake()) for _ in range(count)])
        visible = scope_of(entity, table, self.kind, self.entities)
        rows = select(table.c.id, *self._columns(entity, table, picks)).where(wanted, visible).cte(self._name("p"))
        source, text = self._object(Level(entity, rows, rows), rows, picks)
        return select(rows.c.id, text).select_from(source)

    def connection(self, pick: Pick, shapes: Sequence[Page], own: ColumnElement[bool] | None = None) -> Select[Any]:
        """One row with the JSON text of a list without a parent."""
        self.shapes = iter(shapes)
        root = select(ZERO.label("id")).cte(self._name("p"))
        source, text = self._list(pick, None, root, root)
        return select(text).select_from(source)

    # Objects

    def _object(self, level: Level, source: FromClause, picks: Sequence[Pick]) -> tuple[FromClause, Text]:
        """The JSON object of every row of the level, and `source` joined with all that it needs."""
        chunks = _chunks(picks)
        if len(chunks) == 1:
            source, parts = self._members(level, source, picks)
            return source, concat("{", *parts, "}")
        texts: list[Text | str] = []
        for chunk in chunks:
            inner, parts = self._members(level, level.rows, chunk)
            row = [level.rows.c.id] + ([level.rows.c.parent] if "parent" in level.rows.c else [])
            part = select(*row, concat(*parts).label("t")).select_from(inner).cte(self._name("o"))
            same = [part.c[column.name] == column for column in row]
            source = source.join(part, and_(*same))
            texts += [",", part.c.t] if texts else [part.c.t]
        return source, concat("{", *texts, "}")

    def _members(self, level: Level, source: FromClause, picks: Sequence[Pick]) -> tuple[FromClause, list[Text | str]]:
        parts: list[Text | str] = []
        for pick in picks:
            source, value = self._member(level, source, pick)
            parts += ["," if parts else "", f'"{pick.key}":', value]
        return source, parts

    def _member(self, level: Level, source: FromClause, pick: Pick) -> tuple[FromClause, Text | str]:
        declared = pick.declaration
        rows = level.rows
        if declared is None:
            return source, f'"{pick.type_name}"'
        if isinstance(declared, Column):
            value = rows.c[_label(pick.name)]
            python_name = level.entity.fields[pick.name][0]
            return source, self._leaf(value, declared, type_of(level.entity, python_name, declared))
        if isinstance(declared, Attached):
            return source, as_text(rows.c.id)
        if isinstance(declared, One):
            return self._one(level, source, pick, declared)
        if isinstance(declared, Aggregate):
            return self._aggregate(level, source, pick, declared)
        return self._list(pick, level, source, rows)

    def _leaf(self, value: ColumnElement[Any], declared: Column, type_: Any) -> Text:
        if declared.id_of is not None:
            return not_null(concat(f'"{declared.id_of}_', as_text(value), '"'))
        return not_null(self.sql.json(value, type_))

    def _one(self, level: Level, source: FromClause, pick: Pick, declared: One) -> tuple[FromClause, Text]:
        target = self.entities[declared.target]
        key = level.rows.c[_key_label(declared.key)]
        table = target.table.alias(self._name("t"))
        condition: ColumnElement[bool] = table.c.id.in_(select(key))
        within = level.entity.within
        if within is None or (within.target, within.key) != (declared.target, declared.key):
            # A row is visible only if what it is within is: only other rows have to be asked for.
            condition = and_(condition, scope_of(target, table, self.kind, self.entities))
        rows = select(table.c.id, *self._columns(target, table, pick.inner)).where(condition).cte(self._name("p"))
        inner, text = self._object(Level(target, rows, rows), rows, pick.inner)
        found = select(rows.c.id, text.label("t")).select_from(inner).cte(self._name("j"))
        return source.outerjoin(found, found.c.id == key), not_null(found.c.t)

    def _aggregate(self, level: Level, source: FromClause, pick: Pick, declared: Aggregate) -> tuple[FromClause, Text]:
        target = self.entities[declared.target]
        child = target.table.alias(self._name("t"))
        visible = scope_below(level.entity, target, child, self.kind, self.entities)
        joined = level.ids.outerjoin(child, and_(child.c[declared.key] == level.ids.c.id, visible))
        fields = self.objects[pick.type_name]
        parts: list[Text | str] = []
        for inner in pick.inner:
            parts += ["," if parts else "", f'"{inner.key}":']
            column = fields.get(inner.name)
            if column is None:
                parts.append(f'"{inner.type_name}"')
            else:
                value = column.of(child, inner.name)
                parts.append(not_null(self.sql.json(value, value.type)))
        text = concat("{", *parts, "}").label("t")
        found = select(level.ids.c.id, text).select_from(joined).group_by(level.ids.c.id).cte(self._name("j"))
        return source.outerjoin(found, found.c.id == level.rows.c.id), not_null(found.c.t)

    # Lists

    def _list(self, pick: Pick, level: Level | None, source: FromClause, parent: CTE) -> tuple[FromClause, Text]:
        """The JSON of a list below each row of `level` (or of the one list without a parent)."""
        declared = cast("Many", pick.declaration)
        listing = _Listing(self, pick, declared, level, next(self.shapes))
        return listing.compile(source, parent)

    def _columns(self, entity: Entity, rows: Rows, picks: Sequence[Pick]) -> list[Label[Any]]:
        """The columns of a row that a selection needs, once each."""
        needed: dict[str, Label[Any]] = {}
        for pick in picks:
            declared = pick.declaration
            if isinstance(declared, Column):
                label = _label(pick.name)
                needed[label] = declared.of(rows, entity.fields[pick.name][0]).label(label)
            elif isinstance(declared, One):
                label = _key_label(declared.key)
                needed[label] = rows.c[declared.key].label(label)
        return list(needed.values())

    def _name(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"


class _Listing:
    """One list: its page, its count, its aggregated texts."""

    def __init__(self, compiler: Compiler, pick: Pick, declared: Many, level: Level | None, page: Page) -> None:
        self.compiler = compiler
        self.pick = pick
        self.declared = declared
        self.level = level
        self.page = page
        self.target = compiler.entities[declared.target]
        self.sql = compiler.sql
        self.slots = compiler.slots
        self.size, self.size_and_one, self.tag = self.slots.take(), self.slots.take(), self.slots.take()
        self.first_value = self.slots.taken
        self.end = self.size + page.values
        self.parts = list(pick.inner) if declared.paged else []
        self.more_wanted = any(p.name == "pageInfo" for p in self.parts)
        self.with_cursor = any(p.name in ("pageInfo", "edges") for p in self.parts)

    def compile(self, source: FromClause, parent: CTE) -> tuple[FromClause, Text]:
        """`source` joined with the list's CTEs, and the list's text for each of its rows."""
        if not self.declared.paged:
            texts = self._texts([self.pick.inner])
            whole = self._grouped(texts, 1)
            joined = source.outerjoin(whole, whole.c.parent == parent.c.id)
            return joined, concat("[", self._or_empty(whole.c.a0), "]")
        columns = sum(p.name in ("edges", "nodes") for p in self.parts)
        grouped: CTE | None = None
        if columns or self.more_wanted:
            texts = self._texts(self._selections())
            grouped = self._grouped(texts, columns)
            source = source.outerjoin(grouped, grouped.c.parent == parent.c.id)
        end = max(self.slots.taken, self.end)
        parts: list[Text | str] = []
        row = 0
        for part in self.parts:
            parts += ["," if parts else "", f'"{part.key}":']
            if part.name == "totalCount":
                counted = self._counted(parent)
                source = source.outerjoin(counted, counted.c.parent == parent.c.id)
                parts.append(func.coalesce(as_text(counted.c.n), literal("0")))
            elif part.name == "pageInfo":
                assert grouped is not None
                parts.append(self._page_info(part, grouped))
            elif part.declaration is None and part.name == "__typename":
                parts.append(f'"{part.type_name}"')
            else:
                assert grouped is not None
                parts += ["[", self._or_empty(grouped.c[f"a{row}"]), "]"]
                row += 1
        self.slots.taken = end
        return source, concat("{", *parts, "}")

    def _selections(self) -> list[Sequence[Pick]]:
        """The selections on the list's rows, in the order of the answer: of `nodes`, and of every edge's `node`."""
        selections: list[Sequence[Pick]] = []
        for part in self.parts:
            if part.name == "nodes":
                selections.append(part.inner)
            elif part.name == "edges":
                selections += [inner.inner for inner in part.inner if inner.name == "node"]
        return selections

    @staticmethod
    def _or_empty(text: ColumnElement[Any]) -> Text:
        return func.coalesce(text, literal(""))

    def _page_rows(self, selections: Sequence[Sequence[Pick]]) -> CTE:
        """The page: for every parent its first rows, numbered from 1 in the direction of reading."""
        compiler, target = self.compiler, self.target
        picks = [pick for selection in selections for pick in selection]
        inner_table = target.table.alias(compiler._name("t"))
        conditions = self._conditions(inner_table)
        mark = self.slots.taken
        keys = order_keys(target, inner_table, self.page.order, self.sql, self.slots)
        cursor_mark = self.slots.taken
        conditions += self._cursors(keys)
        end = self.slots.taken
        ordering = [element for key in keys for element in key.order(backward=self.page.backward)]
        size = self.slots.param(self.size_and_one if self.more_wanted else self.size, Integer())
        limit = size if self.declared.paged else None
        parent = self.level.ids if self.level is not None else None
        if self.level is None or self.sql.lateral:
            columns = [key.value.label(f"k{i}") for i, key in enumerate(keys)]
            chosen = select(inner_table.c.id, *compiler._columns(target, inner_table, picks), *columns)
            chosen = chosen.where(*conditions).order_by(*ordering).limit(limit)
            rows: Any = chosen.subquery() if parent is None else chosen.correlate(parent).lateral()
            keys = [Key(rows.c[f"k{i}"], key.type_, key.descending, key.nullable) for i, key in enumerate(keys)]
            needed = [rows.c[label.name] for label in compiler._columns(target, inner_table, picks)]
            source = rows if parent is None else parent.join(rows, true())
        else:
            rows = target.table.alias(compiler._name("t"))
            if self.declared.paged:
                chosen = select(inner_table.c.id).where(*conditions).order_by(*ordering).limit(limit).correlate(parent)
                on: ColumnElement[bool] = rows.c.id.in_(chosen)
            else:
                self.slots.taken = self.first_value
                on = and_(*self._conditions(rows))
            self.slots.taken = mark
            keys = order_keys(target, rows, self.page.order, self.sql, self.slots)
            assert self.slots.taken == cursor_mark
            needed = list(compiler._columns(target, rows, picks))
            source = cast("CTE", parent).join(rows, on)
        self.slots.taken = end
        owner = ZERO if parent is None else parent.c.id
        ordering = [element for key in keys for element in key.order(backward=self.page.backward)]
        number = func.row_number().over(partition_by=None if parent is None else parent.c.id, order_by=ordering)
        columns_out = [owner.label("parent"), rows.c.id, *needed, number.label("n")]
        if self.with_cursor:
            tag = self.slots.param(self.tag, SqlText())
            columns_out.append(cursor_sql(tag, keys, self.sql, SECRET).label("cursor"))
        return select(*columns_out).select_from(source).cte(compiler._name("p"))

    def _conditions(self, rows: Rows) -> list[ColumnElement[bool]]:
        """Which rows of the target belong to the list: the parent's, visible, and as `where` says."""
        compiler, target = self.compiler, self.target
        conditions: list[ColumnElement[bool]] = []
        if self.level is None:
            conditions.append(scope_of(target, rows, compiler.kind, compiler.entities))
        else:
            conditions.append(self.declared.joins(rows, self.level.ids))
            conditions.append(scope_below(self.level.entity, target, rows, compiler.kind, compiler.entities))
        if self.page.where is not None:
            where = WhereCompiler(compiler.entities, self.sql, compiler.kind, self.slots)
            conditions.append(where.compile(target, rows, self.page.where))
        return conditions

    def _cursors(self, keys: Sequence[Key]) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if self.page.after is not None:
            conditions.append(beyond(keys, self.page.after, self.slots, backward=False))
        if self.page.before is not None:
            conditions.append(beyond(keys, self.page.before, self.slots, backward=True))
        return conditions

    def _texts(self, selections: Sequence[Sequence[Pick]]) -> CTE:
        """The page's rows as JSON: columns t0, t1, ... in the order of `edges` and `nodes` in the answer."""
        compiler = self.compiler
        rows = self._page_rows(selections)
        assert self.slots.taken == self.end
        unique = self.level is None or self.declared.on is None
        ids = rows if unique else select(rows.c.id).distinct().cte(compiler._name("i"))
        level = Level(self.target, rows, ids)
        source: FromClause = rows
        objects: list[Text] = []
        for selection in selections:
            source, text = compiler._object(level, source, selection)
            objects.append(text)
        nodes = iter(objects)
        columns: list[Text] = []
        for part in self.parts if self.declared.paged else [None]:
            if part is None or part.name == "nodes":
                columns.append(next(nodes))
            elif part.name == "edges":
                columns.append(self._edge(part, nodes, rows))
        labelled = [text.label(f"t{i}") for i, text in enumerate(columns)]
        extra: list[Any] = [rows.c.cursor] if self.with_cursor else []
        if self.more_wanted:
            extra.append(func.count().over(partition_by=rows.c.parent).label("found"))
        return select(rows.c.parent, rows.c.n, *extra, *labelled).select_from(source).cte(compiler._name("x"))

    @staticmethod
    def _edge(part: Pick, nodes: Iterator[Text], rows: CTE) -> Text:
        parts: list[Text | str] = []
        for inner in part.inner:
            parts += ["," if parts else "", f'"{inner.key}":']
            if inner.name == "cursor":
                parts += ['"', rows.c.cursor, '"']
            elif inner.name == "node":
                parts.append(next(nodes))
            else:
                parts.append(f'"{inner.type_name}"')
        return concat("{", *parts, "}")

    def _grouped(self, texts: CTE, count: int) -> CTE:
        """One row per parent with the joined texts (a0, a1, ...) and what pageInfo needs."""
        backward = self.page.backward
        source = self.sql.in_order(texts, backward=backward)
        columns: list[Any] = []
        size = self.slots.param(self.size, Integer())
        for index in range(count):
            joined: Any = self.sql.joined(source.c[f"t{index}"], texts, backward=backward)
            columns.append((joined.filter(source.c.n <= size) if self.more_wanted else joined).label(f"a{index}"))
        if self.more_wanted:
            found = func.max(source.c.found)
            columns.append(case((found > size, literal("true")), else_=literal("false")).label("more"))
            last = case((source.c.found > size, size), else_=source.c.found)
            near = func.max(source.c.cursor).filter(source.c.n == 1)
            far = func.max(source.c.cursor).filter(source.c.n == last)
            start, end = (far, near) if backward else (near, far)
            columns += [start.label("start"), end.label("end")]
        return (
            select(source.c.parent, *columns)
            .select_from(source)
            .group_by(source.c.parent)
            .cte(self.compiler._name("j"))
        )

    def _counted(self, parent: CTE) -> CTE:
        """How many rows the whole list has, per parent. Its values are those of the page's `where`, once more."""
        self.slots.taken = self.first_value
        rows = self.target.table.alias(self.compiler._name("t"))
        conditions = self._conditions(rows)
        count = func.count().label("n")
        if self.level is None:
            counted = select(ZERO.label("parent"), count).select_from(rows).where(*conditions)
        else:
            ids = self.level.ids
            joined: Join = ids.join(rows, and_(*conditions))
            counted = select(ids.c.id.label("parent"), count).select_from(joined).group_by(ids.c.id)
        return counted.cte(self.compiler._name("c"))

    def _page_info(self, part: Pick, grouped: CTE) -> Text:
        beyond_start = self.page.after is not None
        beyond_end = self.page.before is not None
        more = func.coalesce(grouped.c.more, literal("false"))
        backward = self.page.backward
        values: dict[str, Text | str] = {
            "hasNextPage": ("true" if beyond_end else "false") if backward else more,
            "hasPreviousPage": more if backward else ("true" if beyond_start else "false"),
            "startCursor": func.coalesce(concat('"', grouped.c.start, '"'), NULL_JSON),
            "endCursor": func.coalesce(concat('"', grouped.c.end, '"'), NULL_JSON),
        }
        parts: list[Text | str] = []
        for inner in part.inner:
            parts += ["," if parts else "", f'"{inner.key}":', values.get(inner.name, f'"{inner.type_name}"')]
        return concat("{", *parts, "}")


def _label(name: str) -> str:
    return f"f_{name}"


def _key_label(name: str) -> str:
    return f"k_{name}"


def _chunks(picks: Sequence[Pick]) -> list[Sequence[Pick]]:
    """The picks in runs of at most MAX_JOINS relations."""
    chunks: list[list[Pick]] = [[]]
    joins = 0
    for pick in picks:
        if isinstance(pick.declaration, One | Many | Aggregate):
            joins += 1
            if joins > MAX_JOINS:
                chunks.append([])
                joins = 1
        chunks[-1].append(pick)
    return list(chunks)
