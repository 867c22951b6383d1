"""The revisions of the schema that this version of the code knows, read from the migrations' file names.

Opening a database asks for no more, and so need not wait for alembic to be imported.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from app.errors import Code, GradbookError


def folder() -> Path:
    """The migrations: in a wheel inside the package, in the source tree beside it."""
    package = Path(__file__).parents[1]
    packaged = package / "migrations"
    return packaged if packaged.is_dir() else package.parent / "migrations"


@cache
def known() -> tuple[str, ...]:
    """All revisions, oldest first: the numbers that `0001_foundation.py` and its successors begin with."""
    return tuple(sorted(path.name.split("_")[0] for path in (folder() / "versions").glob("[0-9]*_*.py")))


def head() -> str:
    """The newest revision."""
    return known()[-1]


def check_known(found: str | None, where: str) -> None:
    """Raise DATABASE_MISMATCH for a revision that we have never heard of; None is an empty database."""
    if found is not None and found not in known():
        raise GradbookError(
            Code.DATABASE_MISMATCH,
            f"The database {where} is at revision {found}, which this version of Gradbook does not know: a newer "
            "version made it, or another program. Update Gradbook, or use another database.",
        )


def check_newest(found: str | None, where: str) -> None:
    """Raise DATABASE_MISMATCH unless this is the newest revision."""
    check_known(found, where)
    if found != head():
        state = "is empty" if found is None else f"is at revision {found}, and this version of Gradbook needs {head()}"
        raise GradbookError(Code.DATABASE_MISMATCH, f"The database {where} {state}: run `gradbook migrate`.")
