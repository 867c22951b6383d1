"""Typed conditions: the `where` inputs of entities, parsed to a shape with values and compiled to SQL.

Logic is two-valued: a comparison with a value that is not there is false, so `not` is exactly the rest. `ne` and
`notIn` are the opposites of `eq` and `in` and hold where there is no value.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Integer, String, and_, exists, false, func, not_, or_, select, true
from sqlalchemy.types import TypeEngine

from app.db.types import EnumText, Float, Instant, JsonText, Snowflake, Text, checked_text
from app.errors import Code, GradbookError
from app.graphql.entity import Column, Entity, Many, One, Rows
from app.graphql.scalars import decode_id, type_name_words
from app.graphql.slots import Shape, Slots
from app.graphql.sql import JsonPath, Sql

Path = tuple[str | int, ...]

MAX_DEPTH = 8
"""Levels of and/or/not and relations. Each nests parentheses, and SQLite's parser stack holds 100 entries."""

MAX_TESTS = 100
"""Comparisons in one `where`: each is evaluated per row that is looked at."""

MAX_LIST = 1_000
"""Values of one `in`: each is a bind parameter, of which a statement takes 32,766 (SQLite) or 32,767 (PostgreSQL)."""

MAX_PATH = 10
"""Steps of a JSON path."""

EQUALITY = ("eq", "ne", "in", "notIn")
ORDERED = (*EQUALITY, "gt", "gte", "lt", "lte", "isNull")
OPERATORS: dict[str, tuple[str, ...]] = {
    "id": (*EQUALITY, "isNull"),
    "enum": EQUALITY,
    "text": (*ORDERED, "contains", "startsWith"),
    "int": ORDERED,
    "float": ORDERED,
    "instant": ORDERED,
    "bool": ("eq", "ne", "isNull"),
}
JSON_TYPES: dict[str, TypeEngine[Any]] = {"float": Float(), "int": Integer(), "text": Text(), "bool": Boolean()}
LIST_OPERATORS = frozenset({"in", "notIn"})

_STEP = re.compile(r'([^.\[\]"\\\x00-\x1f]+)|"([^"\\\x00-\x1f]+)"')
_INDEX = re.compile(r"\[(\d{1,9})\]")


def kind_of(type_: TypeEngine[Any], *, is_id: bool) -> str | None:
    """The kind of operators that a column of this type takes; None where it takes none."""
    if is_id:
        return "id"
    kinds: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
        (EnumText, "enum"),
        (Text, "text"),
        (Instant, "instant"),
        (Float, "float"),
        (Boolean, "bool"),
        (Integer, "int"),
    )
    return next((kind for type_class, kind in kinds if isinstance(type_, type_class)), None)


def json_columns(entity: Entity) -> list[str]:
    """The names of the entity's filterable JSON columns; `orderBy: {json: ...}` means the first."""
    return [
        python_name
        for python_name, declared in entity.fields.values()
        if isinstance(declared, Column)
        and declared.filter
        and isinstance(type_of(entity, python_name, declared), JsonText)
    ]


def type_of(entity: Entity, name: str, declared: Column) -> TypeEngine[Any]:
    """The SQL type of a declared column."""
    return declared.of(entity.table, name).type


def parse_path(text: str, path: Path) -> JsonPath:
    """`a."b c"[0]` as ("a", "b c", 0)."""
    steps: list[str | int] = []
    rest = text
    while rest:
        if steps and (index := _INDEX.match(rest)):
            steps.append(int(index[1]))
            rest = rest[index.end() :]
            continue
        if steps:
            rest = rest[1:] if rest.startswith(".") else "\0"
        step = _STEP.match(rest)
        if step is None:
            break
        steps.append(step[1] or step[2])
        rest = rest[step.end() :]
    if rest or not 0 < len(steps) <= MAX_PATH:
        raise GradbookError(
            Code.INVALID_INPUT,
            f"{text[:80]!r} is no path into JSON: write keys and indexes such as 'source.pages[0]' or '\"a key\".b'"
            f" (at most {MAX_PATH} steps).",
            path,
        )
    return tuple(steps)


