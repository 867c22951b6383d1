"""Typed conditions: the `where` inputs of entities, parsed to a shape with values and compiled to SQL.

Logic is two-valued: a comparison with a value that is not there is false, so `not` is exactly the rest. `ne` and
`notIn` are the opposites of `eq` and `in` and hold where there is no value.
"""

from __future__ import annotations

import enum
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, String, and_, exists, false, func, literal_column, not_, or_, select, true
from sqlalchemy.types import TypeEngine

from app.db.types import Snowflake, Text, TextList, checked_text
from app.errors import Code, GradbookError
from app.graphql.entity import Column, Condition, Entity, JsonPart, Many, One, Rows
from app.graphql.json_path import JsonForm, JsonPath, form_of, parse_name, parse_path
from app.graphql.kinds import JSON_TYPES, LIST_OPERATORS, is_json, kind_of, type_of
from app.graphql.scalars import decode_id, type_name_words
from app.graphql.scope import scope_below, scope_of
from app.graphql.slots import Shape, Slots, put
from app.graphql.sql import Sql

Path = tuple[str | int, ...]

MAX_DEPTH = 8
"""Levels of and/or/not and relations: each nests parentheses, and SQLite's parser stack holds 100 entries."""

MAX_RELATIONS = 3
"""Relations within relations: each takes some 15 of these entries, and 5 of them are too many."""

MAX_TESTS = 100
"""Comparisons in one `where`: each is evaluated per row that is looked at."""

MAX_LIST = 1_000
"""Values of one `in`: each is a bind parameter, of which a statement takes 32,766 (SQLite) or 32,767 (PostgreSQL)."""

MAX_VALUES = 4_096
"""Values of all the lists of a root field: each is a parameter wherever its condition is asked, for the page and for
its count, and these take some half a second to compile."""

COMPARISONS: dict[str, Callable[[ColumnElement[Any], ColumnElement[Any]], Condition]] = {
    "eq": operator.eq,
    "ne": lambda column, value: column.is_distinct_from(value),
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "startsWith": lambda column, value: func.substr(column, 1, func.length(value)) == value,
}


