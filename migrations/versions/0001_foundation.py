"""Accounts, datasets, records, responses, suggestions, the clock and secrets.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db.types import Float, Instant, JsonText, Snowflake, Text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "clock",
        sa.Column("name", Text(), nullable=False),
        sa.Column("value", Snowflake(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_clock"),
    )
    op.create_table(
        "secret",
        sa.Column("name", Text(), nullable=False),
        sa.Column("value", Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secret"),
    )
    op.create_table(
        "user_account",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("username", Text(), nullable=False),
        sa.Column("role", Text(), nullable=False),
        sa.Column("password_hash", Text()),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("deleted_at", Instant()),
        sa.CheckConstraint("role IN ('ANNOTATOR', 'ADMIN', 'OWNER')", name=op.f("ck_user_account_role")),
        sa.PrimaryKeyConstraint("id", name="pk_user_account"),
        sa.UniqueConstraint("username", name="uq_user_account_username"),
    )
    op.create_table(
        "workspace",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workspace"),
        sa.UniqueConstraint("name", name="uq_workspace_name"),
    )
    op.create_table(
        "credential",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("user_id", Snowflake(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("prefix", Text(), nullable=False),
        sa.Column("secret_hash", Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant()),
        sa.Column("revoked_at", Instant()),
        sa.CheckConstraint("kind IN ('KEY', 'SESSION')", name=op.f("ck_credential_kind")),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_credential_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_credential"),
        sa.UniqueConstraint("secret_hash", name="uq_credential_secret_hash"),
    )
    op.create_index("ix_credential_user_id", "credential", ["user_id"])
    op.create_table(
        "dataset",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", Snowflake(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("guidelines", Text()),
        sa.Column("min_submitted", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name="fk_dataset_workspace_id"),
        sa.PrimaryKeyConstraint("id", name="pk_dataset"),
        sa.UniqueConstraint("workspace_id", "name", name="uq_dataset_workspace_id_name"),
    )
    op.create_table(
        "membership",
        sa.Column("workspace_id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("user_id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_membership_user_id"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name="fk_membership_workspace_id"),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", name="pk_membership"),
    )
    op.create_index("ix_membership_user_id", "membership", ["user_id", "workspace_id"])
    op.create_table(
        "field",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("dataset_id", Snowflake(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("title", Text(), nullable=False),
        sa.Column("type", Text(), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.CheckConstraint("type IN ('TEXT', 'CHAT', 'IMAGE', 'CUSTOM')", name=op.f("ck_field_type")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_field_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_field"),
        sa.UniqueConstraint("dataset_id", "name", name="uq_field_dataset_id_name"),
    )
    op.create_table(
        "question",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("dataset_id", Snowflake(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("title", Text(), nullable=False),
        sa.Column("description", Text()),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("type", Text(), nullable=False),
        sa.Column("settings", JsonText(), nullable=False),
        sa.CheckConstraint(
            "type IN ('TEXT', 'RATING', 'LABEL', 'MULTI_LABEL', 'RANKING', 'SPAN')", name=op.f("ck_question_type")
        ),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_question_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_question"),
        sa.UniqueConstraint("dataset_id", "name", name="uq_question_dataset_id_name"),
    )
    op.create_table(
        "record",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("dataset_id", Snowflake(), nullable=False),
        sa.Column("external_id", Text()),
        sa.Column("content_hash", Text()),
        sa.Column("fields", JsonText(), nullable=False),
        sa.Column("metadata", JsonText()),
        sa.Column("status", Text(), nullable=False),
        sa.Column("submitted_count", sa.Integer(), nullable=False),
        sa.Column("required", sa.Integer(), nullable=False),
        sa.Column("inserted_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("changed", Snowflake(), nullable=False),
        sa.CheckConstraint("status IN ('PENDING', 'COMPLETED')", name=op.f("ck_record_status")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_record_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_record"),
        sa.UniqueConstraint("dataset_id", "content_hash", name="uq_record_dataset_id_content_hash"),
        sa.UniqueConstraint("dataset_id", "external_id", name="uq_record_dataset_id_external_id"),
    )
    op.create_index("ix_record_dataset_id_changed", "record", ["dataset_id", "changed", "id"])
    op.create_index("ix_record_dataset_id_id", "record", ["dataset_id", "id"])
    op.create_index("ix_record_dataset_id_status_id", "record", ["dataset_id", "status", "id"])
    op.create_table(
        "response",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("dataset_id", Snowflake(), nullable=False),
        sa.Column("record_id", Snowflake(), nullable=False),
        sa.Column("user_id", Snowflake(), nullable=False),
        sa.Column("status", Text(), nullable=False),
        sa.Column("previous_status", Text()),
        sa.Column("values", JsonText()),
        sa.Column("inserted_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.CheckConstraint(
            "previous_status IN ('DRAFT', 'SUBMITTED', 'DISCARDED')", name=op.f("ck_response_previous_status")
        ),
        sa.CheckConstraint("status IN ('DRAFT', 'SUBMITTED', 'DISCARDED')", name=op.f("ck_response_status")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_response_dataset_id"),
        sa.ForeignKeyConstraint(["record_id"], ["record.id"], name="fk_response_record_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_response_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_response"),
        sa.UniqueConstraint("record_id", "user_id", name="uq_response_record_id_user_id"),
    )
    op.create_index("ix_response_dataset_id", "response", ["dataset_id", "id"])
    op.create_index("ix_response_user_id", "response", ["user_id", "record_id"])
    op.create_table(
        "suggestion",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("dataset_id", Snowflake(), nullable=False),
        sa.Column("record_id", Snowflake(), nullable=False),
        sa.Column("question", Text(), nullable=False),
        sa.Column("value", JsonText(), nullable=False),
        sa.Column("score", Float()),
        sa.Column("agent", Text()),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_suggestion_dataset_id"),
        sa.ForeignKeyConstraint(["record_id"], ["record.id"], name="fk_suggestion_record_id"),
        sa.PrimaryKeyConstraint("id", name="pk_suggestion"),
        sa.UniqueConstraint("record_id", "question", name="uq_suggestion_record_id_question"),
    )


def downgrade() -> None:
    op.drop_table("suggestion")
    op.drop_table("response")
    op.drop_table("record")
    op.drop_table("question")
    op.drop_table("field")
    op.drop_table("membership")
    op.drop_table("dataset")
    op.drop_table("credential")
    op.drop_table("workspace")
    op.drop_table("user_account")
    op.drop_table("secret")
    op.drop_table("clock")
