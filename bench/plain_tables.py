"""The tables that a page reads, as ORM classes with relationships: what a plain Strawberry server has."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from app.annotation.tables import RecordStatus, ResponseStatus
from app.db.types import EnumText, Instant, JsonText, Snowflake, Text


class Base(DeclarativeBase):
    """Mapped beside the product's own classes, to the same tables."""


class Membership(Base):
    """Who belongs to a workspace."""

    __tablename__ = "membership"

    workspace_id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    user_id: Mapped[int] = mapped_column(Snowflake, primary_key=True)


class User(Base):
    """Who answers."""

    __tablename__ = "user_account"

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    username: Mapped[str] = mapped_column(Text)


class Dataset(Base):
    """A set of records."""

    __tablename__ = "dataset"

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Snowflake)
    name: Mapped[str] = mapped_column(Text)


class Record(Base):
    """A record with what belongs to it."""

    __tablename__ = "record"

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("dataset.id"))
    external_id: Mapped[str | None] = mapped_column(Text)
    fields: Mapped[dict[str, Any]] = mapped_column(JsonText)
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata", JsonText)
    status: Mapped[RecordStatus] = mapped_column(EnumText(RecordStatus))
    submitted_count: Mapped[int]
    inserted_at: Mapped[datetime.datetime] = mapped_column(Instant)
    updated_at: Mapped[datetime.datetime] = mapped_column(Instant)
    responses: Mapped[list[Response]] = relationship(lazy="raise", order_by="Response.id")
    suggestions: Mapped[list[Suggestion]] = relationship(lazy="raise", order_by="Suggestion.id")


class Response(Base):
    """What one user answered."""

    __tablename__ = "response"

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    record_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("record.id"))
    user_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("user_account.id"))
    status: Mapped[ResponseStatus] = mapped_column(EnumText(ResponseStatus))
    values: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    updated_at: Mapped[datetime.datetime] = mapped_column(Instant)
    user: Mapped[User] = relationship(lazy="raise")


class Suggestion(Base):
    """What a model would answer."""

    __tablename__ = "suggestion"

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    record_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("record.id"))
    question: Mapped[str] = mapped_column(Text)
    value: Mapped[Any] = mapped_column(JsonText)
    score: Mapped[float | None]
    agent: Mapped[str | None] = mapped_column(Text)
