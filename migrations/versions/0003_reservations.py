"""Reservations of the queue.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db.types import Instant, Snowflake

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reservation",
        sa.Column("record_id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("user_id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("dataset_id", Snowflake(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("until", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_reservation_dataset_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["record_id"], ["record.id"], name="fk_reservation_record_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_reservation_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("record_id", "user_id", name="pk_reservation"),
    )
    op.create_index("ix_reservation_dataset_id", "reservation", ["dataset_id"])
    op.create_index("ix_reservation_user_id", "reservation", ["user_id"])
    draft = sa.text("status = 'DRAFT'")
    op.create_index(
        "ix_response_user_id_draft", "response", ["user_id", "record_id"], postgresql_where=draft, sqlite_where=draft
    )


def downgrade() -> None:
    op.drop_index("ix_response_user_id_draft", "response")
    op.drop_table("reservation")
