"""What callers may spend in a minute: token buckets in the memory of each server, which servers share now and then.

Whoever is signed in is charged to their credential and to their address, others to their address twice: to the bucket
that it has for everybody, and to a narrower one for callers who are not known. Of IPv6 the /64 counts.

A bucket is one number: when it will be full again. What was charged is counted in seconds of refilling, so a bucket
holds a minute. A full one is as good as none, and is forgotten.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.accounts.attention import Attention
from app.accounts.throttle import bucket_key, network
from app.graphql.budget import BudgetError
from app.graphql.spent import Spent
from app.origin import ORIGIN
from app.settings import PREFIX, Settings

WINDOW = 60.0
"""Seconds in which an empty bucket is full again."""

DEBT = 60.0
"""Seconds that a bucket can be below empty: by what was charged afterwards, or by several servers at the same time."""

NOTICEABLE = 0.1
"""The part of a bucket that has to be used before other servers hear of it: ordinary callers cost no writes."""

MAX_BUCKETS = 10_000
"""Buckets of one kind that are kept, some 300 bytes each; beyond, those go that were used least recently."""

MAX_SHARED = 1_000
"""Buckets that are shared at a time; others wait for the next time."""


@dataclass(frozen=True, slots=True)
class Budgeted:
    """What each may spend in a minute, in the unit of costs; 0 is without limit."""

    key: int = 0
    address: int = 0
    anonymous: int = 0
    attention: float = 1.0
    """The part of the server's time that one caller may take for reading; 1 is without limit."""
    anonymous_attention: float = 1.0

    @classmethod
    def by(cls, settings: Settings) -> Budgeted:
        """What the settings say."""
        key = settings.budget_per_minute
        percent = settings.anonymous_percent
        anonymous = math.ceil(key * percent / 100)
        attention = settings.attention_percent / 100
        strangers = 1.0 if attention == 1 else settings.attention_percent * percent / 10_000
        return cls(key, settings.budget_per_address_per_minute, anonymous, attention, strangers)


