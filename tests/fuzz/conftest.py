"""The library on both databases, made once for all examples: they only read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.db.database import Database
from app.graphql.limits import DEFAULTS
from app.schema import build_schema
from tests.fuzz.budget import SEED
from tests.fuzz.library import Library, copy, fill, opened
from tests.graphql.asking import SECRET, Asker
from tests.support.databases import PostgresDatabases, SqliteDatabases


@pytest.fixture(scope="session")
async def library(sqlite_databases: SqliteDatabases, postgresql_databases: PostgresDatabases) -> AsyncIterator[Library]:
    """Asked within the limits of a server."""
    built = build_schema(SECRET)
    urls = [(kind, await kind.create()) for kind in (sqlite_databases, postgresql_databases)]
    databases = [await Database.open(url) for _, url in urls]
    try:
        await fill(databases[0], SEED)
        await copy(*databases)
        yield await opened({one.dialect_name: Asker(built, one, DEFAULTS) for one in databases})
    finally:
        for one in databases:
            await one.close()
        for kind, url in urls:
            await kind.remove(url)
