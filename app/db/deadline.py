"""When what somebody asked for must have ended, known to the transactions that it runs."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import NamedTuple, Self

from app.errors import Code, GradbookError


class Deadline(NamedTuple):
    """`at` is a time of `time.monotonic`; `seconds` is how long there was."""

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """So many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    @property
    def has_passed(self) -> bool:
        """Whether it is too late."""
        return time.monotonic() > self.at


DEADLINE: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
"""None for commands, and for what a server does by itself."""


def too_slow(seconds: float) -> GradbookError:
    """The error for a read that exceeds its time."""
    return GradbookError(
        Code.TIMEOUT, f"The query took longer than {seconds:g} seconds and was stopped: ask for less at once."
    )


def too_late(seconds: float) -> GradbookError:
    """The error for a transaction that exceeds its time; it was rolled back."""
    return GradbookError(
        Code.TIMEOUT,
        f"This was not done within {seconds:g} seconds and was stopped; nothing of it is stored. Send less at once, or "
        "try again later.",
    )