@dataclass(slots=True)
class WhereParser:
    """Turns a coerced `where` argument into a shape and appends its values to `values`."""

    entities: Mapping[str, Entity]
    values: list[Any]
    tests: int = 0

    def parse(self, entity: Entity, raw: Mapping[str, Any], path: Path, depth: int = 1, relations: int = 0) -> Shape:
        """The shape of a condition on the entity's rows; all of its members must hold."""
        if depth > MAX_DEPTH or relations > MAX_RELATIONS:
            raise GradbookError(
                Code.LIMIT_EXCEEDED,
                f"A condition may nest {MAX_DEPTH} levels deep, and {MAX_RELATIONS} relations.",
                path,
            )
        parts: list[Shape] = []
        for name, value in raw.items():
            here = (*path, name)
            if value is None:
                # What a client leaves out it often sends as null.
                continue
            if name in ("and", "or"):
                within = (self.parse(entity, item, (*here, i), depth + 1, relations) for i, item in enumerate(value))
                parts.append((name, *within))
            elif name == "not":
                parts.append(("not", self.parse(entity, value, here, depth + 1, relations)))
            elif isinstance(related := entity.fields.get(name, (name, None))[1], Many):
                target = self.entities[related.target]
                if related.named is not None:
                    of_name = {**value, related.named: {"eq": value[related.named]}}
                    parts.append(("some", name, self.parse(target, of_name, here, depth + 1, relations + 1)))
                    continue
                for quantity, inner in value.items():
                    if inner is not None:
                        shape = self.parse(target, inner, (*here, quantity), depth + 1, relations + 1)
                        parts.append((quantity, name, shape))
            else:
                parts.append(self._member(entity, name, value, here))
        return ("and", *parts)

    def _member(self, entity: Entity, name: str, value: Any, path: Path) -> Shape:
        for part in entity.parts:
            if part.name == name:
                return self._part(part, value, path)
        python_name, declared = entity.fields[name]
        if isinstance(declared, One):
            target = self.entities[declared.target]
            if declared.named is not None:
                return ("named", name, *self._named(value, path, target))
            return ("tests", name, self._tests("id", value, path, target))
        assert isinstance(declared, Column)
        type_ = type_of(entity, python_name, declared)
        if is_json(type_):
            tests = {kind: test for kind, test in value.items() if kind != "path"}
            return self._json(python_name, parse_path(value["path"], (*path, "path")), tests, path)
        kind = kind_of(type_, is_id=declared.id_of is not None)
        assert kind is not None
        return ("tests", name, self._tests(kind, value, path, entity))

    def _named(self, raw: Mapping[str, Any], path: Path, target: Entity) -> Iterator[Shape]:
        """(operator, operand of ids, operand of names) for every comparison with rows by ids or names."""
        for name, value in raw.items():
            here = (*path, name)
            if name == "isNull" or value is None:
                yield from ((*test, ()) for test in self._tests("id", {name: value}, path, target))
                continue
            self._count(here)
            items = list(value) if name in LIST_OPERATORS else [value]
            is_id = [isinstance(item, str) and item.startswith(f"{target.prefix}_") for item in items]
            ids = [item for item, yes in zip(items, is_id, strict=True) if yes]
            names = [item for item, yes in zip(items, is_id, strict=True) if not yes]
            yield name, self._list("id", ids, here, target), self._list("text", names, here, None)

    def _part(self, part: JsonPart, value: Mapping[str, Any], path: Path) -> Shape:
        steps = () if part.argument is None else parse_name(value[part.argument], (*path, part.argument))
        if (within := value.get("path")) is not None:
            steps += parse_path(within, (*path, "path"))
        tests = {kind: test for kind, test in value.items() if kind not in (part.argument, "path")}
        return self._json(part.column, steps, tests, path)

    def _json(self, column: str, steps: JsonPath, raw: Mapping[str, Any], path: Path) -> Shape:
        members: list[Shape] = []
        for kind, value in raw.items():
            if value is None:
                continue
            if kind == "isNull":
                self._count(path)
                members.append((kind, value))
            else:
                members.append((kind, self._tests(kind, value, (*path, kind), None)))
        return ("json", column, form_of(steps), put(self.values, steps), *members)

    def _tests(self, kind: str, raw: Mapping[str, Any], path: Path, id_of: Entity | None) -> Shape:
        """(operator, operand) for every comparison; the operand is an index, a range of them or, of isNull, a bool."""
        tests: list[Shape] = []
        for name, value in raw.items():
            here = (*path, name)
            self._count(here)
            if value is None:
                raise GradbookError(Code.INVALID_INPUT, f"'{name}' takes a value, not null: use 'isNull'.", here)
            if name == "isNull":
                tests.append((name, value))
            elif name in LIST_OPERATORS:
                tests.append((name, self._list(kind, value, here, id_of)))
            else:
                tests.append((name, put(self.values, _value(kind, value, here, id_of))))
        return tuple(tests)

    def _list(self, kind: str, items: Sequence[Any], path: Path, id_of: Entity | None) -> tuple[int, int]:
        """Where the values stand: start and end. Padded, so that few lengths make few statements."""
        if len(items) > MAX_LIST:
            raise GradbookError(Code.LIMIT_EXCEEDED, f"{len(items)} values; at most {MAX_LIST:,} are allowed.", path)
        start = len(self.values)
        if start + len(items) > MAX_VALUES:
            message = f"The conditions of one operation's field may hold {MAX_VALUES:,} values: ask for fewer at once."
            raise GradbookError(Code.LIMIT_EXCEEDED, message, path)
        self.values.extend(_value(kind, item, (*path, index), id_of) for index, item in enumerate(items))
        self.values.extend(padding(self.values[start:]))
        return start, len(self.values)

    def _count(self, path: Path) -> None:
        self.tests += 1
        if self.tests > MAX_TESTS:
            raise GradbookError(Code.LIMIT_EXCEEDED, f"A condition may hold {MAX_TESTS} comparisons.", path)


def padding(values: Sequence[Any]) -> list[Any]:
    """The last value as often as it takes to fill the values up to a power of two."""
    return [values[-1]] * ((1 << (len(values) - 1).bit_length()) - len(values)) if values else []


