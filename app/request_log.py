"""Request ids, and a line in the log for every request; it is what every answer passes on its way out."""

from __future__ import annotations

import logging
import re
import secrets
import time

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.answers import broken, careful
from app.origin import ORIGIN, Origin

log = structlog.get_logger(__name__)

HEADER = b"x-request-id"
SLOW_SECONDS = 1.0
"""A request that takes longer is logged at `info`; others at `debug`, for a line costs more than a small query."""

CLIENT_GONE = 499
"""What the log calls a request whose caller has gone before the answer, as nginx does."""

_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_standard = logging.getLogger(__name__)


class RequestLog:
    """Gives every request an id, which its log lines and its answer bear; the caller's own, if it sent a sane one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        request_id = given if _SANE.fullmatch(given) else secrets.token_hex(8).encode()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                message["headers"] = [
                    *careful(message.get("headers", ()), scope.get("scheme", "http")),
                    (HEADER, request_id),
                ]
            elif message["type"] == "websocket.accept":
                status = 101
                message["headers"] = [*message.get("headers", ()), (HEADER, request_id)]
            await send(message)

        began = time.perf_counter()
        bound = structlog.contextvars.bind_contextvars(request_id=request_id.decode())
        client = scope.get("client")
        origin = ORIGIN.set(Origin(scope["type"], request_id.decode(), client[0] if client else None))
        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:  # while it sent its request, or waited: there is nobody to answer
            status = status or CLIENT_GONE
        except Exception:
            if status or scope["type"] != "http":  # it has begun to answer, and can only break off
                raise
            log.exception("unexpected error", path=scope["path"])
            await broken(request_id.decode())(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - began
            slow = status >= 500 or (seconds > SLOW_SECONDS and scope["type"] == "http")
            # structlog makes a logger before it asks for the level, which costs as much as all the rest here.
            if slow or _standard.isEnabledFor(logging.DEBUG):
                say = log.info if slow else log.debug
                say("request", type=scope["type"], path=scope["path"], status=status, seconds=round(seconds, 4))
            ORIGIN.reset(origin)
            structlog.contextvars.reset_contextvars(**bound)
