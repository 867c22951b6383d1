"""The audit log, and the buckets of failed sign-ins.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db.types import Float, Instant, JsonText, Snowflake, Text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ACTIONS = (
    *("USER_CREATED", "USER_RENAMED", "ROLE_CHANGED", "PASSWORD_CHANGED", "USER_DELETED"),
    *("KEY_CREATED", "KEY_REVOKED", "LINK_CREATED", "SIGNED_IN", "SIGN_IN_FAILED", "SIGNED_OUT"),
    *("WORKSPACE_CREATED", "MEMBER_ADDED", "MEMBER_REMOVED", "THRESHOLD_CHANGED", "DATASET_DELETED"),
    *("RESPONSE_DELETED", "TASK_DELETED", "TASK_RESTORED", "TASK_PURGED"),
)
_REFUSAL = "audit_event is append-only: its rows are neither changed nor deleted"
_SQLITE = (
    f"CREATE TRIGGER audit_event_updated BEFORE UPDATE ON audit_event BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    f"CREATE TRIGGER audit_event_deleted BEFORE DELETE ON audit_event BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    # INSERT OR REPLACE deletes without a word to triggers. The message is that of any id that is taken.
    """CREATE TRIGGER audit_event_replaced BEFORE INSERT ON audit_event
        WHEN EXISTS (SELECT 1 FROM audit_event WHERE id = new.id)
        BEGIN SELECT RAISE(ABORT, 'UNIQUE constraint failed: audit_event.id'); END""",
)
_POSTGRESQL = (
    f"""CREATE FUNCTION audit_event_kept() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$""",
    """CREATE TRIGGER audit_event_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
        FOR EACH STATEMENT EXECUTE FUNCTION audit_event_kept()""",
)


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("action", Text(), nullable=False),
        sa.Column("actor_id", Snowflake()),
        sa.Column("actor_name", Text()),
        sa.Column("credential_id", Snowflake()),
        sa.Column("door", Text(), nullable=False),
        sa.Column("address", Text()),
        sa.Column("request_id", Text()),
        sa.Column("subject", Text()),
        sa.Column("subject_name", Text()),
        sa.Column("details", JsonText()),
        sa.CheckConstraint(f"action IN {_ACTIONS}", name=op.f("ck_audit_event_action")),
        sa.CheckConstraint("door IN ('HTTP', 'WEBSOCKET', 'COMMAND')", name=op.f("ck_audit_event_door")),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
    )
    op.create_index("ix_audit_event_action_id", "audit_event", ["action", "id"])
    op.create_index("ix_audit_event_actor_id_id", "audit_event", ["actor_id", "id"])
    op.create_index("ix_audit_event_subject_id", "audit_event", ["subject", "id"])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(sa.text(statement))
    op.create_table(
        "sign_in_bucket",
        sa.Column("key", Text(), nullable=False),
        sa.Column("full_at", Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_sign_in_bucket"),
    )
    op.create_index("ix_sign_in_bucket_full_at", "sign_in_bucket", ["full_at"])


def downgrade() -> None:
    op.drop_table("sign_in_bucket")
    op.drop_table("audit_event")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_event_kept()")
