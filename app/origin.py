"""Where the work at hand came from: a request, known to whatever it calls."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple


class Origin(NamedTuple):
    """A request or a socket. `address` is its client's, behind a trusted proxy the one that the proxy names."""

    kind: str
    request_id: str
    address: str | None


ORIGIN: ContextVar[Origin | None] = ContextVar("origin", default=None)
"""None where no request asked: in commands, and in what a server does by itself."""
