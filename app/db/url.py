"""Database URLs."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.errors import Code, GradbookError

# The driver that a URL may name does not matter: there is one for each database.
_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


def parse_url(url: str) -> URL:
    """The URL, checked: `sqlite:///path/to/file.db` or `postgresql://...`. Raises INVALID_INPUT."""
    try:
        parsed = make_url(url)
        kind = parsed.drivername.split("+")[0]
    except (ArgumentError, ValueError):
        parsed, kind = None, ""
    if parsed is None or kind not in _DRIVERS:
        raise GradbookError(
            Code.INVALID_INPUT,
            "A database URL is sqlite:///path/to/file.db or postgresql://user:password@host:5432/database"
            + (f", not {kind}://…" if kind else "; this is none, or its port is not a number."),
        )
    if kind == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise GradbookError(
            Code.INVALID_INPUT, f"{url!r} names no file; several connections share the database, so it must be one."
        )
    return parsed.set(drivername=_DRIVERS[kind])


def shown(url: URL) -> str:
    """How messages name the database: a file's path, or a server's database without the password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"{url.database} on {url.host or 'localhost'}:{url.port or 5432}"
