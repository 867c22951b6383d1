"""How alembic runs the migrations: on the connection, and in the transaction, that app.db.migrate gives it."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context

import app.accounts.tables
import app.annotation.tables
import app.db.changes
import app.db.secrets
import app.training.tables  # noqa: F401 - these imports fill Base.metadata
from app.db.types import Base, EnumText


def render_item(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Our column types by their names. An enum is rendered as text: a migration must not change with the enum."""
    if kind != "type" or not type(item).__module__.startswith("app."):
        return False
    return "Text()" if isinstance(item, EnumText) else f"{type(item).__name__}()"


def include_name(name: str | None, kind: str, _: Any) -> bool:
    """Not what no table declares: SQLite's full-text index with the tables behind it, and PostgreSQL's."""
    return not (kind == "table" and str(name).startswith("record_fts")) and name != "ix_record_search_terms"


connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("Run `gradbook migrate`, or `python -m app.db.migrate MESSAGE` for a new revision.")

context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=render_item,
    include_name=include_name,
    autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
)
context.run_migrations()
