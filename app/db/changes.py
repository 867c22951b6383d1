"""The change cursor: numbers by which a reader asks "what changed since?" without missing a late commit.

A plain sequence is no cursor where several transactions write at once: the lower number may commit later, when readers
have gone past it. So a row that changes takes its transaction's number, `change_number()`, and readers take what lies
below `settled_horizon()`: every transaction with a lower number has ended, and later ones will get higher numbers.

| | `change_number()` | `settled_horizon()` |
|---|---|---|
| PostgreSQL | the transaction id | the lowest transaction id still running, in the whole cluster |
| SQLite | a counter, taken at most once in a write transaction | the counter's committed value plus one |

A cursor is "after n": read `changed >= n AND changed < horizon`, and go on from `horizon`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql import ColumnElement

from app.db.types import Base, Snowflake, Text

# A function of SQLite's writer connection; a statement that names it makes its unit of work take a number first.
SQLITE_CHANGE_NUMBER = "change_number()"
SQLITE_NEXT_CHANGE = (
    "INSERT INTO clock (name, value) VALUES ('change', 1)"
    " ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
)
POSTGRESQL_CHANGE_NUMBER = "pg_current_xact_id()::text::bigint"


class Clock(Base):
    """Counters that are taken within write transactions. On PostgreSQL the change counter is not used."""

    __tablename__ = "clock"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[int] = mapped_column(Snowflake)


class change_number(ColumnElement[int]):  # noqa: N801 - used like SQLAlchemy's functions
    """SQL for the number of this transaction's change; the same in all its statements."""

    inherit_cache = True
    type = BigInteger()


class settled_horizon(ColumnElement[int]):  # noqa: N801 - used like SQLAlchemy's functions
    """SQL for the lowest change number of which more may come: whatever lies below is there and stays there."""

    inherit_cache = True
    type = BigInteger()


@compiles(change_number, "postgresql")
def _postgresql_change_number(*_: Any, **__: Any) -> str:
    return POSTGRESQL_CHANGE_NUMBER


@compiles(change_number, "sqlite")
def _sqlite_change_number(*_: Any, **__: Any) -> str:
    return SQLITE_CHANGE_NUMBER


@compiles(settled_horizon, "postgresql")
def _postgresql_horizon(*_: Any, **__: Any) -> str:
    return "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


@compiles(settled_horizon, "sqlite")
def _sqlite_horizon(*_: Any, **__: Any) -> str:
    return "(coalesce((SELECT value FROM clock WHERE name = 'change'), 0) + 1)"
