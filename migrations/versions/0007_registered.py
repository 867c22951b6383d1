"""Registered operations, and what the audit log says of them.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db.types import Instant, JsonText, Snowflake, Text

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CHECK = "ck_audit_event_action"
_BEFORE = (
    *("USER_CREATED", "USER_RENAMED", "ROLE_CHANGED", "PASSWORD_CHANGED", "USER_DELETED"),
    *("KEY_CREATED", "KEY_REVOKED", "LINK_CREATED", "SIGNED_IN", "SIGN_IN_FAILED", "SIGNED_OUT"),
    *("WORKSPACE_CREATED", "MEMBER_ADDED", "MEMBER_REMOVED", "THRESHOLD_CHANGED", "DATASET_DELETED"),
    *("RESPONSE_DELETED", "TASK_DELETED", "TASK_RESTORED", "TASK_PURGED"),
)
_NEW = ("OPERATION_REGISTERED", "OPERATION_REMOVED")


def upgrade() -> None:
    op.create_table(
        "registered_operation",
        sa.Column("id", Text(), nullable=False),
        sa.Column("name", Text()),
        sa.Column("document", Text(), nullable=False),
        sa.Column("sha256", Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registered_operation"),
    )
    _allow((*_BEFORE, *_NEW))


def downgrade() -> None:
    _allow(_BEFORE)
    op.drop_table("registered_operation")


def _allow(actions: tuple[str, ...]) -> None:
    """Let the log hold these actions alone; events of others go."""
    check = f"action IN {actions}"
    if op.get_bind().dialect.name == "sqlite":
        _write_anew(check)
        return
    op.drop_constraint(op.f(CHECK), "audit_event", type_="check")
    op.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_event_kept")
    op.execute(f"DELETE FROM audit_event WHERE NOT {check}")
    op.execute("ALTER TABLE audit_event ENABLE TRIGGER audit_event_kept")
    op.create_check_constraint(op.f(CHECK), "audit_event", check)


def _write_anew(check: str) -> None:
    """SQLite cannot change a table's constraint. The triggers that keep the log would keep us from it, too."""
    connection = op.get_bind()
    triggers = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_event' ORDER BY name"
    ).all()
    for name, _ in triggers:
        op.execute(f"DROP TRIGGER {name}")
    op.rename_table("audit_event", "audit_event_before")
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
        sa.CheckConstraint(check, name=op.f(CHECK)),
        sa.CheckConstraint("door IN ('HTTP', 'WEBSOCKET', 'COMMAND')", name=op.f("ck_audit_event_door")),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
    )
    op.execute(f"INSERT INTO audit_event SELECT * FROM audit_event_before WHERE {check}")
    op.drop_table("audit_event_before")  # and its indexes
    op.create_index("ix_audit_event_action_id", "audit_event", ["action", "id"])
    op.create_index("ix_audit_event_actor_id_id", "audit_event", ["actor_id", "id"])
    op.create_index("ix_audit_event_subject_id", "audit_event", ["subject", "id"])
    for _, sql in triggers:
        connection.exec_driver_sql(sql)
