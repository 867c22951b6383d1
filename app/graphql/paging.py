"""Lists: order, page size and keyset cursors.

A cursor is the hex of a JSON array, `[order, key, ..., id]`, followed by a signature. It holds the values of its row's
order keys, so it stays good when the row changes or goes; it is refused when it was tampered with or when it belongs
to another list or order. Missing values come last in either direction; the id breaks ties.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, and_, false, func, or_
from sqlalchemy.types import TypeEngine

from app.db.types import Float, Instant, Snowflake
from app.errors import Code, GradbookError
from app.graphql.entity import Column, Condition, Entity, Many, One, Rows
from app.graphql.filters import Path, WhereCompiler, stored_text
from app.graphql.json_path import form_of, parse_path
from app.graphql.kinds import JSON_TYPES, json_columns
from app.graphql.scalars import parse_instant
from app.graphql.slots import Shape, Slots, put
from app.graphql.sql import Sql, Text, concat, or_null

DEFAULT_PAGE = 50
MAX_PAGE = 500
"""Rows of one page: the answer is one text that the database, the server and the client hold whole."""

MAX_KEYS = 5
"""Order keys: each adds a branch to the condition that a cursor makes."""

SIGNATURE = 16
"""Hex digits of a cursor's signature: 64 bits."""

CURSOR_SECRET = "cursor_secret"
"""The bind parameter of the secret that signs cursors."""


class Page(NamedTuple):
    """The shape of a list's arguments.

    Numbers are indexes of values: of the page size, of the size and one, of the order's tag, of the order keys in the
    cursors (None for a key that has no value), and of the terms to search for.
    """

    size: int
    size_and_one: int
    tag: int
    where: Shape
    order: Shape
    backward: bool
    after: tuple[int | None, ...] | None
    before: tuple[int | None, ...] | None
    search: int | None


@dataclass(frozen=True, slots=True)
class Key:
    """One order key on some rows: its value, its name as a column, type and direction, and whether it may be null."""

    value: ColumnElement[Any]
    label: str
    type_: TypeEngine[Any]
    descending: bool
    nullable: bool

    def order(self, *, backward: bool = False) -> ColumnElement[Any]:
        """What to order by; backward is the exact reverse, missing values first."""
        direction = self.value.desc() if self.descending != backward else self.value.asc()
        if not self.nullable:
            return direction
        return direction.nulls_first() if backward else direction.nulls_last()

    def on(self, rows: Rows) -> Key:
        """The same key on rows that have it as a column."""
        return replace(self, value=rows.c[self.label])


def parse_order(entity: Entity, raw: Sequence[Mapping[str, Any]] | None, values: list[Any], path: Path) -> Shape:
    """The shape of an `orderBy` argument: what each key is of, and last whether it descends.

    Keys are (field, …) of a column or of a relation with a name, (column, form, kind, index of the path, …) of a JSON
    column and (relation, field, index of the name, …) of the child of a name. What comes after the id orders nothing,
    and is left out.
    """
    if not raw:
        return ()
    columns, items = json_columns(entity), named_items(entity)
    ways = ["field", *columns, *items]
    keys: list[Shape] = []
    for index, item in enumerate(raw):
        here = (*path, index)
        descending = item["direction"].value == "DESC"
        given = [way for way in ways if item.get(way) is not None]
        if len(given) != 1:
            words = " or ".join(f"'{way}'" for way in ways)
            raise GradbookError(Code.INVALID_INPUT, f"Order by either {words}.", here)
        (way,) = given
        what: Any = item[way]
        if way == "field":
            keys.append((what.value, descending))
        elif way in columns:
            steps = parse_path(what["path"], (*here, way, "path"))
            keys.append((columns[way], form_of(steps), what["as"].value, put(values, steps), descending))
        else:
            relation, named = items[way]
            name = stored_text(what[named], (*here, way, named))
            keys.append((relation, what["value"].value, put(values, name), descending))
    if len(keys) > MAX_KEYS:
        raise GradbookError(Code.LIMIT_EXCEEDED, f"{len(keys)} order keys; at most {MAX_KEYS} are allowed.", path)
    unique = next((i for i, key in enumerate(keys) if len(key) == 2 and _is_id(entity, key[0])), len(keys))
    return tuple(keys[: unique + 1])


