"""Migrations: bringing a database to the schema that this version of the code works with.

All functions are synchronous; in async code call them by `asyncio.to_thread`. Each runs in one transaction, also on
SQLite, and two processes that migrate at once take turns. A new revision is written by
`python -m app.db.migrate "what changes"` from the difference between the tables and the newest migration.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from app.db import postgresql, sqlite
from app.db.url import parse_url, shown
from app.errors import Code, GradbookError

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
    return _run(url, lambda _, connection: _revision(connection))


def check(url: str) -> None:
    """Raise DATABASE_MISMATCH unless the database is at the newest revision."""
    check_revision(current(url), shown(parse_url(url)))


def check_revision(found: str | None, where: str) -> None:
    """Raise DATABASE_MISMATCH unless `found` is the newest revision."""
    _check_known(found, where)
    if found != head():
        state = "is empty" if found is None else f"is at revision {found}, this version of Gradbook needs {head()}"
        raise GradbookError(Code.DATABASE_MISMATCH, f"The database {where} {state}: run `gradbook migrate`.")


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


@cache
def head() -> str:
    """The newest revision."""
    newest = _scripts().get_current_head()
    assert newest is not None
    return newest


def _folder() -> Path:
    # In a wheel the migrations lie in the package; in the source tree beside it.
    package = Path(__file__).parents[1]
    packaged = package / "migrations"
    return packaged if packaged.is_dir() else package.parent / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _check_known(found: str | None, where: str) -> None:
    if found is not None and found not in {script.revision for script in _scripts().walk_revisions()}:
        raise GradbookError(
            Code.DATABASE_MISMATCH,
            f"The database {where} is at revision {found}, which this version of Gradbook does not know: a newer "
            "version made it. Update Gradbook, or use another database.",
        )


def _run(url: str, work: Callable[[Config, Connection], R]) -> R:
    """Run `work` in a transaction that excludes other migrations."""
    parsed = parse_url(url)
    where = shown(parsed)

    def guarded(connection: Connection) -> R:
        _check_known(_revision(connection), where)
        config = _config()
        config.attributes["connection"] = connection
        return work(config, connection)

    if parsed.get_backend_name() == "postgresql":
        return postgresql.exclusive(parsed, _LOCK, guarded)
    with sqlite.exclusive(str(parsed.database), _PATIENCE) as connection:
        return guarded(connection)


def _write_revision(message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/newest.db"
        upgrade(url)
        number = f"{len(list(_scripts().walk_revisions())) + 1:04}"
        _run(url, lambda config, _: command.revision(config, message, autogenerate=True, rev_id=number))


if __name__ == "__main__":
    _write_revision(sys.argv[1])
