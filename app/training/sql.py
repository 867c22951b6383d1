"""What training's columns write differently on SQLite and PostgreSQL: all of it is here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, case, cast, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from app.annotation.sql import POSTGRESQL
from app.db.types import Float


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
    return duration(task) / literal_column("3600.0", Float()) * task.c.hourly_cost


def progress(task: FromClause) -> ColumnElement[float]:
    """The share of its steps that a task has done, from 0 to 1, as far as it said."""
    share = cast(task.c.step, Float()) / cast(task.c.total_steps, Float())
    return case((task.c.step >= task.c.total_steps, literal_column("1.0", Float())), else_=share)
