"""Statements are counted without getting into the way of those that run."""

from __future__ import annotations

import asyncio
import threading

from app.db.database import Database
from app.db.options import Options
from app.db.sqlite import SqliteBackend
from tests.support.databases import SqliteDatabases
from tests.support.traced import traced


async def test_a_statement_that_runs_when_counting_ends_comes_to_its_end(sqlite_databases: SqliteDatabases) -> None:
    """The process stands still if the trace is taken away by another thread than the one that executes."""
    began, go_on = threading.Event(), threading.Event()

    def pause() -> int:
        began.set()
        go_on.wait()
        return 1

    url = await sqlite_databases.create()
    async with await Database.open(url, options=Options(readers=1)) as database:
        assert isinstance(database.backend, SqliteBackend)
        reader = await database.backend._readers.acquire()
        await reader.connection.create_function("pause", 0, pause)
        database.backend._readers.release(reader)
        async with traced(database, readers=True) as statements:
            reading = asyncio.create_task(database.read("SELECT pause()"))
            await asyncio.to_thread(began.wait)
            asyncio.get_running_loop().call_soon(go_on.set)
        assert await reading == [(1,)]
        assert await database.read("SELECT 2") == [(2,)]
        assert statements == ["SELECT pause()"]
    await sqlite_databases.remove(url)
