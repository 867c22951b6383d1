"""The buckets of callers' budgets, as servers share them.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db.types import Float, Text

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_bucket",
        sa.Column("key", Text(), nullable=False),
        sa.Column("full_at", Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_rate_bucket"),
    )
    op.create_index("ix_rate_bucket_full_at", "rate_bucket", ["full_at"])


def downgrade() -> None:
    op.drop_table("rate_bucket")
