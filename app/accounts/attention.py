"""How long callers keep a server from everybody else: requests that are long to read are not to stop it for others.

A text that was never seen before is parsed, validated and compiled, and large variables are checked, in the one thread
that serves everybody. What a price says of that is a guess; here the time is counted, whatever it was spent on. Callers
who take more than their share wait until it has come back, or are refused. A few callers have several shares each, so
that who is alone is hardly held up. Each server counts for itself.
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
"""Seconds whose share can be used up at once: 1/2 s of 10 %, in which somebody's first page reads dozens of texts."""

DEBT = 60.0
"""Seconds that somebody waits at most."""

SHARES = 7
"""Shares that the callers of the last seconds have together, if they are so few: of a tenth each, 70 % of the time."""

PATIENCE = 10.0
"""Seconds that one request of a caller waits, so that who asks one after the other is slowed down and sees no error."""

MOMENT = 0.002
"""Seconds of computing that are not counted: who sends many such requests is bounded by what they cost."""

CROWDED = 3
"""Times as long as it computed may something count: when much else goes on, it is that which takes the time."""

MAX_CALLERS = 10_000
"""Callers that are remembered; beyond, those are forgotten who were heard of least recently."""


class Attention:
    """The share of one thread's time that each caller may take. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # By caller, when nothing of it counts any more.
        self._free_at: OrderedDict[Hashable, float] = OrderedDict()
        self._waiting: set[Hashable] = set()
        self._heard_at: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, caller: Hashable, spent: Spent, share: float) -> None:
        """Count what a request took of the time. A caller's share is this (1 is all). Moments are not counted."""
        if spent.busy < MOMENT:
            return
        seconds = min(spent.passed, CROWDED * spent.busy)
        now = self._clock()
        free_at = max(self._free_at.get(caller, now), now) + seconds / (share * self._shares(now))
        _keep(self._free_at, caller, min(free_at, now + WINDOW + DEBT))

    async def admit(self, caller: Hashable) -> None:
        """Wait while a caller took too much. Raises RATE_LIMITED if it is long, or another of theirs waits already."""
        wait = self.wait(caller)
        if wait <= 0:
            return
        if wait > PATIENCE or caller in self._waiting:
            raise _refused(wait)
        self._waiting.add(caller)
        try:
            await asyncio.sleep(wait)
        finally:
            self._waiting.remove(caller)

    def wait(self, caller: Hashable) -> float:
        """Seconds until the caller may ask, who is heard of now: none, or fewer, if they may at once."""
        now = self._clock()
        _keep(self._heard_at, caller, now)
        return self._free_at.get(caller, 0.0) - now - WINDOW

    def _shares(self, now: float) -> float:
        """How many each of the callers has who were heard of lately."""
        while self._heard_at and next(iter(self._heard_at.values())) < now - WINDOW:
            self._heard_at.popitem(last=False)
        return max(1.0, SHARES / max(1, len(self._heard_at)))


def _keep(times: OrderedDict[Hashable, float], caller: Hashable, at: float) -> None:
    times[caller] = at
    times.move_to_end(caller)
    if len(times) > MAX_CALLERS:
        times.popitem(last=False)


def _refused(wait: float) -> GradbookError:
    seconds = math.ceil(wait)
    return GradbookError(
        Code.RATE_LIMITED,
        f"To read these requests takes more of the server's time than one caller may have "
        f"({PREFIX}ATTENTION_PERCENT): try again in {seconds} second{'s' if seconds > 1 else ''}. Texts that "
        "stay the same, with variables, are read once; large inputs are read faster in parts.",
        retry_after=seconds,
    )
