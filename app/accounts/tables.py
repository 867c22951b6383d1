"""Tables of accounts."""

from __future__ import annotations

import datetime
import enum

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import Base, EnumText, Instant, Snowflake, Text


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
