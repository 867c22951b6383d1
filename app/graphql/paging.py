"""Lists: order, page size and keyset cursors.

A cursor is the hex of a JSON array, `[order, key, ..., id]`, followed by a signature. It holds the values of its row's
order keys, so it stays good when the row changes or goes; it is refused when it was tampered with or when it belongs
to another list or order. Missing values come last in either direction; the id breaks ties.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, and_, false, func, or_
from sqlalchemy.types import TypeEngine

from app.db.types import Float, Instant, Snowflake
from app.errors import Code, GradbookError
from app.graphql.entity import Column, Entity, Rows
from app.graphql.filters import JSON_TYPES, Path, json_columns, parse_path, type_of
from app.graphql.scalars import parse_instant
from app.graphql.slots import Shape, Slots
from app.graphql.sql import Sql, Text, concat, not_null

DEFAULT_PAGE = 50
MAX_PAGE = 500
"""Rows of one page: the answer is one text that the database, the server and the client hold whole."""

MAX_KEYS = 5
"""Order keys: each adds a branch to the condition that a cursor makes."""

SIGNATURE = 16
"""Hex digits of a cursor's signature: 64 bits."""

CURSOR_SECRET = "cursor_secret"


@dataclass(frozen=True, slots=True)
class Key:
    """One order key: its value on a row, its type, its direction, and whether it may be missing."""

    value: ColumnElement[Any]
    type_: TypeEngine[Any]
    descending: bool
    nullable: bool

    def order(self, *, backward: bool) -> tuple[ColumnElement[Any], ...]:
        """What to order by; backward is the exact reverse, missing values first."""
        direction = self.value.desc() if self.descending != backward else self.value.asc()
        if not self.nullable:
            return (direction,)
        return (direction.nulls_first() if backward else direction.nulls_last(),)


def parse_order(entity: Entity, raw: Sequence[Mapping[str, Any]] | None, values: list[Any], path: Path) -> Shape:
    """The shape of an `orderBy` argument: a tuple of (field or JSON key, descending)."""
    keys: list[Shape] = []
    for index, item in enumerate(raw or ()):
        here = (*path, index)
        field: Any = item.get("field")
        json: Any = item.get("json")
        if (field is None) == (json is None):
            raise GradbookError(Code.INVALID_INPUT, "Order by either 'field' or 'json'.", here)
        descending = item["direction"].value == "DESC"
        if json is not None:
            steps = parse_path(json["path"], (*here, "json", "path"))
            values.append(steps)
            form = tuple("index" if isinstance(step, int) else "key" for step in steps)
            keys.append((("json", json_columns(entity)[0], form, json["as"].value), descending))
        else:
            keys.append((field.value, descending))
    if len(keys) > MAX_KEYS:
        raise GradbookError(Code.LIMIT_EXCEEDED, f"{len(keys)} order keys; at most {MAX_KEYS} are allowed.", path)
    return tuple(keys)


def order_keys(entity: Entity, rows: Rows, shape: Shape, sql: Sql, slots: Slots) -> list[Key]:
    """The keys of an order on `rows`; the id comes last and makes the order total."""
    keys: list[Key] = []
    for what, descending in shape:
        if isinstance(what, tuple):
            _, column, form, kind = what
            like = tuple(0 if step == "index" else "" for step in form)
            value = sql.json_value(rows.c[column], slots.take(), slots, like, kind)
            keys.append(Key(value, JSON_TYPES[kind], descending, nullable=True))
            continue
        python_name, declared = entity.fields[what]
        assert isinstance(declared, Column)
        value = declared.of(rows, python_name)
        nullable = declared.source is not None or bool(entity.table.c[python_name].nullable)
        keys.append(Key(value, value.type, descending, nullable))
        if declared.id_of == entity.prefix:
            return keys
    return [*keys, Key(rows.c.id, Snowflake(), descending=bool(shape) and shape[-1][1], nullable=False)]


