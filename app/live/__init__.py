"""What happens now: the bus that says where something changed, and the feeds that read what."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from app.db import Database
from app.live.bus import Bus as Bus
from app.live.postgres import PostgresBus
from app.live.sqlite import SqliteBus


@contextlib.asynccontextmanager
async def open_bus(database: Database, *, poll_seconds: float, heal_seconds: float) -> AsyncIterator[Bus]:
    """The bus of a database, which hears of its commits, for the length of the block. Close it before the database.

    `poll_seconds`: how often SQLite's file is asked whether another process committed. `heal_seconds`: what a lost
    notification costs at most.
    """
    bus: Bus
    if database.dialect_name == "sqlite":
        bus = SqliteBus(database, poll_seconds=poll_seconds, heal_seconds=heal_seconds)
    else:
        bus = PostgresBus(database, heal_seconds=heal_seconds)
    await bus.start()
    database.on_commit = bus.publish
    try:
        yield bus
    finally:
        database.on_commit = None
        await bus.close()