class Named(NamedTuple):
    """A list of which a name tells one item from the others, and the field that holds the name."""

    relation: str
    by: str


@cache
def named_items(entity: Entity) -> dict[str, Named]:
    """What an order can name an item of: `metric` for a list of Metric."""
    declared = ((name, field[1]) for name, field in entity.fields.items())
    lists = [(name, one) for name, one in declared if isinstance(one, Many)]
    return {one.target[0].lower() + one.target[1:]: Named(name, one.named) for name, one in lists if one.named}


def _is_id(entity: Entity, name: str) -> bool:
    declared = entity.fields[name][1]
    return isinstance(declared, Column) and declared.id_of == entity.prefix


def order_keys(entity: Entity, rows: Rows, shape: Shape, compiler: WhereCompiler) -> list[Key]:
    """The keys of an order on a table or alias of the entity's; the id comes last and makes the order total."""
    keys: list[Key] = []
    for key in shape:
        label, descending = f"o{len(keys)}", key[-1]
        match key:
            case (column, form, kind, path, _):
                value = compiler.sql.json_value(rows.c[column], form, path, compiler.slots, kind)
                keys.append(Key(value, label, JSON_TYPES[kind], descending, nullable=True))
            case (relation, field, name, _):
                value = compiler.value_of(entity, rows, relation, field, name)
                keys.append(Key(value, label, value.type, descending, nullable=True))
            case (field, _) if isinstance(entity.fields[field][1], One):
                value = compiler.name_of(entity, rows, field)
                keys.append(Key(value, label, value.type, descending, nullable=True))
            case (field, _) if not _is_id(entity, field):
                python_name, declared = entity.fields[field]
                assert isinstance(declared, Column)
                value = declared.ordered(rows, python_name)
                keys.append(Key(value, label, value.type, descending, declared.may_be_null(entity.table, python_name)))
    descending = bool(shape) and shape[-1][-1]
    return [*keys, Key(rows.c.id, "id", Snowflake(), descending, nullable=False)]


def key_types(entity: Entity, shape: Shape, entities: Mapping[str, Entity]) -> list[TypeEngine[Any]]:
    """The types of the order's keys, without SQL at hand."""
    types: list[TypeEngine[Any]] = []
    for key in shape:
        match key:
            case (_, _, kind, _, _):
                types.append(JSON_TYPES[kind])
            case (relation, field, _, _):
                declared = entity.fields[relation][1]
                assert isinstance(declared, Many)
                types.append(_field_type(entities[declared.target], field, entities))
            case (field, _) if not _is_id(entity, field):
                types.append(_field_type(entity, field, entities))
    return [*types, Snowflake()]


def _field_type(entity: Entity, name: str, entities: Mapping[str, Entity]) -> TypeEngine[Any]:
    python_name, declared = entity.fields[name]
    if isinstance(declared, One) and declared.named is not None:
        return _field_type(entities[declared.target], declared.named, entities)
    assert isinstance(declared, Column)
    return declared.ordered(entity.table, python_name).type


def order_tag(entity: Entity, shape: Shape, values: Sequence[Any]) -> str:
    """What a cursor says of the list that it belongs to."""
    keys: list[Shape] = []
    for key in shape:
        match key:
            case (column, _, kind, path, descending):
                keys.append((column, kind, values[path], descending))
            case (relation, field, name, descending):
                keys.append((relation, field, values[name], descending))
            case _:
                keys.append(key)
    return _tag(entity.name, tuple(keys))


@lru_cache(1_000)
def _tag(name: str, keys: Shape) -> str:
    return hashlib.sha256(repr((name, keys)).encode()).hexdigest()[:8]


