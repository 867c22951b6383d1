"""What training's columns write differently on SQLite and PostgreSQL: all of it is here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, case, cast, func, literal_column, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from app.annotation.sql import POSTGRESQL
from app.db.types import Float, Text
from app.graphql.entity import Expression


def listed(dialect_name: str, parameter: str) -> str:
    """`name {listed(...)}`: is one of the texts in the parameter, a JSON list."""
    if dialect_name == POSTGRESQL:
        return f"IN (SELECT json_array_elements_text(CAST(:{parameter} AS json)))"
    return f"IN (SELECT value FROM json_each(:{parameter}))"


class seconds_between(ColumnElement[float]):  # noqa: N801 - used like SQLAlchemy's functions
    """Seconds from one Instant to another, to the microsecond; up to now where there is no other. Never below 0.

    NULL where there is no first.
    """

    type = Float()
    inherit_cache = False

    def __init__(self, start: ColumnElement[Any], end: ColumnElement[Any]) -> None:
        self.start = start
        self.end = end


@compiles(seconds_between, "postgresql")
def _postgresql_seconds(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start, end = compiler.process(element.start, **kw), compiler.process(element.end, **kw)
    # The time of the statement, not of its transaction, in which the task may have begun.
    seconds = f"EXTRACT(EPOCH FROM coalesce({end}, statement_timestamp()) - {start})"
    return f"CASE WHEN {start} IS NOT NULL THEN CAST(greatest({seconds}, 0) AS double precision) END"


@compiles(seconds_between, "sqlite")
def _sqlite_seconds(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    start = compiler.process(element.start, **kw)
    # An Instant has six digits behind its seconds, SQLite's clock three.
    end = f"coalesce({compiler.process(element.end, **kw)}, strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))"
    # Without their fractions, which strftime would round.
    whole = f"(strftime('%s', substr({end}, 1, 19)) - strftime('%s', substr({start}, 1, 19))) * 1000000"
    rest = f"CAST(substr({end}, 21, 6) AS INTEGER) - CAST(substr({start}, 21, 6) AS INTEGER)"
    return f"CASE WHEN {start} IS NOT NULL THEN max({whole} + {rest}, 0) / 1000000.0 END"


def duration(task: FromClause) -> ColumnElement[float]:
    """How long a task ran, in seconds; of a running one, so far."""
    return seconds_between(task.c.start_time, task.c.end_time)


def cost(task: FromClause) -> ColumnElement[float]:
    """The hours that a task ran times its hourly cost; of a running one, so far."""
    # Of a product the type is SQLAlchemy's, on which no condition is offered.
    return type_coerce(duration(task) / literal_column("3600.0", Float()) * task.c.hourly_cost, Float())


def progress(task: FromClause) -> ColumnElement[float]:
    """The share of its steps that a task has done, from 0 to 1, as far as it said."""
    share = cast(task.c.step, Float()) / cast(task.c.total_steps, Float())
    return case((task.c.step >= task.c.total_steps, literal_column("1.0", Float())), else_=share)


ORDERED = 100
"""Characters of long texts that tasks are ordered by: cursors hold them."""


class _stored_json(ColumnElement[str]):  # noqa: N801 - used like SQLAlchemy's functions
    """JSON as the text that it is stored as."""

    type = Text()
    inherit_cache = False

    def __init__(self, column: ColumnElement[Any]) -> None:
        self.column = column


@compiles(_stored_json, "postgresql")
def _postgresql_json(element: _stored_json, compiler: SQLCompiler, **kw: Any) -> str:
    return f'CAST({compiler.process(element.column, **kw)} AS text) COLLATE "C"'


@compiles(_stored_json, "sqlite")
def _sqlite_json(element: _stored_json, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.column, **kw)


def beginning(column: str) -> Expression:
    """The first characters of a long text, by which tasks are ordered."""
    return lambda task: func.substr(task.c[column], 1, ORDERED, type_=Text())


def in_order(column: str) -> Expression:
    """The first characters of a list of texts as JSON, by which tasks are ordered: by the first text, then the next."""
    return lambda task: func.substr(_stored_json(task.c[column]), 1, ORDERED, type_=Text())
