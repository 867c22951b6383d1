"""What SQLite and PostgreSQL say differently. All of the engine's dialect branches stand here.

The answer's JSON is built as text by concatenation, the same way on both: `json_build_object` puts blanks in, takes
100 arguments and cannot be told from SQLite's output otherwise, and both databases must answer byte for byte alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from operator import itemgetter
from typing import Any, Protocol

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    Double,
    Integer,
    Select,
    String,
    and_,
    case,
    cast,
    column,
    exists,
    func,
    literal_column,
    not_,
    select,
    table,
    type_coerce,
)
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.sql.selectable import CTE, TableValuedAlias
from sqlalchemy.types import TypeEngine

from app.db.types import EnumText, Float, Instant, JsonText, Snowflake, json_text
from app.graphql.entity import Search
from app.graphql.json_path import JsonForm, JsonPath
from app.graphql.slots import Convert, Slots

Text = ColumnElement[str]

JSON_DIGITS = 18
"""Digits of the longest whole number in JSON that counts as one: what both databases hold exactly."""


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


def or_null(json: Text) -> Text:
    """JSON text, `null` where there is none."""
    return func.coalesce(json, literal("null"))


def truth(condition: ColumnElement[bool]) -> Text:
    """A condition as JSON; unknown is false."""
    return case((condition, literal("true")), else_=literal("false"))


class Sql(Protocol):
    """One database's way of saying it."""

    name: str
    lateral: bool

    def text(self, value: ColumnElement[Any]) -> Text:
        """A whole number, an enum's or a JSON value, as a part of a text."""

    def json(self, value: ColumnElement[Any], type_: TypeEngine[Any]) -> Text:
        """A value as JSON text; SQL NULL stays NULL, or becomes `null`."""

    def signature(self, text: Text) -> Text:
        """SHA-256 of a text, in hex."""

    def hex(self, text: Text) -> Text:
        """The UTF-8 bytes of a text in lower-case hex."""

    def position(self, text: Text, part: Text) -> ColumnElement[int]:
        """Where the part begins in the text, from 1; 0 where it does not stand."""

    def joined(self, rows: CTE, texts: Sequence[str], order: Sequence[ColumnElement[Any]]) -> Select[Any]:
        """One row per `parent`: each of the named text columns of its rows, joined by commas in the given order."""

    def json_value(self, column: ColumnElement[Any], form: JsonForm, path: int, slots: Slots, kind: str) -> Any:
        """The value at a path of a JSON column if it is of the kind, else NULL.

        Kinds are float (any number), int (a number written without fraction and exponent, of at most 18 digits), text
        and bool. `path` is the index of the path's value.
        """

    def json_is_null(self, column: ColumnElement[Any], form: JsonForm, path: int, slots: Slots) -> Any:
        """Whether there is nothing, or a JSON null, at a path."""

    def holds(self, text: ColumnElement[Any], slots: Slots, terms: int) -> ColumnElement[bool]:
        """Whether a text of terms, with one blank between, has each of the terms that are the value at this index."""

    def texts(self, column: ColumnElement[Any]) -> TableValuedAlias:
        """The texts of a list in JSON, as rows with a `value`."""

    def hits(
        self, search: Search, slots: Slots, terms: int, parent: ColumnElement[Any], correlated: CTE
    ) -> Select[Any]:
        """The ids of the rows within `parent` that have the terms, by the full-text index."""


def _plain_json(sql: Sql, value: ColumnElement[Any], type_: TypeEngine[Any]) -> Text | None:
    """The kinds of value that both databases print the same way."""
    if isinstance(type_, EnumText):
        return concat('"', sql.text(value), '"')
    if isinstance(type_, Boolean):
        return case((value.is_(None), None), (value, literal("true")), else_=literal("false"))
    if isinstance(type_, Integer | Snowflake | JsonText):
        return sql.text(value)
    return None


