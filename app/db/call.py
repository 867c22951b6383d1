"""Work that is handed to the one thread or greenlet that uses a connection."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Generic, TypeVar

R = TypeVar("R")


def forget(_: object) -> None:
    """Nobody is interested."""


class Call(Generic[R]):
    """Some work and the future that its caller awaits, made in the event loop.

    The work runs in the caller's context (its context variables). If the caller is cancelled before the work begins, it
    does not begin; if later, it goes on to its end, and what it returns goes to `abandoned`, in the event loop.
    """

    __slots__ = ("_abandoned", "_context", "_error", "_result", "_work", "future")

    def __init__(self, work: Callable[[], R], abandoned: Callable[[R], None] = forget) -> None:
        self.future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._context = contextvars.copy_context()
        self._work = work
        self._abandoned = abandoned
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do the work, in the thread or greenlet. Raises nothing but what ends a program."""
        if self.future.cancelled():
            return
        try:
            self._result = self._context.run(self._work)
        except Exception as error:  # noqa: BLE001 - it is the caller's
            self._error = error
        except BaseException:
            self.future.get_loop().call_soon_threadsafe(self.future.cancel)
            raise

    def settle(self) -> None:
        """Answer the caller; in the event loop."""
        if self.future.cancelled():
            if hasattr(self, "_result"):
                self._abandoned(self._result)
        elif self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)
