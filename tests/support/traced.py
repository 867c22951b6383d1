"""What SQLite's trace tells."""

from collections.abc import Iterable


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
