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
    _allow("kind IN ('KEY', 'SESSION', 'LINK')")


def downgrade() -> None:
    op.execute("DELETE FROM credential WHERE kind = 'LINK'")
    _allow("kind IN ('KEY', 'SESSION')")


def _allow(check: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        _write_anew(check)
    else:
        op.drop_constraint(op.f(CHECK), "credential", type_="check")
        op.create_check_constraint(op.f(CHECK), "credential", check)


def _write_anew(check: str) -> None:
    """SQLite cannot change a table's constraint."""
    op.rename_table("credential", "credential_before")
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
        sa.CheckConstraint(check, name=op.f(CHECK)),
        sa.ForeignKeyConstraint(["user_id"], ["user_account.id"], name="fk_credential_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_credential"),
        sa.UniqueConstraint("secret_hash", name="uq_credential_secret_hash"),
    )
    op.execute("INSERT INTO credential SELECT * FROM credential_before")
    op.drop_table("credential_before")  # and its index
    op.create_index("ix_credential_user_id", "credential", ["user_id"])
