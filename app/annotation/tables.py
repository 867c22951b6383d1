"""Tables of annotation.

Foreign keys to a response's parents are RESTRICT (the default): a cascade would delete responses behind the back of
the one module that keeps a record's status.
"""

from __future__ import annotations

import datetime
import enum
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import Base, EnumText, Float, Instant, JsonText, Snowflake, Text


class RecordStatus(enum.Enum):
    """COMPLETED as soon as the record has as many submitted responses as it requires."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"


class ResponseStatus(enum.Enum):
    """Only SUBMITTED responses count."""

    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"
    DISCARDED = "DISCARDED"


class FieldType(enum.Enum):
    """What a record's field holds."""

    TEXT = "TEXT"
    CHAT = "CHAT"
    IMAGE = "IMAGE"
    CUSTOM = "CUSTOM"


class QuestionType(enum.Enum):
    """What kind of answer a question takes."""

    TEXT = "TEXT"
    RATING = "RATING"
    LABEL = "LABEL"
    MULTI_LABEL = "MULTI_LABEL"
    RANKING = "RANKING"
    SPAN = "SPAN"


class Dataset(Base):
    """Records that share fields, questions and guidelines."""

    __tablename__ = "dataset"
    __table_args__ = (UniqueConstraint("workspace_id", "name"),)

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("workspace.id"))
    name: Mapped[str] = mapped_column(Text)
    guidelines: Mapped[str | None] = mapped_column(Text)
    min_submitted: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime.datetime] = mapped_column(Instant)
    updated_at: Mapped[datetime.datetime] = mapped_column(Instant)


class Field(Base):
    """One part of a dataset's records. Its name is immutable and unique in its dataset."""

    __tablename__ = "field"
    __table_args__ = (UniqueConstraint("dataset_id", "name"),)

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("dataset.id"))
    position: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    type: Mapped[FieldType] = mapped_column(EnumText(FieldType))
    required: Mapped[bool]


class Question(Base):
    """What is asked about every record of a dataset. Its name is immutable and unique in its dataset."""

    __tablename__ = "question"
    __table_args__ = (UniqueConstraint("dataset_id", "name"),)

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("dataset.id"))
    position: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    required: Mapped[bool]
    type: Mapped[QuestionType] = mapped_column(EnumText(QuestionType))
    settings: Mapped[dict[str, Any]] = mapped_column(JsonText)


class Record(Base):
    """One item of a dataset.

    `status` and `submitted_count` follow the responses; `required` is the dataset's threshold, held here because a
    status that joins the dataset is wrong while the threshold changes. `changed` is the number of the transaction that
    last changed what a subscriber sees of the record. `content_hash` is the import key of a record without external id.
    """

    __tablename__ = "record"
    __table_args__ = (
        UniqueConstraint("dataset_id", "external_id"),
        UniqueConstraint("dataset_id", "content_hash"),
        Index("ix_record_dataset_id_id", "dataset_id", "id"),
        Index("ix_record_dataset_id_status_id", "dataset_id", "status", "id"),
        Index("ix_record_dataset_id_changed", "dataset_id", "changed", "id"),
    )

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("dataset.id"))
    external_id: Mapped[str | None] = mapped_column(Text)
    content_hash: Mapped[str | None] = mapped_column(Text)
    fields: Mapped[dict[str, Any]] = mapped_column(JsonText)
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata", JsonText)
    status: Mapped[RecordStatus] = mapped_column(EnumText(RecordStatus))
    submitted_count: Mapped[int] = mapped_column(Integer)
    required: Mapped[int] = mapped_column(Integer)
    inserted_at: Mapped[datetime.datetime] = mapped_column(Instant)
    updated_at: Mapped[datetime.datetime] = mapped_column(Instant)
    changed: Mapped[int] = mapped_column(Snowflake)


class RecordSearch(Base):
    """The terms of a record's texts (see `search_text`), which the index is over: FTS5's `record_fts`, or a GIN index.

    Kept apart from the record, whose row is written at every change of its status.
    """

    __tablename__ = "record_search"

    record_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("record.id", ondelete="CASCADE"), primary_key=True)
    search_text: Mapped[str] = mapped_column(Text)


# Drafts are few: the queue finds a person's among all their responses.
_DRAFT = text("status = 'DRAFT'")


class Response(Base):
    """One user's answers about one record. `previous_status` is the status before the last write, in that same row."""

    __tablename__ = "response"
    __table_args__ = (
        UniqueConstraint("record_id", "user_id"),
        Index("ix_response_user_id", "user_id", "record_id"),
        Index("ix_response_dataset_id", "dataset_id", "id"),
        Index("ix_response_user_id_draft", "user_id", "record_id", postgresql_where=_DRAFT, sqlite_where=_DRAFT),
    )

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("dataset.id"))
    record_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("record.id"))
    user_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("user_account.id"))
    status: Mapped[ResponseStatus] = mapped_column(EnumText(ResponseStatus))
    previous_status: Mapped[ResponseStatus | None] = mapped_column(EnumText(ResponseStatus))
    values: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    inserted_at: Mapped[datetime.datetime] = mapped_column(Instant)
    updated_at: Mapped[datetime.datetime] = mapped_column(Instant)


class Reservation(Base):
    """Until then the record is kept for the user to answer, unless they have answered or others were before them.

    It says nothing about the record, so it goes with what it refers to.
    """

    __tablename__ = "reservation"
    __table_args__ = (
        Index("ix_reservation_dataset_id", "dataset_id"),
        Index("ix_reservation_user_id", "user_id"),
    )

    record_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("record.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("user_account.id", ondelete="CASCADE"), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("dataset.id", ondelete="CASCADE"))
    since: Mapped[datetime.datetime] = mapped_column(Instant)
    until: Mapped[datetime.datetime] = mapped_column(Instant)


class Suggestion(Base):
    """What a model would answer to one question about one record."""

    __tablename__ = "suggestion"
    __table_args__ = (UniqueConstraint("record_id", "question"),)

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("dataset.id"))
    record_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("record.id"))
    question: Mapped[str] = mapped_column(Text)
    value: Mapped[Any] = mapped_column(JsonText)
    score: Mapped[float | None] = mapped_column(Float)
    agent: Mapped[str | None] = mapped_column(Text)


class Snapshot(Base):
    """An immutable set of a dataset's records with their answers, identified by its content's hash."""

    __tablename__ = "snapshot"
    __table_args__ = (UniqueConstraint("dataset_id", "content_hash"),)

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    dataset_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("dataset.id"))
    name: Mapped[str | None] = mapped_column(Text)
    content_hash: Mapped[str] = mapped_column(Text)
    record_count: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime.datetime] = mapped_column(Instant)
