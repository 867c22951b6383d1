"""Database URLs."""

from __future__ import annotations

from sqlalchemy import URL

from app.errors import Code, GradbookError
from app.settings import parse_database_url


def parse_url(url: str) -> URL:
    """The URL, checked: `sqlite:///path/to/file.db` or `postgresql://...`. Raises INVALID_INPUT."""
    try:
        return parse_database_url(url)
    except ValueError as error:
        raise GradbookError(Code.INVALID_INPUT, f"The database URL cannot be used: {error}.") from None


def shown(url: URL) -> str:
    """How messages name the database: a file's path, or a server's database without the password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"{url.database} on {url.host or 'localhost'}:{url.port or 5432}"
