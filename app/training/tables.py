"""Tables of training.

Points are not rows: they stand in chunks, a report's at first, some thousand after compaction (see `metrics`). All
children of a task carry its id.
"""

from __future__ import annotations

import datetime
import enum
from typing import Any, cast

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, Table, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.indexes import descending
from app.db.types import Base, EnumText, Float, Instant, JsonText, Snowflake, Text, TextList


class TaskStatus(enum.Enum):
    """PENDING → RUNNING → SUCCESS | FAILED, and PENDING | RUNNING → CANCELED."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class ValueState(enum.Enum):
    """What the last value of a metric is."""

    FINITE = "FINITE"
    NAN = "NAN"
    INFINITE = "INFINITE"


class TrainTask(Base):
    """One training run: what went into it, its state, what came out of it.

    `task_uuid` is what scripts are handed. `changed` is the number of the transaction that last changed what a
    subscriber sees; `next_arrival` numbers the reports of all sources, in the order in which they were stored;
    `version` counts the updates of its inputs, tags and notes.
    """

    __tablename__ = "train_task"
    __table_args__ = (
        UniqueConstraint("task_uuid"),
        UniqueConstraint("retry_of_id"),
        Index("ix_train_task_user_id_status_id", "user_id", "status", "id"),
        Index("ix_train_task_workspace_id_status_id", "workspace_id", "status", "id"),
        Index("ix_train_task_workspace_id_id", "workspace_id", "id"),
        Index("ix_train_task_status_heartbeat_at", "status", "heartbeat_at"),
        Index("ix_train_task_fingerprint", "fingerprint"),
        Index("ix_train_task_cloned_from_id", "cloned_from_id"),
        Index("ix_train_task_changed", "changed", "id"),
    )

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    task_uuid: Mapped[str] = mapped_column(Text)
    workspace_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("workspace.id"))
    user_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("user_account.id"))

    # Inputs
    model_name: Mapped[str] = mapped_column(Text)
    model_path: Mapped[str | None] = mapped_column(Text)
    lora_rank: Mapped[int | None] = mapped_column(Integer)
    lora_alpha: Mapped[float | None] = mapped_column(Float)
    learning_rate: Mapped[float | None] = mapped_column(Float)
    batch_size: Mapped[int | None] = mapped_column(Integer)
    epochs: Mapped[int | None] = mapped_column(Integer)
    train_data_dir: Mapped[str | None] = mapped_column(Text)
    metadata_path: Mapped[str | None] = mapped_column(Text)
    output_path: Mapped[str | None] = mapped_column(Text)
    log_path: Mapped[str | None] = mapped_column(Text)
    extra_params: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    snapshot_id: Mapped[int | None] = mapped_column(Snowflake, ForeignKey("snapshot.id"))
    command: Mapped[str | None] = mapped_column(Text)
    launcher: Mapped[str | None] = mapped_column(Text)
    max_attempts: Mapped[int] = mapped_column(Integer)
    hourly_cost: Mapped[float | None] = mapped_column(Float)
    fingerprint: Mapped[str] = mapped_column(Text)
    search_text: Mapped[str] = mapped_column(Text)

    # What people say about it
    tags: Mapped[list[str]] = mapped_column(TextList)
    notes: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)

    # Its life
    status: Mapped[TaskStatus] = mapped_column(EnumText(TaskStatus))
    lost: Mapped[bool]
    stop_requested: Mapped[bool]
    attempt: Mapped[int] = mapped_column(Integer)
    cloned_from_id: Mapped[int | None] = mapped_column(Snowflake, ForeignKey("train_task.id"))
    retry_of_id: Mapped[int | None] = mapped_column(Snowflake, ForeignKey("train_task.id"))
    start_time: Mapped[datetime.datetime | None] = mapped_column(Instant)
    end_time: Mapped[datetime.datetime | None] = mapped_column(Instant)
    heartbeat_at: Mapped[datetime.datetime | None] = mapped_column(Instant)
    host: Mapped[str | None] = mapped_column(Text)
    total_steps: Mapped[int | None] = mapped_column(BigInteger)
    step: Mapped[int | None] = mapped_column(BigInteger)
    epoch: Mapped[float | None] = mapped_column(Float)
    error: Mapped[str | None] = mapped_column(Text)
    log_tail: Mapped[str | None] = mapped_column(Text)
    summary: Mapped[dict[str, Any] | None] = mapped_column(JsonText)
    next_arrival: Mapped[int] = mapped_column(BigInteger)

    created_at: Mapped[datetime.datetime] = mapped_column(Instant)
    updated_at: Mapped[datetime.datetime] = mapped_column(Instant)
    deleted_at: Mapped[datetime.datetime | None] = mapped_column(Instant)
    changed: Mapped[int] = mapped_column(Snowflake)


_columns = cast("Table", TrainTask.__table__).c
# Somebody's tasks of one status, the newest first.
Index(
    "ix_train_task_user_id_status_start_time",
    _columns.user_id,
    _columns.status,
    descending(_columns.start_time),
    descending(_columns.id),
)


class TrainTaskDeparture(Base):
    """That a task is no longer in a workspace: it was purged, or is in another one by now.

    Whoever could see it there is told so. There may be no such task any more.
    """

    __tablename__ = "train_task_departure"
    __table_args__ = (Index("ix_train_task_departure_changed", "changed", "task_id"),)

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    task_id: Mapped[int] = mapped_column(Snowflake)
    workspace_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("workspace.id"))
    user_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("user_account.id"))
    changed: Mapped[int] = mapped_column(Snowflake)


class MetricSource(Base):
    """One reporting process of a task. `next_sequence` is the number of the report that is expected next.

    `last_hash` is the SHA-256 of the report before it: the same report again stores nothing.
    """

    __tablename__ = "metric_source"
    __table_args__ = (UniqueConstraint("task_id", "name"),)

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    task_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("train_task.id"))
    name: Mapped[str] = mapped_column(Text)
    next_sequence: Mapped[int] = mapped_column(BigInteger)
    last_hash: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime.datetime] = mapped_column(Instant)
    updated_at: Mapped[datetime.datetime] = mapped_column(Instant)


class Metric(Base):
    """One metric of a task and what its points come to: over all of them, and of the last one to arrive.

    `last`, `min` and `max` are over finite values; `last_state` says what the very last value was.
    """

    __tablename__ = "metric"
    __table_args__ = (UniqueConstraint("task_id", "name"), Index("ix_metric_name_last", "name", "last", "task_id"))

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    task_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("train_task.id"))
    name: Mapped[str] = mapped_column(Text)
    points: Mapped[int] = mapped_column(BigInteger)
    non_finite_count: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[float | None] = mapped_column(Float)
    last_state: Mapped[ValueState] = mapped_column(EnumText(ValueState))
    last_step: Mapped[int] = mapped_column(BigInteger)
    min: Mapped[float | None] = mapped_column(Float)
    min_step: Mapped[int | None] = mapped_column(BigInteger)
    max: Mapped[float | None] = mapped_column(Float)
    max_step: Mapped[int | None] = mapped_column(BigInteger)
    lowest_step: Mapped[int] = mapped_column(BigInteger)
    highest_step: Mapped[int] = mapped_column(BigInteger)


class MetricChunk(Base):
    """Points of one metric in the order in which they arrived, as compressed columns.

    A chunk as a report left it is small and has one arrival number; a compacted one has `arrivals` and a `pyramid`.
    `minimum` and `maximum` are over finite values: where a value was first reached is found without decoding others.
    """

    __tablename__ = "metric_chunk"
    __table_args__ = (
        UniqueConstraint("metric_id", "first_arrival"),
        Index("ix_metric_chunk_task_id_last_arrival", "task_id", "last_arrival"),
        # Those that wait for compaction, of all tasks.
        Index(
            "ix_metric_chunk_small",
            "task_id",
            "metric_id",
            "points",
            sqlite_where=text("NOT compacted"),
            postgresql_where=text("NOT compacted"),
        ),
    )

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    task_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("train_task.id"))
    metric_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("metric.id"))
    first_arrival: Mapped[int] = mapped_column(BigInteger)
    last_arrival: Mapped[int] = mapped_column(BigInteger)
    lowest_step: Mapped[int] = mapped_column(BigInteger)
    highest_step: Mapped[int] = mapped_column(BigInteger)
    minimum: Mapped[float | None] = mapped_column(Float)
    maximum: Mapped[float | None] = mapped_column(Float)
    points: Mapped[int] = mapped_column(Integer)
    compacted: Mapped[bool]
    steps: Mapped[bytes] = mapped_column(LargeBinary)
    values: Mapped[bytes] = mapped_column(LargeBinary)
    times: Mapped[bytes] = mapped_column(LargeBinary)
    arrivals: Mapped[bytes | None] = mapped_column(LargeBinary)
    pyramid: Mapped[bytes | None] = mapped_column(LargeBinary)