class SqliteSql:
    """SQLite 3.38 or later."""

    name = "sqlite"
    lateral = False

    def text(self, value: ColumnElement[Any]) -> Text:
        return type_coerce(value, SqlText)  # `||` makes a text of anything

    def json(self, value: ColumnElement[Any], type_: TypeEngine[Any]) -> Text:
        plain = _plain_json(self, value, type_)
        if plain is not None:
            return plain
        if isinstance(type_, Instant):
            return concat('"', type_coerce(value, SqlText), '"')
        if isinstance(type_, Float | Double):
            return func.float_text(value, type_=SqlText())
        return func.json_quote(value, type_=SqlText())  # of NULL: 'null'

    def signature(self, text: Text) -> Text:
        return func.sha256_hex(text, type_=SqlText())

    def hex(self, text: Text) -> Text:
        return func.lower(func.hex(text), type_=SqlText())

    def position(self, text: Text, part: Text) -> ColumnElement[int]:
        return func.instr(text, part, type_=Integer())

    def joined(self, rows: CTE, texts: Sequence[str], order: Sequence[ColumnElement[Any]]) -> Select[Any]:
        # SQLite 3.40 knows no ORDER BY inside an aggregate. It keeps a subquery's order for aggregates that depend on
        # it, and its sorter is stable, so grouping by the parent afterwards keeps the order within a group.
        source = select(rows.c.parent, *(rows.c[name] for name in texts)).order_by(rows.c.parent, *order).subquery()
        columns = [func.group_concat(source.c[name], literal(","), type_=SqlText()).label(name) for name in texts]
        return select(source.c.parent, *columns).group_by(source.c.parent)

    def json_value(self, column: ColumnElement[Any], form: JsonForm, path: int, slots: Slots, kind: str) -> Any:
        def at() -> ColumnElement[Any]:
            return slots.param(path, String(), _sqlite_path)

        found, type_ = func.json_extract(column, at()), func.json_type(column, at())
        match kind:
            case "float":
                return case((type_.in_([literal("integer"), literal("real")]), cast(found, Double)))
            case "int":
                most = literal_column("9" * JSON_DIGITS, Snowflake())
                return case((and_(type_ == literal("integer"), found.between(-most, most)), found))
            case "text":
                return case((type_ == literal("text"), found))
        return case((type_.in_([literal("true"), literal("false")]), found))

    def json_is_null(self, column: ColumnElement[Any], form: JsonForm, path: int, slots: Slots) -> Any:
        kind = func.json_type(column, slots.param(path, String(), _sqlite_path))
        return func.coalesce(kind, literal("null")) == literal("null")

    def holds(self, text: ColumnElement[Any], slots: Slots, terms: int) -> ColumnElement[bool]:
        each = func.json_each(slots.param(terms, SqlText(), _padded_json)).table_valued("value")
        missing = func.instr(concat(" ", text, " "), each.c.value) == 0
        return not_(exists(select(literal_column("1")).select_from(each).where(missing)))

    def texts(self, column: ColumnElement[Any]) -> TableValuedAlias:
        return func.json_each(column).table_valued("value")

    def hits(
        self, search: Search, slots: Slots, terms: int, parent: ColumnElement[Any], correlated: CTE
    ) -> Select[Any]:
        wanted = concat('"@', self.text(parent), '" ', slots.param(terms, SqlText(), _fts_query))
        index = table(search.index, column("rowid", Snowflake()), column(search.index)).alias()
        matches = index.c[search.index].op("MATCH")(wanted)
        return select(index.c.rowid.label("id")).where(matches).correlate(correlated)


