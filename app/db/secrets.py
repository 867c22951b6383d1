"""Secrets of the book's own, which all its servers share: made once, kept in the database, never shown."""

from __future__ import annotations

import secrets

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import Base, Text
from app.db.unit_of_work import UnitOfWork

CURSORS = "cursors"
"""Signs the cursors of lists."""


class Secret(Base):
    """A random text with a name."""

    __tablename__ = "secret"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)


def ensure_secret(uow: UnitOfWork, name: str) -> str:
    """The secret of this name; the first to ask makes it. 256 bits in hex."""
    on = postgresql if uow.dialect_name == "postgresql" else sqlite
    made = on.insert(Secret).values(name=name, value=secrets.token_hex(32)).on_conflict_do_nothing()
    uow.connection.execute(made)
    value: str = uow.connection.execute(select(Secret.value).where(Secret.name == name)).scalar_one()
    return value
