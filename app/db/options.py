"""How a database is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Options:
    """Times are in seconds.

    `synchronous` holds for SQLite: FULL keeps every acknowledged write through a power loss, NORMAL only through a
    crash of the process. `writers` holds for PostgreSQL; SQLite has one. `read_timeout` stops a read, `busy_timeout`
    ends waiting for a lock, `patience` waiting for a free connection. `write_timeout` stops a statement of PostgreSQL
    that writes, and a transaction in which nothing happens for so long; None: they may take as long as they do.
    """

    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    readers: int = 8
    writers: int = 8
    read_timeout: float = 30.0
    write_timeout: float | None = None
    busy_timeout: float = 5.0
    patience: float = 30.0
