"""Empty databases to fill and to measure on."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tests.support.postgres import PostgresServer

KINDS = ("postgresql", "sqlite")


@dataclass(frozen=True, slots=True)
class EmptyDatabases:
    """The URLs of some databases, and the process of their server if they have one."""

    kind: str
    urls: Sequence[str]
    pid: int | None = None


@contextmanager
def empty_databases(
    kind: str, names: Sequence[str], settings: Mapping[str, str] | None = None
) -> Iterator[EmptyDatabases]:
    """Databases of one durable server of their own, with these settings, or files of one folder."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="gradbook-bench-") as folder:
            yield EmptyDatabases(kind, [f"sqlite:///{Path(folder) / name}.db" for name in names])
        return
    with PostgresServer(durable=True, settings=dict(settings or {})) as server:
        for name in names:
            asyncio.run(execute(server.url("postgres"), f"CREATE DATABASE {name}"))
        yield EmptyDatabases(kind, [server.url(name) for name in names], server.pid)


async def execute(url: str, statement: str) -> None:
    """One statement on PostgreSQL, outside of any transaction."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
