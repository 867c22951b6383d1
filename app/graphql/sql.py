"""What SQLite and PostgreSQL say differently. All of the engine's dialect branches stand here.

The answer's JSON is built as text by concatenation, the same way on both: `json_build_object` puts blanks in, takes
100 arguments and cannot be told from SQLite's output otherwise, and both databases must answer byte for byte alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Protocol

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    Integer,
    Numeric,
    String,
    Subquery,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy import Text as SqlText
from sqlalchemy.sql.selectable import CTE, FromClause
from sqlalchemy.types import TypeEngine

from app.db.types import EnumText, Float, Instant, JsonText, Snowflake
from app.graphql.slots import Slots

Text = ColumnElement[str]
NULL_JSON = literal_column("'null'", SqlText())

JsonPath = tuple[str | int, ...]
"""Keys of objects and indexes of arrays, from the outside in."""


def literal(text: str) -> Text:
    """A constant of the statement's own (never a caller's value)."""
    escaped = text.replace("'", "''")
    return literal_column(f"'{escaped}'", SqlText())


def concat(*parts: Text | str) -> Text:
    """The parts joined; neighbouring constants become one."""
    joined: list[Text | str] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return _balanced([literal(part) if isinstance(part, str) else part for part in joined])


def _balanced(parts: Sequence[Text]) -> Text:
    # A flat chain of n parts is an expression n deep, of which SQLite takes 1,000.
    if len(parts) <= 4:
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.op("||", return_type=SqlText())(part)
        return whole
    half = len(parts) // 2
    return _balanced(parts[:half]).op("||", return_type=SqlText())(_balanced(parts[half:]))


def as_text(value: ColumnElement[Any]) -> Text:
    """A number's decimal digits."""
    return cast(value, SqlText)


def not_null(json: Text) -> Text:
    """JSON text, `null` where there is none."""
    return func.coalesce(json, NULL_JSON)


class Sql(Protocol):
    """One database's way of saying it."""

    name: str
    lateral: bool

    def json(self, value: ColumnElement[Any], type_: TypeEngine[Any]) -> Text:
        """A value as JSON text; SQL NULL stays NULL."""

    def signature(self, text: Text) -> Text:
        """SHA-256 of a text, in hex."""

    def hex(self, text: Text) -> Text:
        """The UTF-8 bytes of a text in lower-case hex."""

    def position(self, text: Text, part: Text) -> ColumnElement[int]:
        """Where the part begins in the text, from 1; 0 where it does not stand."""

    def joined(self, text: Text, rows: CTE, *, backward: bool) -> Text:
        """The aggregate that joins the texts of a group's rows by commas, in the order of the column `n`."""

    def in_order(self, rows: CTE, *, backward: bool) -> FromClause:
        """What to select from, so that `joined` sees the rows in order."""

    def json_value(self, column: ColumnElement[Any], path: int, slots: Slots, value: JsonPath, kind: str) -> Any:
        """The value at a path of a JSON column if it is of the kind, else NULL.

        Kinds are float (any number), int (a number written without fraction and exponent), text and bool.
        """

    def json_is_null(self, column: ColumnElement[Any], path: int, slots: Slots, value: JsonPath) -> Any:
        """Whether there is nothing, or a JSON null, at a path."""


def _plain_json(value: ColumnElement[Any], type_: TypeEngine[Any]) -> Text | None:
    """The kinds of value that both databases print the same way."""
    if isinstance(type_, JsonText):
        return cast(value, SqlText)
    if isinstance(type_, EnumText):
        return concat('"', cast(value, SqlText), '"')
    if isinstance(type_, Boolean):
        return case((value.is_(None), None), (value, literal("true")), else_=literal("false"))
    if isinstance(type_, Integer | Snowflake):
        return as_text(value)
    return None