def key_types(entity: Entity, shape: Shape) -> list[TypeEngine[Any]]:
    """The types of the order's keys, without SQL at hand."""
    types: list[TypeEngine[Any]] = []
    for what, _ in shape:
        if isinstance(what, tuple):
            types.append(JSON_TYPES[what[3]])
            continue
        python_name, declared = entity.fields[what]
        assert isinstance(declared, Column)
        types.append(type_of(entity, python_name, declared))
        if declared.id_of == entity.prefix:
            return types
    return [*types, Snowflake()]


def order_tag(entity: Entity, shape: Shape, json_paths: Sequence[Any]) -> str:
    """What a cursor says of the list that it belongs to."""
    whole = repr((entity.name, shape, list(json_paths))).encode()
    return hashlib.sha256(whole).hexdigest()[:8]


def cursor_sql(tag: ColumnElement[Any], keys: Sequence[Key], sql: Sql, secret: ColumnElement[Any]) -> Text:
    """The cursor of a row as SQL; see `parse_cursor` for its inverse."""
    parts: list[Text | str] = ['["', tag, '"']
    for key in keys:
        parts += [",", not_null(sql.json(key.value, key.type_))]
    body = concat(*parts, "]")
    return concat(sql.hex(body), sign(sql, body, secret))


def sign(sql: Sql, body: Text, secret: ColumnElement[Any]) -> Text:
    """The first digits of the SHA-256 of the secret and the body."""
    return func.substr(sql.signature(concat(secret, body)), 1, SIGNATURE)


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


def beyond(keys: Sequence[Key], nulls: Sequence[bool], slots: Slots, *, backward: bool) -> ColumnElement[bool]:
    """The condition for the rows after (or before) a cursor, whose values stand in the next slots.

    `nulls` says which of the cursor's keys have no value. The condition on the first key is repeated on its own, since
    databases look up a range in an index by it, but not by the alternatives.
    """
    values = [None if null else slots.take() for null in nulls]
    branches: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for key, index in zip(keys, values, strict=True):
        value = None if index is None else slots.param(index, key.type_)
        branches.append(and_(*equal, _further(key, value, backward=backward)))
        equal.append(key.value.is_(None) if value is None else key.value == value)
    first = keys[0]
    if values[0] is None or (first.nullable and not backward):
        return or_(*branches)
    value = slots.param(values[0], first.type_)
    bound = first.value <= value if first.descending != backward else first.value >= value
    return and_(bound, or_(*branches))


def _further(key: Key, value: ColumnElement[Any] | None, *, backward: bool) -> ColumnElement[bool]:
    if value is None:
        return key.value.is_not(None) if backward else false()
    further = key.value < value if key.descending != backward else key.value > value
    return or_(further, key.value.is_(None)) if key.nullable and not backward else further


@dataclass(frozen=True, slots=True)
class Page:
    """The shape of a list's arguments: filter, order, direction, and which of the cursors' keys are missing.

    `values` is how many values the list has in all.
    """

    where: Shape
    order: Shape
    backward: bool
    after: tuple[bool, ...] | None
    before: tuple[bool, ...] | None
    values: int


def page_size(arguments: Mapping[str, Any], path: Path, most: int = MAX_PAGE) -> tuple[int, bool]:
    """How many rows, and whether from the end. Neither `first` nor `last` means the first 50."""
    first, last = arguments.get("first"), arguments.get("last")
    if first is not None and last is not None:
        raise GradbookError(Code.INVALID_INPUT, "'first' and 'last' exclude each other: ask for one of them.", path)
    size, name = (last, "last") if last is not None else (DEFAULT_PAGE if first is None else first, "first")
    if not 0 <= size <= most:
        raise GradbookError(Code.LIMIT_EXCEEDED, f"'{name}' is {size}; it may be 0 to {most}.", (*path, name))
    return size, last is not None