def _value(kind: str, value: Any, path: Path, id_of: Entity | None) -> Any:
    if value is None:
        raise GradbookError(Code.INVALID_INPUT, "A null in a list of values: use 'isNull'.", path)
    if kind == "id" and id_of is not None:
        return decode_id(id_of.prefix, value, type_name_words(id_of.name), path)
    if kind == "float" and not math.isfinite(value):
        raise GradbookError(Code.INVALID_INPUT, f"{value} is no finite number.", path)
    if kind in ("text", "texts"):
        return stored_text(value, path)
    return value.name if isinstance(value, enum.Enum) else value


def stored_text(text: str, path: Path) -> str:
    """A text as databases hold it. Raises INVALID_INPUT."""
    try:
        return checked_text(text)
    except ValueError as error:
        raise GradbookError(Code.INVALID_INPUT, str(error), path) from error


@dataclass(slots=True)
class WhereCompiler:
    """Turns a shape into SQL."""

    entities: Mapping[str, Entity]
    sql: Sql
    kind: str
    slots: Slots
    aliases: int = 0

    def compile(self, entity: Entity, rows: Rows, shape: Shape) -> Condition:
        """The condition on `rows`, a table or alias of the entity's."""
        match shape:
            case ("and", *parts):
                return and_(true(), *(self.compile(entity, rows, part) for part in parts))
            case ("or", *parts):
                return or_(false(), *(self.compile(entity, rows, part) for part in parts))
            case ("not", part):
                return not_(func.coalesce(self.compile(entity, rows, part), false()))
            case (("some" | "none") as quantity, name, part):
                found = self._related(entity, rows, name, part)
                return found if quantity == "some" else not_(found)
            case ("named", name, *tests):
                return and_(true(), *(self._named(entity, rows, name, *test) for test in tests))
            case ("json", column, form, path, *members):
                return and_(true(), *(self._json(rows.c[column], form, path, *member) for member in members))
            case (_, name, tests):
                return self._column(entity, rows, name, tests)
        raise AssertionError(shape)

    def _column(self, entity: Entity, rows: Rows, name: str, tests: Sequence[Shape]) -> Condition:
        python_name, declared = entity.fields[name]
        if isinstance(declared, One):
            return self._tests(rows.c[declared.key], Snowflake(), tests)
        assert isinstance(declared, Column)
        column = declared.of(rows, python_name)
        return self._tests(column, column.type, tests)

    def _named(self, entity: Entity, rows: Rows, name: str, operator: str, ids: Any, names: Any) -> Condition:
        """Whether a row's relation leads to one of these ids, or to a visible row of one of these names."""
        declared = entity.fields[name][1]
        assert isinstance(declared, One)
        assert declared.named is not None
        key = rows.c[declared.key]
        if operator == "isNull":
            return self._test(key, Snowflake(), operator, ids)
        found: list[Condition] = []
        if range(*ids):
            found.append(self._test(key, Snowflake(), "in", ids))
        if range(*names):
            there, its_name, visible = self._named_rows(declared)
            leads = select(there.c.id).where(self._test(its_name, Text(), "in", names), visible)
            # One name is one row, and only an equality lets an index give the rows in an order.
            is_one = operator in ("eq", "ne")
            found.append(key == leads.scalar_subquery() if is_one else key.in_(leads))
        either = or_(false(), *found)
        return either if operator in ("eq", "in") else not_(func.coalesce(either, false()))

    def name_of(self, entity: Entity, rows: Rows, relation: str) -> ColumnElement[Any]:
        """The name of the visible row that a row's relation leads to; NULL without one."""
        declared = entity.fields[relation][1]
        assert isinstance(declared, One)
        there, its_name, visible = self._named_rows(declared)
        leads = there.c[declared.at] == rows.c[declared.key]
        return select(its_name).where(leads, visible).correlate(rows).scalar_subquery()

    def _named_rows(self, relation: One) -> tuple[Rows, ColumnElement[Any], Condition]:
        """An alias of the rows that a relation may lead to, their names, and which of them are visible."""
        target = self.entities[relation.target]
        self.aliases += 1
        there = target.table.alias(f"w{self.aliases}")
        its_name = there.c[target.fields[cast("str", relation.named)][0]]
        return there, its_name, scope_of(target, there, self.kind, self.entities)

    def _related(self, entity: Entity, rows: Rows, name: str, shape: Shape) -> Condition:
        target, child, belongs = self._children(entity, rows, name)
        shown = true() if mentions(shape, target.hidden) else target.is_shown(child)
        condition = and_(belongs, shown, self.compile(target, child, shape))
        return exists(select(1).select_from(child).where(condition).correlate(rows))

    def value_of(self, entity: Entity, rows: Rows, name: str, field: str, place: int) -> ColumnElement[Any]:
        """The field of that visible child of a row whose name is the value at the index `place`; NULL without one."""
        target, child, belongs = self._children(entity, rows, name)
        declared = entity.fields[name][1]
        assert isinstance(declared, Many)
        assert declared.named is not None
        python_name, column = target.fields[field]
        assert isinstance(column, Column)
        is_named = child.c[target.fields[declared.named][0]] == self.slots.param(place, Text())
        wanted = select(column.ordered(child, python_name)).where(belongs, target.is_shown(child), is_named)
        return wanted.correlate(rows).scalar_subquery()

    def _children(self, entity: Entity, rows: Rows, name: str) -> tuple[Entity, Rows, Condition]:
        """A relation's target, an alias of its rows, and which of them belong to a row and are visible."""
        declared = entity.fields[name][1]
        assert isinstance(declared, Many)
        target = self.entities[declared.target]
        self.aliases += 1
        child = target.table.alias(f"w{self.aliases}")
        visible = scope_below(entity, declared.key, target, child, self.kind, self.entities)
        return target, child, and_(declared.joins(child, rows), visible)

    def _json(self, source: ColumnElement[Any], form: JsonForm, path: int, kind: str, tests: Any) -> Condition:
        if kind == "isNull":
            missing = self.sql.json_is_null(source, form, path, self.slots)
            return cast("Condition", missing if tests else not_(missing))
        return self._tests(self.sql.json_value(source, form, path, self.slots, kind), JSON_TYPES[kind], tests)

    def _tests(self, column: ColumnElement[Any], type_: TypeEngine[Any], tests: Sequence[Shape]) -> Condition:
        return and_(true(), *(self._test(column, type_, *test) for test in tests))

    def _test(self, column: ColumnElement[Any], type_: TypeEngine[Any], name: str, operand: Any) -> Condition:
        if name == "isNull":
            return column.is_(None) if operand else column.is_not(None)
        if isinstance(type_, TextList):
            return self._has(column, name, operand)
        if name in LIST_OPERATORS:
            items = [self.slots.param(index, type_) for index in range(*operand)]
            listed = column.in_(items) if items else false()
            return listed if name == "in" else not_(func.coalesce(listed, false()))
        if name == "contains":
            return self.sql.position(func.lower(column), self.slots.param(operand, String(), ascii_lower)) > 0
        return COMPARISONS[name](column, self.slots.param(operand, type_))

    def _has(self, column: ColumnElement[Any], name: str, operand: Any) -> Condition:
        """What a list of texts has: `has` one, `hasAny` of some, `hasAll` of them."""
        items = [self.slots.param(index, Text()) for index in (range(*operand) if name != "has" else (operand,))]
        if name == "hasAll":
            return and_(true(), *(self._has_one_of(column, [item]) for item in items))
        return self._has_one_of(column, items) if items else false()

    def _has_one_of(self, column: ColumnElement[Any], items: Sequence[ColumnElement[Any]]) -> Condition:
        each = self.sql.texts(column)
        return exists(select(literal_column("1")).select_from(each).where(each.c.value.in_(items)))


def mentions(shape: Shape, field: str | None) -> bool:
    """Whether a condition says anything of a field, however deep; not what it says of related rows."""
    match shape:
        case ("and" | "or" | "not", *parts):
            return any(mentions(part, field) for part in parts)
        case ("tests", name, _):
            return bool(name == field)
    return False


def ascii_lower(text: str) -> str:
    """Folds the letters A to Z: the one rule that both databases share."""
    return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in text)