class SqliteSql:
    """SQLite 3.38 or later."""

    name = "sqlite"
    lateral = False

    def json(self, value: ColumnElement[Any], type_: TypeEngine[Any]) -> Text:
        plain = _plain_json(value, type_)
        if plain is not None:
            return plain
        if isinstance(type_, Instant):
            return concat('"', cast(value, SqlText), '"')
        if isinstance(type_, Float | Double):
            return func.float_text(value, type_=SqlText())
        return case((value.is_not(None), func.json_quote(value, type_=SqlText())))

    def signature(self, text: Text) -> Text:
        return func.sha256_hex(text, type_=SqlText())

    def hex(self, text: Text) -> Text:
        return func.lower(func.hex(text), type_=SqlText())

    def position(self, text: Text, part: Text) -> ColumnElement[int]:
        return func.instr(text, part, type_=Integer())

    def joined(self, text: Text, rows: CTE, *, backward: bool) -> Text:
        return func.group_concat(text, literal(","), type_=SqlText())

    def in_order(self, rows: CTE, *, backward: bool) -> Subquery:
        # SQLite 3.40 knows no ORDER BY inside an aggregate. It keeps a subquery's order for aggregates that depend on
        # it, and its sorter is stable, so grouping by the parent afterwards keeps the order within a group.
        n = rows.c.n.desc() if backward else rows.c.n
        return select(rows).order_by(rows.c.parent, n).subquery()

    def json_value(self, column: ColumnElement[Any], path: int, slots: Slots, value: JsonPath, kind: str) -> Any:
        def at() -> ColumnElement[Any]:
            return slots.param(path, String(), _sqlite_path)

        found = func.json_extract(column, at())
        types = {"int": ("integer",), "float": ("integer", "real"), "text": ("text",), "bool": ("true", "false")}
        names = [literal(name) for name in types[kind]]
        typed = cast(found, Double) if kind == "float" else found
        return case((func.json_type(column, at()).in_(names), typed))

    def json_is_null(self, column: ColumnElement[Any], path: int, slots: Slots, value: JsonPath) -> Any:
        kind = func.json_type(column, slots.param(path, String(), _sqlite_path))
        return func.coalesce(kind, literal("null")) == literal("null")


class PostgresSql:
    """PostgreSQL 15 or later."""

    name = "postgresql"
    lateral = True

    def json(self, value: ColumnElement[Any], type_: TypeEngine[Any]) -> Text:
        plain = _plain_json(value, type_)
        if plain is not None:
            return plain
        if isinstance(type_, Instant):
            utc = func.timezone(literal("UTC"), value)
            return concat('"', func.to_char(utc, literal('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), type_=SqlText()), '"')
        if isinstance(type_, Float | Double):
            text = as_text(value)
            return case(
                (text.in_([literal("NaN"), literal("Infinity"), literal("-Infinity")]), concat('"', text, '"')),
                else_=text,
            )
        return cast(func.to_json(value), SqlText)

    def signature(self, text: Text) -> Text:
        return func.encode(func.sha256(func.convert_to(text, literal("UTF8"))), literal("hex"), type_=SqlText())

    def hex(self, text: Text) -> Text:
        return func.encode(func.convert_to(text, literal("UTF8")), literal("hex"), type_=SqlText())

    def position(self, text: Text, part: Text) -> ColumnElement[int]:
        return func.strpos(text, part, type_=Integer())

    def joined(self, text: Text, rows: CTE, *, backward: bool) -> Text:
        order = rows.c.n.desc() if backward else rows.c.n
        return func.string_agg(text, literal(",")).aggregate_order_by(order)

    def in_order(self, rows: CTE, *, backward: bool) -> CTE:
        return rows

    def json_value(self, column: ColumnElement[Any], path: int, slots: Slots, value: JsonPath, kind: str) -> Any:
        found = self._at(column, path, slots, value)
        names = {"int": "number", "float": "number", "text": "string", "bool": "boolean"}
        types: dict[str, TypeEngine[Any]] = {"int": Numeric(), "float": Double(), "text": SqlText(), "bool": Boolean()}
        bare = found.op("#>>", return_type=SqlText())(literal_column("'{}'"))
        typed = bare.collate("C") if kind == "text" else cast(bare, types[kind])
        is_kind = func.json_typeof(found) == literal(names[kind])
        if kind == "int":
            return case((bare.op("~", return_type=Boolean())(literal("^-?[0-9]+$")) & is_kind, typed))
        return case((is_kind, typed))

    def json_is_null(self, column: ColumnElement[Any], path: int, slots: Slots, value: JsonPath) -> Any:
        return func.coalesce(func.json_typeof(self._at(column, path, slots, value)), literal("null")) == literal("null")

    @staticmethod
    def _at(column: ColumnElement[Any], path: int, slots: Slots, value: JsonPath) -> ColumnElement[Any]:
        found: ColumnElement[Any] = column
        for depth, part in enumerate(value):
            type_: TypeEngine[Any] = Integer() if isinstance(part, int) else SqlText()
            found = found.op("->", return_type=JsonText())(slots.param(path, type_, itemgetter(depth)))
        return found


SQL: dict[str, Sql] = {"sqlite": SqliteSql(), "postgresql": PostgresSql()}


def _sqlite_path(path: Sequence[str | int]) -> str:
    """`("a", 0)` as SQLite writes it: `$."a"[0]`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f'."{part}"' for part in path)
