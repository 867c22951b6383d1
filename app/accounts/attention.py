"""How long callers keep a server from everybody else: requests that are long to read are not to stop it for others.

A text that was never seen before is parsed, validated and compiled, and large variables are checked, in the one thread
that serves everybody. What a price says of that is a guess; here the time is counted, whatever it was spent on. Callers
who take more than their share wait until it has come back, or are refused. Each server counts for itself.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from app.errors import Code, GradbookError
from app.graphql.spent import Spent
from app.settings import PREFIX

WINDOW = 5.0
"""Seconds whose share can be used up at once: 3/4 s of 15 %, in which somebody's first page reads dozens of texts."""

DEBT = 60.0
"""Seconds that somebody waits at most."""

PATIENCE = 10.0
"""Seconds that one request of a caller waits, so that who asks one after the other is slowed down and sees no error."""

MOMENT = 0.002
"""Seconds of computing that are not counted: who sends many such requests is bounded by what they cost."""

CROWDED = 3
"""Times as long as it computed may something count: when much else goes on, it is that which takes the time."""

MAX_CALLERS = 10_000
"""Callers that are remembered; beyond, those are forgotten that were counted least recently."""


class Attention:
    """The share of one thread's time that each caller may take. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By caller, when nothing of it counts any more.
        self._free_at: OrderedDict[Hashable, float] = OrderedDict()
        self._waiting: set[Hashable] = set()

    def take(self, caller: Hashable, spent: Spent, share: float) -> None:
        """Count what a request took, of which the caller may have a `share` (1 is all). Moments are not counted."""
        if spent.busy < MOMENT:
            return
        seconds = min(spent.passed, CROWDED * spent.busy)
        now = self._clock()
        free_at = min(max(self._free_at.get(caller, now), now) + seconds / share, now + WINDOW + DEBT)
        self._free_at[caller] = free_at
        self._free_at.move_to_end(caller)
        if len(self._free_at) > MAX_CALLERS:
            self._free_at.popitem(last=False)

    async def admit(self, caller: Hashable) -> None:
        """Wait while a caller took too much. Raises RATE_LIMITED if it is long, or another of theirs waits already."""
        wait = self._wait(caller)
        if wait <= 0:
            return
        if wait > PATIENCE or caller in self._waiting:
            raise _refused(wait)
        self._waiting.add(caller)
        try:
            await asyncio.sleep(wait)
        finally:
            self._waiting.remove(caller)

    def check(self, caller: Hashable) -> None:
        """Raise RATE_LIMITED for a caller who took too much: where nobody can wait."""
        wait = self._wait(caller)
        if wait > 0:
            raise _refused(wait)

    def _wait(self, caller: Hashable) -> float:
        """Seconds until the caller may ask."""
        return self._free_at.get(caller, 0.0) - self._clock() - WINDOW


def _refused(wait: float) -> GradbookError:
    seconds = math.ceil(wait)
    return GradbookError(
        Code.RATE_LIMITED,
        f"To read these requests takes more of the server's time than one caller may have "
        f"({PREFIX}ATTENTION_PERCENT): try again in {seconds} second{'s' if seconds > 1 else ''}. Texts that "
        "stay the same, with variables, are read once; large inputs are read faster in parts.",
        retry_after=seconds,
    )
