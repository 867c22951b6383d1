"""The compiler: a selection on an entity becomes one statement that builds the answer's JSON in the database.

The statement is flat: under one WITH stands, for every level, a CTE with the level's rows (its page) and, bottom-up,
a CTE that joins their JSON per parent. Nested subqueries would be a little faster, but four levels of them overflow
SQLite's parser stack. The viewer's scope is part of every level's rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import CompoundSelect, Integer, Label, Select, literal_column, select
from sqlalchemy.sql.selectable import CTE

from app.db.types import Snowflake
from app.graphql.attached import MARK
from app.graphql.entity import Aggregate, Attached, Column, Condition, Entity, Many, One, Over, Rows
from app.graphql.kinds import type_of
from app.graphql.listing import Listing
from app.graphql.paging import Page
from app.graphql.scope import scope_below, scope_of
from app.graphql.selection import TYPENAME, Pick, Template
from app.graphql.slots import Slots
from app.graphql.sql import Sql, Text, concat, or_null
from app.graphql.writer import Level, Writer


@dataclass(slots=True)
class Compiler:
    """Compiles one statement for viewers of one kind on one database.

    `objects` are the fields of aggregated objects by type name; `pages` are the shapes of the template's lists.
    """

    entities: Mapping[str, Entity]
    objects: Mapping[str, Mapping[str, Over]]
    sql: Sql
    kind: str
    pages: Sequence[Page]
    slots: Slots = field(default_factory=Slots)
    _names: int = 0

    def by_ids(self, entity: Entity, template: Template, ids: range) -> Select[Any]:
        """Rows of (id, JSON text) for the ids that are the values at these indexes; what is hidden is left out."""
        table = self.alias(entity)
        wanted = table.c.id.in_([self.slots.param(index, Snowflake()) for index in ids])
        visible = scope_of(entity, table, self.kind, self.entities)
        rows = self.cte(select(table.c.id, *self.columns(entity, table, template.picks)).where(wanted, visible))
        return self._objects(Level(entity, rows, rows), template.picks)

    def connection(self, template: Template) -> Select[Any]:
        """One row of (0, JSON text) with a list without a parent."""
        top = self.cte(select(literal_column("0", Integer()).label("id")))
        writer = self.writer(Level(None, top, top))
        Listing(self, template.picks[0], writer).write()
        writer.end("json")
        return writer.select("id")

    def _objects(self, level: Level, picks: Sequence[Pick], key: str = "id") -> Select[Any]:
        writer = self.writer(level)
        self.write(writer, picks)
        writer.end("json")
        return writer.select(key)

    def write(self, writer: Writer, picks: Sequence[Pick]) -> None:
        """Writes the JSON object of a row."""
        writer.add("{")
        for index, pick in enumerate(picks):
            writer.add("," if index else "", f'"{pick.key}":')
            match pick.declaration:
                case None:
                    writer.add(f'"{pick.type_name}"')
                case Column() as declared:
                    writer.add(self._leaf(writer, pick, declared))
                case Attached():
                    writer.add(f"{MARK}{pick.place}:", self.sql.text(writer.rows.c.id), MARK)
                case One() as declared:
                    self._one(writer, pick, declared)
                case Aggregate() as declared:
                    self._aggregate(writer, pick, declared)
                case Many():
                    Listing(self, pick, writer).write()
        writer.add("}")

    def _leaf(self, writer: Writer, pick: Pick, declared: Column) -> Text:
        entity = writer.level.entity
        assert entity is not None
        name = entity.fields[pick.name][0]
        value = writer.rows.c[_label(pick.name)]
        if declared.id_of is not None:
            json = concat(f'"{declared.id_of}_', self.sql.text(value), '"')
        else:
            json = self.sql.json(value, type_of(entity, name, declared))
        return or_null(json) if declared.may_be_null(entity.table, name) else json

    def _one(self, writer: Writer, pick: Pick, declared: One) -> None:
        entity = writer.level.entity
        assert entity is not None
        target = self.entities[declared.target]
        key = _key_label(declared.key)
        table = self.alias(target)
        conditions: list[Condition] = [table.c[declared.at].in_(select(writer.level.rows.c[key]))]
        if not entity.is_within(declared):
            # A row is visible only if what it is within is: only other rows have to be asked for.
            conditions += [scope_of(target, table, self.kind, self.entities), target.is_shown(table)]
        columns = self.columns(target, table, pick.inner)
        at = "id"
        if declared.own is not None:
            conditions.append(declared.own(table, self.kind))
            at = "parent"
            columns.append(table.c[declared.at].label(at))
        rows = self.cte(select(table.c.id, *columns).where(*conditions))
        found = self.once(self._objects(Level(target, rows, rows), pick.inner, at))
        writer.reserve(1)
        writer.join(found, at, key)
        writer.add(or_null(found.c.json))

    def _aggregate(self, writer: Writer, pick: Pick, declared: Aggregate) -> None:
        entity, ids = writer.level.entity, writer.level.ids
        assert entity is not None
        target = self.entities[declared.target]
        child = self.alias(target)
        visible = scope_below(entity, declared.key, target, child, self.kind, self.entities)
        columns = self.objects[pick.type_name]
        parts: list[Text | str] = ["{"]
        for index, inner in enumerate(pick.inner):
            parts += ["," if index else "", f'"{inner.key}":']
            if inner.name == TYPENAME:
                parts.append(f'"{inner.type_name}"')
            else:
                value = columns[inner.name].source(child)
                parts.append(or_null(self.sql.json(value, value.type)))
        parts.append("}")
        if all(isinstance(part, str) for part in parts):
            writer.add(*parts)  # without an aggregate it would be one row per row of the target
            return
        # A subquery per parent: grouping would sort all rows of the target first.
        below = select(concat(*parts)).where(child.c[declared.key] == ids.c.id, visible)
        found = self.once(select(ids.c.id, below.correlate(ids).scalar_subquery().label("json")))
        writer.reserve(1)
        writer.join(found, "id", "id")
        writer.add(found.c.json)

    # What lists use, too

    def columns(self, entity: Entity, rows: Rows, picks: Sequence[Pick]) -> list[Label[Any]]:
        """The columns of a row that a selection needs, once each."""
        needed: dict[str, Label[Any]] = {}
        for pick in picks:
            if isinstance(pick.declaration, Column):
                label = _label(pick.name)
                needed[label] = pick.declaration.of(rows, entity.fields[pick.name][0]).label(label)
            elif isinstance(pick.declaration, One):
                label = _key_label(pick.declaration.key)
                needed[label] = rows.c[pick.declaration.key].label(label)
        return list(needed.values())

    def writer(self, level: Level) -> Writer:
        """A writer for the rows of a level."""
        return Writer(level, self.once)

    def alias(self, entity: Entity) -> Rows:
        """A fresh alias of the entity's table."""
        return entity.table.alias(self.name("t"))

    def cte(self, statement: Select[Any]) -> CTE:
        """The statement as a CTE with a fresh name."""
        return statement.cte(self.name("c"))

    def once(self, statement: Select[Any] | CompoundSelect[Any]) -> CTE:
        """A CTE that is joined: computed once, even where the planner expects a single row and would repeat it."""
        return statement.cte(self.name("c")).prefix_with("MATERIALIZED")

    def name(self, prefix: str) -> str:
        """A fresh name."""
        self._names += 1
        return f"{prefix}{self._names}"


def _label(name: str) -> str:
    return f"f_{name}"


def _key_label(name: str) -> str:
    return f"k_{name}"
