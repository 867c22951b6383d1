"""Snowflakes: 64-bit ids that are ordered by time and unique across tables, processes and machines.

| bits | what |
|---|---|
| 1 | zero: an id is positive everywhere |
| 41 | milliseconds since 2024-01-01 UTC: enough until 2093 |
| 12 | worker: drawn at random by each process |
| 10 | sequence: 1,024 ids a millisecond; more borrow from the milliseconds to come |
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable

EPOCH_MS = 1_704_067_200_000
WORKER_BITS = 12
SEQUENCE_BITS = 10
MAX_ID = 2**63 - 1

_WORKERS = 2**WORKER_BITS
_SEQUENCES = 2**SEQUENCE_BITS


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


class IdGenerator:
    """Draws ids that only grow, from any thread.

    When the clock goes back, the last millisecond goes on being used until the clock has caught up.
    Two processes with the same worker number can draw the same id: whoever meets the key takes `new_worker`.
    """

    def __init__(self, clock_ms: Callable[[], int] = _clock_ms, worker: int | None = None) -> None:
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._worker = secrets.randbelow(_WORKERS) if worker is None else worker
        self._ms = 0
        self._sequence = 0

    @property
    def worker(self) -> int:
        """The number in use, 0 to 4,095."""
        return self._worker

    def new_id(self) -> int:
        """An id greater than every id drawn before."""
        with self._lock:
            return self._draw(self._clock_ms() - EPOCH_MS)

    def new_ids(self, count: int) -> list[int]:
        """`count` ids in growing order."""
        with self._lock:
            now = self._clock_ms() - EPOCH_MS
            return [self._draw(now) for _ in range(count)]

    def new_worker(self) -> None:
        """Take another worker number; ids still only grow."""
        with self._lock:
            self._worker = (self._worker + 1 + secrets.randbelow(_WORKERS - 1)) % _WORKERS
            self._ms += 1
            self._sequence = 0

    def _draw(self, now: int) -> int:
        if now > self._ms:
            self._ms = now
            self._sequence = 0
        drawn = (self._ms << WORKER_BITS | self._worker) << SEQUENCE_BITS | self._sequence
        self._sequence += 1
        if self._sequence == _SEQUENCES:
            self._ms += 1
            self._sequence = 0
        return drawn
