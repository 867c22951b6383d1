"""What SQLite's trace tells."""

from collections.abc import Iterable


def asked(traced: Iterable[str]) -> list[str]:
    """The statements that we asked for, without FTS5's own, which are comments.

    A statement that sets off triggers is told again at each step of theirs.
    """
    kept: list[str] = []
    for sql in traced:
        if not sql.startswith("--") and not ("INTO record_search" in sql and kept and kept[-1] == sql):
            kept.append(sql)
    return kept
