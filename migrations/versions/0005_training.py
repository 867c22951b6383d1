"""Training tasks, their metrics, and snapshots.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from app.db.types import Float, Instant, JsonText, Snowflake, Text, TextList

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "snapshot",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("dataset_id", Snowflake(), nullable=False),
        sa.Column("name", Text()),
        sa.Column("content_hash", Text(), nullable=False),
        sa.Column("record_count", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_snapshot_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_snapshot"),
        sa.UniqueConstraint("dataset_id", "content_hash", name="uq_snapshot_dataset_id_content_hash"),
    )
    op.create_table(
        "train_task",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("task_uuid", Text(), nullable=False),
        sa.Column("workspace_id", Snowflake(), nullable=False),
        sa.Column("user_id", Snowflake(), nullable=False),
        sa.Column("model_name", Text(), nullable=False),
        sa.Column("model_path", Text()),
        sa.Column("lora_rank", sa.Integer()),
        sa.Column("lora_alpha", Float()),
        sa.Column("learning_rate", Float()),
        sa.Column("batch_size", sa.Integer()),
        sa.Column("epochs", sa.Integer()),
        sa.Column("train_data_dir", Text()),
        sa.Column("metadata_path", Text()),
        sa.Column("output_path", Text()),
        sa.Column("log_path", Text()),
        sa.Column("extra_params", JsonText()),
        sa.Column("snapshot_id", Snowflake()),
        sa.Column("command", Text()),
        sa.Column("launcher", Text()),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("hourly_cost", Float()),
        sa.Column("fingerprint", Text(), nullable=False),
        sa.Column("search_text", Text(), nullable=False),
        sa.Column("tags", TextList(), nullable=False),
        sa.Column("notes", Text()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", Text(), nullable=False),
        sa.Column("lost", sa.Boolean(), nullable=False),
        sa.Column("stop_requested", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("cloned_from_id", Snowflake()),
        sa.Column("retry_of_id", Snowflake()),
        sa.Column("start_time", Instant()),
        sa.Column("end_time", Instant()),
        sa.Column("heartbeat_at", Instant()),
        sa.Column("host", Text()),
        sa.Column("total_steps", sa.BigInteger()),
        sa.Column("step", sa.BigInteger()),
        sa.Column("epoch", Float()),
        sa.Column("error", Text()),
        sa.Column("log_tail", Text()),
        sa.Column("summary", JsonText()),
        sa.Column("next_arrival", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("deleted_at", Instant()),
        sa.Column("changed", Snowflake(), nullable=False),
        sa.CheckConstraint(
            "status IN ('PENDING', 'RUNNING', 'SUCCESS', 'FAILED', 'CANCELED')", name=op.f("ck_train_task_status")
        ),
        sa.ForeignKeyConstraint(["cloned_from_id"], ["train_task.id"], name="fk_train_task_cloned_from_id"),
        sa.ForeignKeyConstraint(["retry_of_id"], ["train_task.id"], name="fk_train_task_retry_of_id"),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name="fk_train_task_snapshot_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_train_task_user_id"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name="fk_train_task_workspace_id"),
        sa.PrimaryKeyConstraint("id", name="pk_train_task"),
        sa.UniqueConstraint("retry_of_id", name="uq_train_task_retry_of_id"),
        sa.UniqueConstraint("task_uuid", name="uq_train_task_task_uuid"),
    )
    op.create_index("ix_train_task_cloned_from_id", "train_task", ["cloned_from_id"])
    op.create_index("ix_train_task_changed", "train_task", ["changed", "id"])
    op.create_index("ix_train_task_fingerprint", "train_task", ["fingerprint"])
    op.create_index("ix_train_task_status_heartbeat_at", "train_task", ["status", "heartbeat_at"])
    op.create_index("ix_train_task_user_id_status_id", "train_task", ["user_id", "status", "id"])
    # PostgreSQL, reading a plain index backwards, would begin with the rows without a value.
    descending: list[Any] = ["start_time", "id"]
    if op.get_bind().dialect.name == "postgresql":
        descending = [sa.text("start_time DESC NULLS LAST"), sa.text("id DESC")]
    op.create_index("ix_train_task_user_id_status_start_time", "train_task", ["user_id", "status", *descending])
    op.create_index("ix_train_task_workspace_id_id", "train_task", ["workspace_id", "id"])
    op.create_index("ix_train_task_workspace_id_status_id", "train_task", ["workspace_id", "status", "id"])
    op.create_table(
        "train_task_departure",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("task_id", Snowflake(), nullable=False),
        sa.Column("workspace_id", Snowflake(), nullable=False),
        sa.Column("user_id", Snowflake(), nullable=False),
        sa.Column("changed", Snowflake(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_train_task_departure_user_id"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name="fk_train_task_departure_workspace_id"),
        sa.PrimaryKeyConstraint("id", name="pk_train_task_departure"),
    )
    op.create_index("ix_train_task_departure_changed", "train_task_departure", ["changed", "task_id"])
    op.create_table(
        "metric",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("task_id", Snowflake(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("non_finite_count", sa.BigInteger(), nullable=False),
        sa.Column("last", Float()),
        sa.Column("last_state", Text(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("min", Float()),
        sa.Column("min_step", sa.BigInteger()),
        sa.Column("max", Float()),
        sa.Column("max_step", sa.BigInteger()),
        sa.Column("lowest_step", sa.BigInteger(), nullable=False),
        sa.Column("highest_step", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("last_state IN ('FINITE', 'NAN', 'INFINITE')", name=op.f("ck_metric_last_state")),
        sa.ForeignKeyConstraint(["task_id"], ["train_task.id"], name="fk_metric_task_id"),
        sa.PrimaryKeyConstraint("id", name="pk_metric"),
        sa.UniqueConstraint("task_id", "name", name="uq_metric_task_id_name"),
    )
    op.create_index("ix_metric_name_last", "metric", ["name", "last", "task_id"])
    op.create_table(
        "metric_source",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("task_id", Snowflake(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("next_sequence", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", Text()),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["train_task.id"], name="fk_metric_source_task_id"),
        sa.PrimaryKeyConstraint("id", name="pk_metric_source"),
        sa.UniqueConstraint("task_id", "name", name="uq_metric_source_task_id_name"),
    )
    op.create_table(
        "metric_chunk",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("task_id", Snowflake(), nullable=False),
        sa.Column("metric_id", Snowflake(), nullable=False),
        sa.Column("first_arrival", sa.BigInteger(), nullable=False),
        sa.Column("last_arrival", sa.BigInteger(), nullable=False),
        sa.Column("lowest_step", sa.BigInteger(), nullable=False),
        sa.Column("highest_step", sa.BigInteger(), nullable=False),
        sa.Column("minimum", Float()),
        sa.Column("maximum", Float()),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("compacted", sa.Boolean(), nullable=False),
        sa.Column("steps", sa.LargeBinary(), nullable=False),
        sa.Column("values", sa.LargeBinary(), nullable=False),
        sa.Column("times", sa.LargeBinary(), nullable=False),
        sa.Column("arrivals", sa.LargeBinary()),
        sa.Column("pyramid", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["metric_id"], ["metric.id"], name="fk_metric_chunk_metric_id"),
        sa.ForeignKeyConstraint(["task_id"], ["train_task.id"], name="fk_metric_chunk_task_id"),
        sa.PrimaryKeyConstraint("id", name="pk_metric_chunk"),
        sa.UniqueConstraint("metric_id", "first_arrival", name="uq_metric_chunk_metric_id_first_arrival"),
    )
    op.create_index("ix_metric_chunk_task_id_last_arrival", "metric_chunk", ["task_id", "last_arrival"])
    op.create_index(
        "ix_metric_chunk_small",
        "metric_chunk",
        ["task_id", "metric_id", "points"],
        sqlite_where=sa.text("NOT compacted"),
        postgresql_where=sa.text("NOT compacted"),
    )


def downgrade() -> None:
    op.drop_table("metric_chunk")
    op.drop_table("metric_source")
    op.drop_table("metric")
    op.drop_table("train_task_departure")
    op.drop_table("train_task")
    op.drop_table("snapshot")