@dataclass(slots=True)
class WhereParser:
    """Turns a coerced `where` argument into a shape and appends its values to `values`."""

    entities: Mapping[str, Entity]
    values: list[Any]
    tests: int = 0

    def parse(self, entity: Entity, raw: Mapping[str, Any], path: Path, depth: int = 1) -> Shape:
        """The shape of a condition on the entity's rows; all of its members must hold."""
        if depth > MAX_DEPTH:
            raise GradbookError(Code.LIMIT_EXCEEDED, f"A condition may nest {MAX_DEPTH} levels deep.", path)
        parts: list[Shape] = []
        for name, value in raw.items():
            here = (*path, name)
            if value is None:
                # What a client leaves out it often sends as null.
                continue
            if name in ("and", "or"):
                parts.append((name, *(self.parse(entity, item, (*here, i), depth + 1) for i, item in enumerate(value))))
            elif name == "not":
                parts.append(("not", self.parse(entity, value, here, depth + 1)))
            elif part := next((part for part in entity.parts if part.name == name), None):
                parts.append(self._json(part.column, (value[part.argument],), value, part.argument, here))
            else:
                parts.append(self._member(entity, name, value, here, depth))
        return ("and", *parts)

    def _member(self, entity: Entity, name: str, value: Any, path: Path, depth: int) -> Shape:
        python_name, declared = entity.fields[name]
        if isinstance(declared, Many):
            target = self.entities[declared.target]
            members = [
                (quantity, name, self.parse(target, inner, (*path, quantity), depth + 1))
                for quantity, inner in value.items()
                if inner is not None
            ]
            return ("and", *members)
        if isinstance(declared, One):
            return self._tests(name, "id", value, path, self.entities[declared.target])
        assert isinstance(declared, Column)
        type_ = type_of(entity, python_name, declared)
        if isinstance(type_, JsonText):
            return self._json(python_name, parse_path(value["path"], (*path, "path")), value, "path", path)
        kind = kind_of(type_, is_id=declared.id_of is not None)
        assert kind is not None
        return self._tests(name, kind, value, path, entity)

    def _json(self, name: str, steps: JsonPath, raw: Mapping[str, Any], argument: str, path: Path) -> Shape:
        self.values.append(steps)
        form = tuple("index" if isinstance(step, int) else "key" for step in steps)
        members: list[Shape] = []
        for kind, value in raw.items():
            if kind == argument or value is None:
                continue
            if kind == "isNull":
                self._count(path)
                members.append(("isNull", value))
            else:
                members.append((kind, self._tests("", kind, value, (*path, kind), None)))
        return ("json", name, form, *members)

    def _tests(self, name: str, kind: str, raw: Mapping[str, Any], path: Path, id_of: Entity | None) -> Shape:
        members: list[Shape] = []
        for operator, value in raw.items():
            here = (*path, operator)
            self._count(here)
            if value is None:
                raise GradbookError(Code.INVALID_INPUT, f"'{operator}' takes a value, not null: use 'isNull'.", here)
            if operator == "isNull":
                members.append(("isNull", value))
            elif operator in LIST_OPERATORS:
                members.append((operator, self._list(kind, value, here, id_of)))
            else:
                self.values.append(self._value(kind, value, here, id_of))
                members.append((operator,))
        return ("test", name, *members)

    def _list(self, kind: str, items: Sequence[Any], path: Path, id_of: Entity | None) -> int:
        """Appends the values, the last repeated up to a power of two, so that few lengths make few statements."""
        if len(items) > MAX_LIST:
            raise GradbookError(Code.LIMIT_EXCEEDED, f"{len(items)} values; at most {MAX_LIST:,} are allowed.", path)
        if not items:
            return 0
        found = [self._value(kind, item, (*path, index), id_of) for index, item in enumerate(items)]
        length = 1 << (len(found) - 1).bit_length()
        self.values.extend([*found, *[found[-1]] * (length - len(found))])
        return length

    def _value(self, kind: str, value: Any, path: Path, id_of: Entity | None) -> Any:
        if value is None:
            raise GradbookError(Code.INVALID_INPUT, "A null in a list of values: use 'isNull'.", path)
        if kind == "id" and id_of is not None:
            return decode_id(id_of.prefix, value, type_name_words(id_of.name), path)
        if kind == "float" and not math.isfinite(value):
            raise GradbookError(Code.INVALID_INPUT, f"{value} is no finite number.", path)
        if kind == "text":
            try:
                return checked_text(value)
            except ValueError as error:
                raise GradbookError(Code.INVALID_INPUT, str(error), path) from error
        return value.name if isinstance(value, enum.Enum) else value

    def _count(self, path: Path) -> None:
        self.tests += 1
        if self.tests > MAX_TESTS:
            raise GradbookError(Code.LIMIT_EXCEEDED, f"A condition may hold {MAX_TESTS} comparisons.", path)


