"""What callers have to spend: the prices beside those of app.graphql.cost, and what this package knows of budgets.

One unit is some microsecond of CPU time, the database's included, as measured on a slow core. Whatever a request makes
the server do is paid before it is done, by whoever asks.
"""

from __future__ import annotations

from typing import Any, Protocol, TypedDict

from app.errors import Code, GradbookError
from app.graphql.spent import Spent

REQUEST = 300
"""A request, whatever it asks for and whatever becomes of it: who it is, what it says, an answer."""

CHARACTER = 10
"""A character of a document that is read for the first time: 5 to 16 µs, more for short words than for long ones."""

PLAN = 5_000
"""A statement that is compiled for the first time, and each list in it. It is not known before, so it is owed."""

RECEIVED = 6e-9
"""Seconds that a byte of a large body takes to arrive and to be put together."""

MESSAGE = 50e-6
"""Seconds that a small message of a socket takes, with an answer as small: a ping."""

FILE = 100_000
"""A file that is sent or taken."""


class Cost(TypedDict, total=False):
    """`extensions.cost` of an answer: see docs/security.md. Without a budget there is no `remaining`."""

    requested: int
    limit: int
    remaining: int


class Budget(Protocol):
    """What callers may spend."""

    def charge(self, viewer: Any, cost: int) -> int | None:
        """Take it from whoever asks (None is nobody who is known), and return what is left; None is without end.

        Raises BudgetError where there is not so much, and takes nothing.
        """

    def owe(self, viewer: Any, cost: int) -> None:
        """Take what was spent already, though there may not be so much."""

    async def admit(self, viewer: Any) -> None:
        """Let wait whoever took too much of the server's time. Raises RATE_LIMITED if that is too long."""

    def hold(self, viewer: Any, spent: Spent) -> None:
        """Count how long a request kept the server from everybody else."""


class BudgetError(GradbookError):
    """RATE_LIMITED: `remaining` is left, and `retry_after` says when it will be enough."""

    def __init__(self, message: str, *, remaining: int, retry_after: int) -> None:
        super().__init__(Code.RATE_LIMITED, message, retry_after=retry_after)
        self.remaining = remaining
        self.cost: Cost | None = None


class Bill:
    """What one request is charged, whoever asks; `cost` is what its answer tells of it, once it is known."""

    __slots__ = ("_budget", "_due", "_viewer", "cost")

    def __init__(self, budget: Budget | None, viewer: Any) -> None:
        self._budget = budget
        self._viewer = viewer
        self._due = REQUEST
        self.cost: Cost | None = None

    def ask(self, cost: int, limit: int) -> None:
        """Note what an operation costs, and what one may cost."""
        if self._budget is not None:
            self.cost = {"requested": cost, "limit": limit}

    def pay(self, cost: int = 0) -> None:
        """Pay for what comes next, the first time for the request, too. Raises BudgetError."""
        due, self._due = cost + self._due, 0
        if self._budget is None or not due:
            return
        try:
            left = self._budget.charge(self._viewer, due)
        except BudgetError as error:
            error.cost = self.cost and {**self.cost, "remaining": error.remaining}
            raise
        if self.cost is not None and left is not None:
            self.cost["remaining"] = left


class Held(Spent):
    """`with Held(budget, viewer)`: the time that the block takes is counted, and the seconds before."""

    __slots__ = ("_budget", "_viewer")

    def __init__(self, budget: Budget | None, viewer: Any, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self._budget = budget
        self._viewer = viewer

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._budget is not None:
            self._budget.hold(self._viewer, self)


def reading(source: str, tokens: int) -> int:
    """What it costs to read a document of which so many tokens are read at most."""
    return CHARACTER * min(len(source), 2 * tokens)