class PostgresSql:
    """PostgreSQL 15 or later."""

    name = "postgresql"
    lateral = True

    def text(self, value: ColumnElement[Any]) -> Text:
        return cast(value, SqlText)

    def json(self, value: ColumnElement[Any], type_: TypeEngine[Any]) -> Text:
        plain = _plain_json(self, value, type_)
        if plain is not None:
            return plain
        if isinstance(type_, Instant):
            utc = func.timezone(literal("UTC"), value)
            return concat('"', func.to_char(utc, literal('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), type_=SqlText()), '"')
        if isinstance(type_, Float | Double):
            text = self.text(value)
            odd = text.in_([literal("NaN"), literal("Infinity"), literal("-Infinity")])
            return case((odd, concat('"', text, '"')), else_=text)
        return cast(func.to_json(value), SqlText)

    def signature(self, text: Text) -> Text:
        return func.encode(func.sha256(func.convert_to(text, literal("UTF8"))), literal("hex"), type_=SqlText())

    def hex(self, text: Text) -> Text:
        return func.encode(func.convert_to(text, literal("UTF8")), literal("hex"), type_=SqlText())

    def position(self, text: Text, part: Text) -> ColumnElement[int]:
        return func.strpos(text, part, type_=Integer())

    def joined(self, rows: CTE, texts: Sequence[str], order: Sequence[ColumnElement[Any]]) -> Select[Any]:
        columns = [func.string_agg(rows.c[name], literal(",")).aggregate_order_by(*order).label(name) for name in texts]
        return select(rows.c.parent, *columns).group_by(rows.c.parent)

    def json_value(self, column: ColumnElement[Any], form: JsonForm, path: int, slots: Slots, kind: str) -> Any:
        # The first character of a value's JSON tells its type, and what is not a text is its own JSON.
        found = self._at(column, form, path, slots)
        json = cast(found, SqlText)
        match kind:
            case "float":
                return case((_matches(json, "^[-0-9]"), cast(json, Double)))
            case "int":
                return case((_matches(json, f"^-?[0-9]{{1,{JSON_DIGITS}}}$"), cast(json, Snowflake)))
            case "text":
                text = found.op("#>>", return_type=SqlText())(literal("{}"))
                return case((_matches(json, '^"'), text.collate("C")))
        return case((json.in_([literal("true"), literal("false")]), cast(json, Boolean)))

    def json_is_null(self, column: ColumnElement[Any], form: JsonForm, path: int, slots: Slots) -> Any:
        json = cast(self._at(column, form, path, slots), SqlText)
        return func.coalesce(json, literal("null")) == literal("null")

    def holds(self, text: ColumnElement[Any], slots: Slots, terms: int) -> ColumnElement[bool]:
        patterns = slots.param(terms, ARRAY(SqlText()), _patterns)
        return concat(" ", text, " ").op("LIKE", return_type=Boolean())(func.all(cast(patterns, ARRAY(SqlText()))))

    def texts(self, column: ColumnElement[Any]) -> TableValuedAlias:
        return func.json_array_elements_text(column).table_valued("value")

    def hits(
        self, search: Search, slots: Slots, terms: int, parent: ColumnElement[Any], correlated: CTE
    ) -> Select[Any]:
        mark = concat("@", self.text(parent), ":")
        wanted = concat(
            "'", mark, func.replace(slots.param(terms, SqlText(), " ".join), literal(" "), concat("' & '", mark)), "'"
        )
        texts = search.table.alias()
        stored, blank = texts.c[search.text], literal(" ")
        first = func.split_part(stored, blank, literal_column("1"), type_=SqlText())
        marked = func.replace(stored, blank, concat(" ", first, func.chr(literal_column("58"), type_=SqlText())))
        vector = func.array_to_tsvector(func.string_to_array(marked, blank))
        matches = vector.op("@@", return_type=Boolean())(cast(wanted, TSQUERY()))
        ids = select(texts.c[search.key].label("id")).where(matches).correlate(correlated)
        return ids.offset(literal_column("0", Integer()))  # else the planner may walk all rows in order

    @staticmethod
    def _at(column: ColumnElement[Any], form: JsonForm, path: int, slots: Slots) -> ColumnElement[Any]:
        found: ColumnElement[Any] = column
        for depth, kind in enumerate(form):
            type_: TypeEngine[Any] = Integer() if kind is int else SqlText()
            found = found.op("->", return_type=JsonText())(slots.param(path, type_, _step(depth)))
        return found


SQL: dict[str, Sql] = {"sqlite": SqliteSql(), "postgresql": PostgresSql()}


def _sqlite_path(path: JsonPath) -> str:
    """`("a", 0)` as SQLite writes it: `$."a"[0]`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f'."{part}"' for part in path)


def _matches(text: Text, pattern: str) -> ColumnElement[bool]:
    return text.op("~", return_type=Boolean())(literal(pattern))


def _fts_query(terms: Sequence[str]) -> str:
    return " ".join(f'"{term}"' for term in terms)


def _padded_json(terms: Sequence[str]) -> str:
    return json_text([f" {term} " for term in terms])


def _patterns(terms: Sequence[str]) -> list[str]:
    return [f"% {term} %" for term in terms]


@cache
def _step(depth: int) -> Convert:
    return itemgetter(depth)
