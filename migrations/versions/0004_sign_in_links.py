"""One-time sign-in links: a third kind of credential.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db.types import Instant, Snowflake, Text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHECK = "ck_credential_kind"


def upgrade() -> None:
    _allow("kind IN ('KEY', 'SESSION')", "kind IN ('KEY', 'SESSION', 'LINK')")


def downgrade() -> None:
    op.execute("DELETE FROM credential WHERE kind = 'LINK'")
    _allow("kind IN ('KEY', 'SESSION', 'LINK')", "kind IN ('KEY', 'SESSION')")


def _allow(before: str, after: str) -> None:
    # SQLite changes a constraint by writing the table anew, for which it must be known as it is.
    with op.batch_alter_table("credential", copy_from=_credential(before)) as batch:
        batch.drop_constraint(op.f(CHECK), type_="check")
        batch.create_check_constraint(op.f(CHECK), after)


def _credential(check: str) -> sa.Table:
    return sa.Table(
        "credential",
        sa.MetaData(),
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("kind", Text(), nullable=False),
        sa.Column("user_id", Snowflake(), nullable=False),
        sa.Column("name", Text(), nullable=False),
        sa.Column("prefix", Text(), nullable=False),
        sa.Column("secret_hash", Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant()),
        sa.Column("revoked_at", Instant()),
        sa.CheckConstraint(check, name=op.f(CHECK)),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_credential_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_credential"),
        sa.UniqueConstraint("secret_hash", name="uq_credential_secret_hash"),
        sa.Index("ix_credential_user_id", "user_id"),
    )
