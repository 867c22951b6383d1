"""What annotation's statements write differently on SQLite and PostgreSQL: all of it is here.

Sets go into a statement as one parameter, whatever their number: `:rows` is a JSON list of objects, `:ids` a list of
ids. Values are JSON already when they are stored, so inside `:rows` they are strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import ARRAY, BigInteger, BindParameter, ColumnElement, Dialect, bindparam, text
from sqlalchemy import Text as SqlText
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import Boolean, NullType, TypeDecorator, TypeEngine
from typing_extensions import override

from app.db.changes import POSTGRESQL_CHANGE_NUMBER, SQLITE_CHANGE_NUMBER
from app.db.statement import Statement
from app.db.types import Instant, Snowflake, json_text

POSTGRESQL = "postgresql"
SQLITE = "sqlite"

# Never FOR UPDATE: a response that is being inserted holds KEY SHARE on its record by the foreign key, and would
# deadlock with it. SQLite's one writer needs no locks.
LOCK = {POSTGRESQL: "FOR NO KEY UPDATE", SQLITE: ""}

# The transaction's number, for `record.changed`.
CHANGE = {POSTGRESQL: POSTGRESQL_CHANGE_NUMBER, SQLITE: SQLITE_CHANGE_NUMBER}

# `record.id {IDS}`: is one of `:ids`.
IDS = {POSTGRESQL: "= ANY(CAST(:ids AS bigint[]))", SQLITE: "IN (SELECT value FROM json_each(:ids))"}

# Joins `rows` with a table, for SQLite in this order: else it may read all the rows anew for every stored record.
JOIN = {POSTGRESQL: "JOIN", SQLITE: "CROSS JOIN"}

# The answers of a row of `response`, one by one: `answer.key` is the question's name.
EACH_ANSWER = {
    POSTGRESQL: 'json_each(response."values") AS answer(key, value)',
    SQLITE: 'json_each(response."values") AS answer',
}
# An answer as JSON text, the same on both.
ANSWER_VALUE = {
    POSTGRESQL: "CAST(answer.value AS text)",
    SQLITE: "CASE WHEN answer.type IN ('array', 'object') THEN answer.value ELSE json_quote(answer.value) END",
}
# Joins texts, as an aggregate and over a window.
JOINED = {POSTGRESQL: "string_agg", SQLITE: "group_concat"}

# Lists of one dataset's questions and fields as JSON, for `parse_questions` and `parse_fields`.
_QUESTIONS = {
    POSTGRESQL: "CAST(json_agg(json_build_array(position, name, required, type, settings)) AS text)",
    SQLITE: "json_group_array(json_array(position, name, required, type, json(settings)))",
}
_FIELDS = {
    POSTGRESQL: "CAST(json_agg(json_build_array(position, name, required, type)) AS text)",
    SQLITE: "json_group_array(json_array(position, name, required, type))",
}


class IdList(TypeDecorator[Sequence[int]]):
    """The parameter `:ids`: an array on PostgreSQL, JSON on SQLite."""

    impl = SqlText
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(BigInteger()) if dialect.name == POSTGRESQL else SqlText())

    @override
    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> Any:
        return list(value or ()) if dialect.name == POSTGRESQL else json_text(list(value or ()))


class among_ids(ColumnElement[bool]):  # noqa: N801 - used like SQLAlchemy's functions
    """For Core statements: the column's value is one of these ids, or of the parameter `ids`."""

    type = Boolean()
    inherit_cache = False

    def __init__(self, column: ColumnElement[int], ids: Sequence[int] | None = None) -> None:
        self.column = column
        self.ids: BindParameter[Sequence[int]] = (
            bindparam("ids", type_=IdList()) if ids is None else bindparam("ids", ids, IdList(), unique=True)
        )


class questions_text(ColumnElement[str]):  # noqa: N801 - used like SQLAlchemy's functions
    """For Core statements: the questions of the row of `dataset`, as `parse_questions` takes them."""

    type = SqlText()
    inherit_cache = False


class fields_text(ColumnElement[str]):  # noqa: N801 - used like SQLAlchemy's functions
    """For Core statements: the fields of the row of `dataset`, as `parse_fields` takes them."""

    type = SqlText()
    inherit_cache = False


class dataset_turn(ColumnElement[Any]):  # noqa: N801 - used like SQLAlchemy's functions
    """For Core statements: waits until no other transaction has the turn of the row of `dataset`, and takes it.

    It is no lock of the row, so nobody waits who does not ask for the turn. SQLite's one writer has it anyway.
    """

    type = NullType()
    inherit_cache = False


@compiles(among_ids)
def _among_ids(element: among_ids, compiler: SQLCompiler, **kw: Any) -> str:
    ids = IDS[compiler.dialect.name].replace(":ids", compiler.process(element.ids, **kw))
    return f"{compiler.process(element.column, **kw)} {ids}"


@compiles(questions_text)
def _questions_text(_: questions_text, compiler: SQLCompiler, **__: Any) -> str:
    return f"(SELECT {_QUESTIONS[compiler.dialect.name]} FROM question WHERE question.dataset_id = dataset.id)"


@compiles(fields_text)
def _fields_text(_: fields_text, compiler: SQLCompiler, **__: Any) -> str:
    return f"(SELECT {_FIELDS[compiler.dialect.name]} FROM field WHERE field.dataset_id = dataset.id)"


@compiles(dataset_turn)
def _dataset_turn(_: dataset_turn, compiler: SQLCompiler, **__: Any) -> str:
    return "pg_advisory_xact_lock(dataset.id)" if compiler.dialect.name == POSTGRESQL else "dataset.id"


def status(submitted: str, required: str) -> str:
    """The rule, wherever a statement sets a status. The only other place is `verify.expected`, which checks it."""
    return f"CASE WHEN {submitted} >= {required} THEN 'COMPLETED' ELSE 'PENDING' END"


def rows_json(items: Sequence[Mapping[str, Any]]) -> str:
    """The parameter `:rows`; no number in it is NaN or infinite."""
    return orjson.dumps(items).decode()


def as_json(dialect_name: str, text_value: str) -> str:
    """JSON in a text, as a JSON column takes it."""
    return f"CAST({text_value} AS json)" if dialect_name == POSTGRESQL else text_value


def rows(dialect_name: str, columns: Mapping[str, str]) -> str:
    """A FROM item `rows` with the objects of the parameter `:rows`; columns map to their PostgreSQL types."""
    if dialect_name == POSTGRESQL:
        typed = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
        return f"json_to_recordset(CAST(:rows AS json)) AS rows({typed})"
    extracted = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in columns)
    return f"(SELECT {extracted} FROM json_each(:rows)) AS rows"


_PARAMETERS: dict[str, TypeEngine[Any]] = {"ids": IdList(), "now": Instant(), "until": Instant()}


def statement(sql: str) -> Statement:
    """Text as a statement; its parameters `now`, `until` and `ids` take datetimes and a list."""
    clause = text(sql)
    shared = [bindparam(name, type_=type_) for name, type_ in _PARAMETERS.items() if f":{name}" in sql]
    ids = [bindparam(name, type_=Snowflake()) for name in clause._bindparams if name.endswith("_id")]
    return Statement(clause.bindparams(*shared, *ids))
