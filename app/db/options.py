"""How a database is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Options:
    """Times are in seconds.

    `synchronous` holds for SQLite: FULL keeps every acknowledged write through a power loss, NORMAL only through a
    crash of the process. `writers` holds for PostgreSQL; SQLite has one. `read_timeout` stops a read, `busy_timeout`
    ends waiting for a lock, `patience` waiting for a free connection.
    """

    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    readers: int = 8
    writers: int = 8
    read_timeout: float = 30.0
    busy_timeout: float = 5.0
    patience: float = 30.0
