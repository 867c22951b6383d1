"""What SQLite's trace tells, and who counts statements."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from app.db.database import Database
from app.db.sqlite import SqliteBackend

Count = Callable[[Awaitable[Any]], Awaitable[list[str]]]
"""The statements that a database executes while something is awaited."""


@asynccontextmanager
async def traced(database: Database, *, readers: bool = False) -> AsyncIterator[list[str]]:
    """What SQLite's writer executes within the block, and all that read, if they count. Look before the block ends.

    Each connection is told by the thread that uses it. Any other waits there for the statement that runs, and holds the
    interpreter's lock, which the statement waits for, to be traced: for ever.
    """
    backend = database.backend
    assert isinstance(backend, SqliteBackend)
    writer, pool = backend._writer, backend._readers
    # All of them: how many are used side by side depends on what else the machine does.
    reading = [await pool.acquire() for _ in range(pool._size)] if readers else []
    for reader in reading:
        pool.release(reader)

    async def tell(heard: Callable[[str], None] | None) -> None:
        await writer.call(partial(writer.raw.set_trace_callback, heard))
        for reader in reading:
            await reader.connection.set_trace_callback(heard)  # type: ignore[arg-type]

    statements: list[str] = []
    await tell(statements.append)
    try:
        yield statements
    finally:
        await tell(None)


def asked(traced: Iterable[str]) -> list[str]:
    """The statements that we asked for, without FTS5's own, which are comments.

    A statement that sets off triggers is told again at each step of theirs.
    """
    kept: list[str] = []
    for sql in traced:
        has_trigger = "INTO record_search" in sql or "INTO audit_event" in sql
        if not sql.startswith("--") and not (has_trigger and kept and kept[-1] == sql):
            kept.append(sql)
    return kept
