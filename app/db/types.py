"""The declarative base and the column types, each with one definition per database.

The types are also the door to the drivers: `to_driver` gives what the raw driver of a database takes for a value, for
statements that are executed as text (see `app.db.statement`).
"""

from __future__ import annotations

import datetime
import enum
import math
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    type_coerce,
)
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.asyncpg import AsyncpgString
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType
from typing_extensions import override

from app.errors import Code, GradbookError

# `ck` names are given by us; the others follow from the columns, so that a migration can name what it alters.
NAMING_CONVENTION = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}

_FIRST = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)


class Snowflake(TypeDecorator[int]):
    """A 64-bit id: BIGINT; on SQLite INTEGER, so that a primary key is the rowid."""

    impl = BigInteger
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())


class Text(TypeDecorator[str]):
    """Unicode text of any length that compares and orders bytewise. NUL characters are refused."""

    impl = SqlText
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _bytewise(dialect)

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None else checked_text(value)


class Instant(TypeDecorator[datetime.datetime]):
    """A point in time, in Python always an aware datetime in UTC; on SQLite `YYYY-MM-DDTHH:MM:SS.ffffffZ`."""

    impl = SqlText
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(SqlText())

    @override
    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        return checked_instant(value) if dialect.name == "postgresql" else instant_text(value)

    @override
    def process_result_value(self, value: Any, dialect: Dialect) -> datetime.datetime | None:
        if isinstance(value, str):
            return datetime.datetime.fromisoformat(value)
        return None if value is None else value.astimezone(datetime.UTC)


class JsonText(TypeDecorator[Any]):
    """A JSON value, stored compact with its keys in order: `json` on PostgreSQL, TEXT on SQLite.

    Non-finite numbers become the strings "NaN", "Infinity" and "-Infinity". Python's None is SQL's NULL.
    """

    impl = SqlText
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_PostgresJson() if dialect.name == "postgresql" else SqlText())

    @override
    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json_text(value)

    @override
    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)


class TextList(JsonText):
    """A list of texts, stored as JSON."""

    cache_ok = True


class Float(TypeDecorator[float]):
    """A double. NaN is refused, for SQLite would store NULL in its place."""

    impl = Double
    cache_ok = True

    @override
    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        if value is not None and math.isnan(value):
            raise ValueError("A number column cannot hold NaN: store NULL, and beside it why there is no number.")
        # SQLite keeps no sign of zero, so nobody does.
        return value if value is None else value + 0.0


class EnumText(TypeDecorator[enum.Enum]):
    """A member of a Python enum, stored as its name (which is its GraphQL name) and guarded by a CHECK constraint."""

    impl = SqlText
    cache_ok = True

    def __init__(self, members: type[enum.Enum]) -> None:
        super().__init__()
        self.members = members

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _bytewise(dialect)

    @override
    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        return self

    @override
    def process_bind_param(self, value: enum.Enum | str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if isinstance(value, self.members):
            return value.name
        if value in self.members.__members__:
            return str(value)
        raise ValueError(f"{value!r} is no {self.members.__name__}; allowed are {', '.join(self.members.__members__)}.")

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> enum.Enum | None:
        return None if value is None else self.members[value]

    def check(self, column: Column[Any]) -> CheckConstraint:
        """The constraint that allows the members' names and nothing else."""
        return CheckConstraint(type_coerce(column, String()).in_(list(self.members.__members__)), name=column.name)


class _PostgresText(AsyncpgString):
    """PostgreSQL's `text`, which the asyncpg dialect would make a `varchar`."""

    __visit_name__ = "TEXT"


def _bytewise(dialect: Dialect) -> TypeEngine[Any]:
    # SQLite's own collation, BINARY, is bytewise.
    return dialect.type_descriptor(_PostgresText(collation="C") if dialect.name == "postgresql" else SqlText())


class _PostgresJson(UserDefinedType[str]):
    """PostgreSQL's `json`, in and out as text."""

    cache_ok = True
    render_bind_cast = True

    @override
    def get_col_spec(self, **_: Any) -> str:
        return "JSON"


class Base(DeclarativeBase):
    """The base of every table: named constraints, no ids drawn by the database, CHECKs for enums."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        table = cls.__dict__.get("__table__")
        if not isinstance(table, Table):  # an abstract base
            return
        for column in table.columns:
            if isinstance(column.type, Snowflake) and column.primary_key:
                column.autoincrement = False
            if isinstance(column.type, EnumText):
                table.append_constraint(column.type.check(column))


def json_text(value: Any) -> str:
    """A value as compact JSON, keys in order; non-finite numbers as strings. Raises TypeError for what is not JSON."""
    return orjson.dumps(_finite(value)).decode()


def _finite(value: Any) -> Any:
    # A value without odd numbers comes back as it is: the common case copies nothing.
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        finite = {key: _finite(item) for key, item in value.items()}
        return value if all(finite[key] is item for key, item in value.items()) else finite
    if isinstance(value, list | tuple):
        items = [_finite(item) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    return value


class UnstorableTextError(GradbookError, ValueError, DontWrapMixin):
    """A text that databases cannot hold, wherever it is noticed: at the latest on its way into a statement."""


def checked_text(value: str) -> str:
    """The text itself, if the databases can hold it. PostgreSQL has no NUL, and SQLite's functions stop at one.

    Raises UnstorableTextError, which is INVALID_INPUT.
    """
    at = value.find("\0")
    if at >= 0:
        shown = value if len(value) <= 40 else f"{value[: max(at, 1)][:40]}…"
        message = f"Text cannot hold NUL characters (U+0000); {shown!r} has one at position {at}: remove it."
        raise UnstorableTextError(Code.INVALID_INPUT, message)
    return value


def checked_instant(value: datetime.datetime) -> datetime.datetime:
    """The instant in UTC, if it says where it is: a naive one could mean any of 25 hours."""
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone: use an aware datetime, such as datetime.now(UTC).")
    try:
        utc = value.astimezone(datetime.UTC)
    except OverflowError:
        utc = _FIRST
    if not _FIRST < utc < _LAST:  # these two mean infinity to PostgreSQL's driver
        raise ValueError(f"{value.isoformat()} is no instant within the years 1 to 9999 in UTC.")
    return utc


def instant_text(value: datetime.datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SS.ffffffZ`: ordering the texts orders the instants."""
    return checked_instant(value).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def to_driver(dialect: Dialect, type_: TypeEngine[Any], value: Any) -> Any:
    """What the raw driver of `dialect` takes for a value of this column type."""
    process = type_.dialect_impl(dialect).bind_processor(dialect)
    return value if process is None else process(value)