@dataclass(slots=True)
class WhereCompiler:
    """Turns a shape into SQL, taking bind parameters in the order in which the parser found the values."""

    entities: Mapping[str, Entity]
    sql: Sql
    kind: str
    slots: Slots
    aliases: int = 0

    def compile(self, entity: Entity, rows: Rows, shape: Shape) -> ColumnElement[bool]:
        """The condition on `rows`, a table or alias of the entity's."""
        head, *rest = shape
        if head == "and":
            return and_(true(), *(self.compile(entity, rows, part) for part in rest))
        if head == "or":
            return or_(false(), *(self.compile(entity, rows, part) for part in rest))
        if head == "not":
            return not_(func.coalesce(self.compile(entity, rows, rest[0]), false()))
        if head in ("some", "none"):
            return self._related(entity, rows, head, rest[0], rest[1])
        if head == "json":
            return self._json(rows.c[rest[0]], rest[1], rest[2:])
        python_name, declared = entity.fields[rest[0]]
        if isinstance(declared, One):
            return self._tests(rows.c[declared.key], Snowflake(), rest[1:])
        assert isinstance(declared, Column)
        column = declared.of(rows, python_name)
        return self._tests(column, column.type, rest[1:])

    def _related(self, entity: Entity, rows: Rows, quantity: str, name: str, shape: Shape) -> ColumnElement[bool]:
        declared = entity.fields[name][1]
        assert isinstance(declared, Many)
        target = self.entities[declared.target]
        self.aliases += 1
        child = target.table.alias(f"w{self.aliases}")
        condition = and_(
            declared.joins(child, rows),
            scope_below(entity, target, child, self.kind, self.entities),
            self.compile(target, child, shape),
        )
        found = exists(select(1).select_from(child).where(condition).correlate(rows))
        return found if quantity == "some" else not_(found)

    def _json(self, source: ColumnElement[Any], form: Sequence[str], members: Sequence[Shape]) -> ColumnElement[bool]:
        path = self.slots.take()
        like: JsonPath = tuple(0 if step == "index" else "" for step in form)
        conditions: list[ColumnElement[bool]] = []
        for kind, what in members:
            if kind == "isNull":
                missing = self.sql.json_is_null(source, path, self.slots, like)
                conditions.append(missing if what else not_(missing))
                continue
            value = self.sql.json_value(source, path, self.slots, like, kind)
            conditions.append(self._tests(value, JSON_TYPES[kind], what[2:]))
        return and_(true(), *conditions)

    def _tests(self, column: ColumnElement[Any], type_: TypeEngine[Any], tests: Sequence[Shape]) -> ColumnElement[bool]:
        return and_(true(), *(self._test(column, type_, *test) for test in tests))

    def _test(self, column: ColumnElement[Any], type_: TypeEngine[Any], operator: str, extra: Any = None) -> Any:
        if operator == "isNull":
            return column.is_(None) if extra else column.is_not(None)
        if operator in LIST_OPERATORS:
            listed = column.in_([self.slots.next(type_) for _ in range(extra)]) if extra else false()
            return listed if operator == "in" else not_(func.coalesce(listed, false()))
        if operator == "contains":
            return self.sql.position(func.lower(column), self.slots.next(String(), ascii_lower)) > 0
        value = self.slots.next(type_)
        if operator == "startsWith":
            return func.substr(column, 1, func.length(value)) == value
        compared = {
            "eq": lambda: column == value,
            "ne": lambda: column.is_distinct_from(value),
            "gt": lambda: column > value,
            "gte": lambda: column >= value,
            "lt": lambda: column < value,
            "lte": lambda: column <= value,
        }
        return compared[operator]()


def scope_below(
    parent: Entity, child: Entity, rows: Rows, kind: str, entities: Mapping[str, Entity]
) -> ColumnElement[bool]:
    """The scope of child rows that are reached from visible rows of `parent`: no need to ask for that parent again."""
    if child.within is not None and child.within.target == parent.name:
        return child.own(rows, kind) if child.own is not None else true()
    return scope_of(child, rows, kind, entities)


def scope_of(entity: Entity, rows: Rows, kind: str, entities: Mapping[str, Entity]) -> ColumnElement[bool]:
    """The whole condition under which a viewer of this kind sees rows of the entity."""
    conditions: list[ColumnElement[bool]] = []
    if entity.own is not None:
        conditions.append(entity.own(rows, kind))
    if entity.within is not None:
        parent = entities[entity.within.target]
        above = parent.table.alias()
        visible = scope_of(parent, above, kind, entities)
        conditions.append(rows.c[entity.within.key].in_(select(above.c.id).where(visible)))
    return and_(*conditions)


def ascii_lower(text: str) -> str:
    """Folds the letters A to Z: the one rule that both databases share."""
    return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in text)
