"""How long requests keep the event loop's one thread from everybody else: the steps between their waits."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Generator
from typing import Any


class Spent:
    """Seconds of steps: those in which the thread computed, and those that went by meanwhile.

    These are more where others compute, too: on a busy machine, or in other threads of this process.
    """

    __slots__ = ("busy", "passed")

    def __init__(self, seconds: float = 0.0) -> None:
        self.busy = self.passed = seconds

    def add(self, seconds: float) -> None:
        """Count what was computed elsewhere."""
        self.busy += seconds
        self.passed += seconds

    def include(self, other: Spent) -> None:
        """Count what was counted in another thread: one alone changes each of these."""
        self.busy += other.busy
        self.passed += other.passed

    def __enter__(self) -> None:
        """`with spent`: count the block, in which nothing is awaited."""
        self.passed -= time.perf_counter()
        self.busy -= time.thread_time()

    def __exit__(self, *_: object) -> None:
        self.busy += time.thread_time()
        self.passed += time.perf_counter()


class Counted:
    """Awaits what it is given, and counts its steps."""

    __slots__ = ("_spent", "_steps")

    def __init__(self, awaitable: Awaitable[Any], spent: Spent) -> None:
        self._steps = awaitable.__await__()
        self._spent = spent

    def __await__(self) -> Generator[Any, Any, Any]:
        return _Steps(self._steps, self._spent)


class _Steps(Generator[Any, Any, Any]):
    __slots__ = ("_spent", "_steps")

    def __init__(self, steps: Generator[Any, Any, Any], spent: Spent) -> None:
        self._steps = steps
        self._spent = spent

    def send(self, value: Any) -> Any:
        with self._spent:
            return self._steps.send(value)

    def throw(self, error: Any, *_: Any) -> Any:
        with self._spent:
            return self._steps.throw(error)

    def close(self) -> None:
        self._steps.close()