def cursor_sql(tag: ColumnElement[Any], keys: Sequence[Key], sql: Sql, secret: ColumnElement[Any]) -> Text:
    """The cursor of a row as SQL; see `parse_cursor` for its inverse."""
    parts: list[Text | str] = ['["', tag, '"']
    for key in keys:
        json = sql.json(key.value, key.type_)
        parts += [",", or_null(json) if key.nullable else json]
    body = concat(*parts, "]")
    return concat(sql.hex(body), func.substr(sql.signature(concat(secret, body)), 1, SIGNATURE))


def parse_cursor(text: str, secret: str, tag: str, types: Sequence[TypeEngine[Any]], path: Path) -> list[Any]:
    """The order keys that a cursor holds; an error for whatever this list did not make."""
    body_hex, signature = text[:-SIGNATURE], text[-SIGNATURE:]
    try:
        body = bytes.fromhex(body_hex).decode()
    except ValueError:
        body = ""
    if not body or hashlib.sha256((secret + body).encode()).hexdigest()[:SIGNATURE] != signature:
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise GradbookError(
            Code.INVALID_CURSOR,
            f"{shown!r} is no cursor of this server: pass one that 'cursor', 'startCursor' or 'endCursor' gave.",
            path,
        )
    made_by, *found = orjson.loads(body)
    if made_by != tag or len(found) != len(types):
        raise GradbookError(
            Code.INVALID_CURSOR,
            "This cursor belongs to another list or to another order: use it with the arguments that it came from,"
            " or start again without a cursor.",
            path,
        )
    return [_typed(value, type_) for value, type_ in zip(found, types, strict=True)]


def _typed(value: Any, type_: TypeEngine[Any]) -> Any:
    if value is not None and isinstance(type_, Instant):
        return parse_instant(value)
    return float(value) if value is not None and isinstance(type_, Float) else value


def beyond(
    keys: Sequence[Key], values: Sequence[int | None], slots: Slots, *, backward: bool, inclusive: bool = False
) -> Condition:
    """The condition for the rows after (or before) a cursor, whose keys' values have these indexes.

    The condition on the first key is repeated on its own, since databases look up a range in an index by it, but not
    by the alternatives.
    """
    branches: list[Condition] = []
    equal: list[Condition] = []
    for key, index in zip(keys, values, strict=True):
        value = None if index is None else slots.param(index, key.type_)
        branches.append(and_(*equal, _further(key, value, backward=backward)))
        equal.append(key.value.is_(None) if value is None else key.value == value)
    if inclusive:
        branches.append(and_(*equal))
    first = keys[0]
    if values[0] is None or (first.nullable and not backward):
        return or_(*branches)
    value = slots.param(values[0], first.type_)
    bound = first.value <= value if first.descending != backward else first.value >= value
    return and_(bound, or_(*branches))


def _further(key: Key, value: ColumnElement[Any] | None, *, backward: bool) -> Condition:
    if value is None:
        return key.value.is_not(None) if backward else false()
    further = key.value < value if key.descending != backward else key.value > value
    return or_(further, key.value.is_(None)) if key.nullable and not backward else further


def page_size(arguments: Mapping[str, Any], path: Path, most: int = MAX_PAGE) -> tuple[int, bool]:
    """How many rows, and whether from the end. Neither `first` nor `last` means the first 50."""
    first, last = arguments.get("first"), arguments.get("last")
    if first is not None and last is not None:
        raise GradbookError(Code.INVALID_INPUT, "'first' and 'last' exclude each other: ask for one of them.", path)
    size, name = (last, "last") if last is not None else (DEFAULT_PAGE if first is None else first, "first")
    if not 0 <= size <= most:
        raise GradbookError(Code.LIMIT_EXCEEDED, f"'{name}' is {size}; it may be 0 to {most}.", (*path, name))
    return size, last is not None
