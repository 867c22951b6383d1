"""Migrations: bringing a database to the schema that this version of the code works with.

All functions are synchronous; in async code call them by `asyncio.to_thread`. Each runs in one transaction, also on
SQLite, and two processes that migrate at once take turns. A new revision is written by
`python -m app.db.migrate "what changes"` from the difference between the tables and the newest migration.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from app.db import postgresql, revisions, sqlite
from app.db.database import make_backend
from app.db.guard import Guard
from app.db.options import Options
from app.db.unit_of_work import Room
from app.db.url import parse_url, shown

R = TypeVar("R")

# Any number will do, as long as it is always the same: PostgreSQL's advisory lock for migrations.
_LOCK = 0x47726462
# Time to wait for another process that migrates or writes, in seconds.
_PATIENCE = 60.0


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate up to `revision`; an empty or missing SQLite file becomes a database.

    Raises DATABASE_MISMATCH for a database that is newer or not ours, DATABASE_UNAVAILABLE if it cannot be reached.
    """
    _run(url, lambda config, _: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Migrate down to `revision`; "base" is an empty database."""
    _run(url, lambda config, _: command.downgrade(config, revision))


def current(url: str) -> str | None:
    """The revision that the database is at; None if it is empty."""
    parsed = parse_url(url)

    async def read() -> str | None:
        backend = make_backend(parsed, Options(), Room(Guard((), parsed.get_backend_name())))
        await backend.open()
        try:
            return await backend.revision()
        finally:
            await backend.close()

    return asyncio.run(read())


def check(url: str) -> None:
    """Raise DATABASE_MISMATCH unless the database is at the newest revision."""
    revisions.check_newest(current(url), shown(parse_url(url)))


def drift(url: str) -> list[Any]:
    """How the tables of the code differ from the database: alembic's operations, none if they are the same."""

    def compare(config: Config, connection: Connection) -> list[Any]:
        found: list[Any] = []

        def collect(_: Any, __: Any, directives: list[Any]) -> None:
            found.extend(directives[0].upgrade_ops.as_diffs())
            directives.clear()

        config.attributes["connection"] = connection
        command.revision(config, autogenerate=True, process_revision_directives=collect)
        return found

    return _run(url, compare)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(revisions.folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _run(url: str, work: Callable[[Config, Connection], R]) -> R:
    """Run `work` in a transaction that excludes other migrations."""
    parsed = parse_url(url)
    where = shown(parsed)

    def guarded(connection: Connection) -> R:
        revisions.check_known(_revision(connection), where)
        config = _config()
        config.attributes["connection"] = connection
        return work(config, connection)

    if parsed.get_backend_name() == "postgresql":
        current(url)  # is it there, and ours?
        return postgresql.exclusive(parsed, _LOCK, guarded)
    with sqlite.exclusive(str(parsed.database), _PATIENCE) as connection:
        return guarded(connection)


def _write_revision(message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/newest.db"
        upgrade(url)
        number = f"{len(revisions.known()) + 1:04}"
        _run(url, lambda config, _: command.revision(config, message, autogenerate=True, rev_id=number))


if __name__ == "__main__":
    _write_revision(sys.argv[1])
