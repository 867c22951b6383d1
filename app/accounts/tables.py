"""Tables of accounts."""

from __future__ import annotations

import datetime
import enum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import Base, EnumText, Float, Instant, JsonText, Snowflake, Text


class Role(enum.Enum):
    """What a user may do; the order is the rank."""

    ANNOTATOR = "ANNOTATOR"
    ADMIN = "ADMIN"
    OWNER = "OWNER"


class CredentialKind(enum.Enum):
    """How a credential came to be: an API key that a person made, a session that a sign-in opened, or a one-time link.

    A link opens a session and nothing else: it does not authenticate. `revoked_at` is when it was used.
    """

    KEY = "KEY"
    SESSION = "SESSION"
    LINK = "LINK"


class AuditAction(enum.Enum):
    """What the audit log tells of."""

    USER_CREATED = "USER_CREATED"
    USER_RENAMED = "USER_RENAMED"
    ROLE_CHANGED = "ROLE_CHANGED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"
    USER_DELETED = "USER_DELETED"
    KEY_CREATED = "KEY_CREATED"
    KEY_REVOKED = "KEY_REVOKED"
    LINK_CREATED = "LINK_CREATED"
    SIGNED_IN = "SIGNED_IN"
    SIGN_IN_FAILED = "SIGN_IN_FAILED"
    SIGNED_OUT = "SIGNED_OUT"
    WORKSPACE_CREATED = "WORKSPACE_CREATED"
    MEMBER_ADDED = "MEMBER_ADDED"
    MEMBER_REMOVED = "MEMBER_REMOVED"
    THRESHOLD_CHANGED = "THRESHOLD_CHANGED"
    DATASET_DELETED = "DATASET_DELETED"
    RESPONSE_DELETED = "RESPONSE_DELETED"
    TASK_DELETED = "TASK_DELETED"
    TASK_RESTORED = "TASK_RESTORED"
    TASK_PURGED = "TASK_PURGED"
    OPERATION_REGISTERED = "OPERATION_REGISTERED"
    OPERATION_REMOVED = "OPERATION_REMOVED"


class AuditDoor(enum.Enum):
    """Which way the actor came."""

    HTTP = "HTTP"
    WEBSOCKET = "WEBSOCKET"
    COMMAND = "COMMAND"


class User(Base):
    """A person or a program. A removed user's row stays, renamed `deleted-<id>`, without keys and memberships."""

    __tablename__ = "user_account"

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    username: Mapped[str] = mapped_column(Text, unique=True)
    role: Mapped[Role] = mapped_column(EnumText(Role))
    password_hash: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime.datetime] = mapped_column(Instant)
    updated_at: Mapped[datetime.datetime] = mapped_column(Instant)
    deleted_at: Mapped[datetime.datetime | None] = mapped_column(Instant)


class Workspace(Base):
    """A group of people and what they work on; the border of what its members see."""

    __tablename__ = "workspace"

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    created_at: Mapped[datetime.datetime] = mapped_column(Instant)


class Membership(Base):
    """A user belongs to a workspace."""

    __tablename__ = "membership"
    __table_args__ = (Index("ix_membership_user_id", "user_id", "workspace_id"),)

    workspace_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("workspace.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("user_account.id"), primary_key=True)
    created_at: Mapped[datetime.datetime] = mapped_column(Instant)


class Credential(Base):
    """An API key, a session or a sign-in link: what a caller shows. Only the secret's SHA-256 is stored."""

    __tablename__ = "credential"
    __table_args__ = (UniqueConstraint("secret_hash"), Index("ix_credential_user_id", "user_id"))

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    kind: Mapped[CredentialKind] = mapped_column(EnumText(CredentialKind))
    user_id: Mapped[int] = mapped_column(Snowflake, ForeignKey("user_account.id"))
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    secret_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime.datetime] = mapped_column(Instant)
    expires_at: Mapped[datetime.datetime | None] = mapped_column(Instant)
    revoked_at: Mapped[datetime.datetime | None] = mapped_column(Instant)


class AuditEvent(Base):
    """Something that somebody did. The row stays as it is, whatever becomes of those it names: it has no foreign key.

    `subject` is the id of what was changed, as GraphQL has it.
    """

    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_action_id", "action", "id"),
        Index("ix_audit_event_actor_id_id", "actor_id", "id"),
        Index("ix_audit_event_subject_id", "subject", "id"),
    )

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True)
    created_at: Mapped[datetime.datetime] = mapped_column(Instant)
    action: Mapped[AuditAction] = mapped_column(EnumText(AuditAction))
    actor_id: Mapped[int | None] = mapped_column(Snowflake)
    actor_name: Mapped[str | None] = mapped_column(Text)
    credential_id: Mapped[int | None] = mapped_column(Snowflake)
    door: Mapped[AuditDoor] = mapped_column(EnumText(AuditDoor))
    address: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    subject: Mapped[str | None] = mapped_column(Text)
    subject_name: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, Any] | None] = mapped_column(JsonText)


class SignInBucket(Base):
    """How much of a token bucket of failed sign-ins is used: it is full again at `full_at`, in seconds since 1970.

    `key` is a hash of whose it is: nothing that somebody typed is stored. A row in the past is as good as none.
    """

    __tablename__ = "sign_in_bucket"
    __table_args__ = (Index("ix_sign_in_bucket_full_at", "full_at"),)

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    full_at: Mapped[float] = mapped_column(Float)


class RateBucket(Base):
    """How much of a caller's budget is used, as servers tell each other: a row as of SignInBucket."""

    __tablename__ = "rate_bucket"
    __table_args__ = (Index("ix_rate_bucket_full_at", "full_at"),)

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    full_at: Mapped[float] = mapped_column(Float)


class RegisteredOperation(Base):
    """A document that callers may name by its id, and, where a server takes registered operations alone, may run.

    `id` is what its manifest calls it, mostly a hash; `name` is that of its operation, or of several, with commas.
    """

    __tablename__ = "registered_operation"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str | None] = mapped_column(Text)
    document: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime.datetime] = mapped_column(Instant)