class Budgets:
    """The buckets of one server. `charge` and `owe` take some microseconds, and wait for nothing."""

    def __init__(self, budgeted: Budgeted, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._attention = Attention(clock)
        self._shares = {True: budgeted.attention, False: budgeted.anonymous_attention}
        self._noticed: dict[str, _Bucket] = {}
        key = _Kind("credential", budgeted.key, "this key or session", "BUDGET_PER_MINUTE")
        address = _Kind("address", budgeted.address, "all callers from {}", "BUDGET_PER_ADDRESS_PER_MINUTE")
        anonymous = _Kind("anonymous", budgeted.anonymous, "callers from {} who are not signed in", "BUDGET_PER_MINUTE")
        self._known = [kind for kind in (key, address) if kind.size]
        self._unknown = [kind for kind in (anonymous, address) if kind.size]

    def charge(self, viewer: Any, cost: int) -> int | None:
        """Take it from the caller's buckets, and return what is left in the emptier one; None is without limit.

        What costs more than a bucket holds takes all of a full one. Raises BudgetError, and takes nothing.
        """
        now = self._clock()
        end = now + WINDOW + _ROUNDING
        left: float | None = None
        buckets = self._buckets(viewer, now)
        for bucket in buckets:
            kind = bucket.kind
            after = max(bucket.full_at, now) + min(cost * kind.seconds, WINDOW)
            if after > end:
                raise _refused(bucket, cost, now)
            rest = (end - after) / kind.seconds
            if left is None or rest < left:
                left = rest
        self._take(buckets, cost, now)
        return None if left is None else int(left)

    def owe(self, viewer: Any, cost: int) -> None:
        """Take what was spent already. Until it has come back, nothing can be charged."""
        now = self._clock()
        self._take(self._buckets(viewer, now), cost, now)

    async def admit(self, viewer: Any) -> None:
        """Wait while a caller took too much of the server's time. Raises RATE_LIMITED if that is too long."""
        await self._attention.admit(_caller(viewer))

    def hold(self, viewer: Any, spent: Spent) -> None:
        """Count how long a request kept the server from everybody else."""
        share = self._shares[viewer is not None]
        if share < 1:
            self._attention.take(_caller(viewer), spent, share)

    def _buckets(self, viewer: Any, now: float) -> list[_Bucket]:
        address = _address()
        if viewer is None:
            return [kind.bucket(address, now) for kind in self._unknown]
        whose = {"credential": _caller(viewer), "address": address}
        return [kind.bucket(whose[kind.name], now) for kind in self._known]

    def _take(self, buckets: list[_Bucket], cost: int, now: float) -> None:
        for bucket in buckets:
            seconds = min(cost * bucket.kind.seconds, WINDOW)
            after = max(bucket.full_at, now) + seconds
            bucket.full_at = min(after, now + WINDOW + DEBT)
            bucket.unshared += seconds
            if after > now + NOTICEABLE * WINDOW and not bucket.is_noticed:
                bucket.is_noticed = True
                self._noticed[bucket_key(bucket.kind.name, str(bucket.whose))] = bucket

    # Sharing

    def to_share(self) -> dict[str, float]:
        """By its hash, each bucket that is noticeably used: what was charged here since the last time, in seconds.

        It counts as shared from now on: `take_back` what was not.
        """
        now = self._clock()
        shared: dict[str, float] = {}
        for key, bucket in list(self._noticed.items()):
            if len(shared) == MAX_SHARED:
                break
            del self._noticed[key]
            used = bucket.used(now)
            if used <= NOTICEABLE * WINDOW:
                bucket.is_noticed = False
                continue
            self._noticed[key] = bucket  # at the end: next time it is others' turn
            # What was charged long ago has come back since.
            shared[key], bucket.unshared = min(bucket.unshared, used), 0.0
        return shared

    def take_back(self, shared: Mapping[str, float]) -> None:
        """Share it next time: this time it was not possible."""
        for key, seconds in shared.items():
            if (bucket := self._noticed.get(key)) is not None:
                bucket.unshared += seconds

    def learn(self, full_at: Mapping[str, float]) -> None:
        """Take over when buckets are full by what all servers have shared."""
        now = self._clock()
        for key, then in full_at.items():
            if (bucket := self._noticed.get(key)) is not None:
                bucket.full_at = min(max(then, now) + bucket.unshared, now + WINDOW + DEBT)

    @property
    def now(self) -> float:
        """Seconds since 1970, as the buckets count them."""
        return self._clock()


_ROUNDING = 1e-6  # seconds


class _Kind:
    """The buckets of one kind, by whose they are: `size` refills in a minute, one unit of it in `seconds`.

    `whom` and `setting` are for messages.
    """

    def __init__(self, name: str, size: int, whom: str, setting: str) -> None:
        self.name = name
        self.size = size
        self.seconds = WINDOW / max(1, size)
        self.whom = whom
        self.setting = setting
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def bucket(self, whose: Hashable, now: float) -> _Bucket:
        """The bucket of that caller."""
        bucket = self._buckets.get(whose)
        if bucket is None:
            self._forget(now)
            bucket = self._buckets[whose] = _Bucket(self, whose, now)
        else:
            self._buckets.move_to_end(whose)
            bucket.full_at = min(bucket.full_at, now + WINDOW + DEBT)  # the clock may have been set back
        return bucket

    def _forget(self, now: float) -> None:
        # Two for each new one: so full buckets get fewer, and nobody waits for all of them to be looked through.
        for _ in range(2):
            oldest = next(iter(self._buckets.values()), None)
            if oldest is not None and (oldest.full_at <= now or len(self._buckets) >= MAX_BUCKETS):
                del self._buckets[oldest.whose]


class _Bucket:
    """`unshared` are seconds that were charged here and that no other server has heard of."""

    __slots__ = ("full_at", "is_noticed", "kind", "unshared", "whose")

    def __init__(self, kind: _Kind, whose: Hashable, now: float) -> None:
        self.kind = kind
        self.whose = whose
        self.full_at = now
        self.unshared = 0.0
        self.is_noticed = False

    def used(self, now: float) -> float:
        """Seconds until it is full."""
        return max(0.0, self.full_at - now)


def _refused(bucket: _Bucket, cost: int, now: float) -> BudgetError:
    kind, used = bucket.kind, bucket.used(now)
    wait = max(1, math.ceil(used + min(cost * kind.seconds, WINDOW) - WINDOW))
    remaining = max(0, int((WINDOW - used) / kind.seconds))
    names = f"{PREFIX}{kind.setting}" + (f", {PREFIX}ANONYMOUS_PERCENT" if kind.name == "anonymous" else "")
    message = (
        f"This costs {cost:,}, and of the {kind.size:,} a minute for {kind.whom.format(bucket.whose)} ({names}) "
        f"{remaining:,} are left: try again in {wait} second{'s' if wait > 1 else ''}."
    )
    return BudgetError(message, remaining=remaining, retry_after=wait)


def _caller(viewer: Any) -> Hashable:
    """Who is charged before all others."""
    return _address() if viewer is None else viewer.credential_id or f"usr_{viewer.id}"


def _address() -> str:
    origin = ORIGIN.get()
    return _network((origin and origin.address) or "an unknown address")


_network = lru_cache(MAX_BUCKETS)(network)
