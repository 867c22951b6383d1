"""What SQLite's trace tells, and who counts statements."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Count = Callable[[Awaitable[Any]], Awaitable[list[str]]]
"""The statements that a database executes while something is awaited."""


def asked(traced: Iterable[str]) -> list[str]:
    """The statements that we asked for, without FTS5's own, which are comments.

    A statement that sets off triggers is told again at each step of theirs.
    """
    kept: list[str] = []
    for sql in traced:
        has_trigger = "INTO record_search" in sql or "INTO audit_event" in sql
        if not sql.startswith("--") and not (has_trigger and kept and kept[-1] == sql):
            kept.append(sql)
    return kept
