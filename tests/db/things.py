"""A table of the tests' own, with a column of every type, outside the product's metadata."""

from __future__ import annotations

import datetime
import enum
from typing import Any

from sqlalchemy import Boolean, ForeignKey, Integer, MetaData
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Database, UnitOfWork
from app.db.types import NAMING_CONVENTION, Base, EnumText, Float, Instant, JsonText, Snowflake, Text


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class TestBase(Base):
    __abstract__ = True
    __test__ = False
    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class Thing(TestBase):
    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    name: Mapped[str | None] = mapped_column(Text, unique=True)
    colour: Mapped[Colour | None] = mapped_column(EnumText(Colour))
    at: Mapped[datetime.datetime | None] = mapped_column(Instant)
    data: Mapped[Any | None] = mapped_column(JsonText)
    score: Mapped[float | None] = mapped_column(Float)
    is_new: Mapped[bool | None] = mapped_column(Boolean)
    count: Mapped[int | None] = mapped_column(Integer)
    change: Mapped[int | None] = mapped_column(Snowflake)
    parent_id: Mapped[int | None] = mapped_column(Snowflake, ForeignKey("thing.id"))


def create_tables(uow: UnitOfWork) -> None:
    TestBase.metadata.create_all(uow.connection)


def placed(sql: str, dialect_name: str) -> str:
    """`?` as the database's own placeholders."""
    parts = sql.split("?")
    if dialect_name == "sqlite":
        return sql
    return "".join(part + (f"${number}" if number < len(parts) else "") for number, part in enumerate(parts, 1))


async def names(database: Database) -> list[str]:
    """The names of all things, as committed."""
    return [name for (name,) in await database.read("SELECT name FROM thing ORDER BY name")]


def add(uow: UnitOfWork, name: str) -> int:
    """Add a thing by the hot path."""
    new = uow.new_id()
    uow.fetch(placed("INSERT INTO thing (id, name) VALUES (?, ?)", uow.dialect_name), (new, name))
    return new
