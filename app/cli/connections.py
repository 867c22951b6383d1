"""What clients may do on a connection before a request, and after its answer: uvicorn's HTTP protocol, with bounds.

uvicorn waits for a request's head for ever, takes one of any length, and for ever keeps what nobody reads.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.answers import careful
from app.errors import Code, GradbookError
from app.graphql.admission import ALWAYS, Bound
from app.graphql.refusals import BadRequestError, refusal
from app.request_log import RequestLog
from app.settings import Settings

_log = logging.getLogger(__name__)
# uvicorn warns of every request that is none, by which anybody could fill the log.
_log.setLevel(logging.ERROR)

_SPARE = 100
"""Connections beyond the bound that still are told so, and may ask whether the process runs."""

_AHEAD = 64 * 1024
"""Bytes that are written ahead of who reads them; then whoever writes more waits."""

_FILES = 400
"""Files that are open beside connections, those of the database among them."""


_SHOWN = 1000
"""Bytes of a URL that is too long which are looked at, for the log."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Connections at a time, the seconds that a head may take, and its bytes. An answer that nobody reads for
    `stall_seconds` is given up, and all that are not read yet may be so many bytes together.
    """

    connections: int = 5_000
    head_seconds: float = 10
    head_bytes: int = 64 * 1024
    stall_seconds: float = 30
    unread_bytes: int = 256 * 1024 * 1024


class Stalling:
    """The part of a protocol that sees to it that what was written is read: else the connection is broken off."""

    limits = ConnectionLimits()
    unread = Bound(limits.unread_bytes, "bytes of answers that are not read", "HELD_BYTES")

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _looking: asyncio.TimerHandle | None = None
    _left = 0

    def pause_writing(self) -> None:
        """The client does not read as fast as is written."""
        super().pause_writing()  # type: ignore[misc]
        self.watch_writing()

    def resume_writing(self) -> None:
        """It has read all."""
        self._stop_watching()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop_watching()
        super().connection_lost(exc)  # type: ignore[misc]

    def watch_writing(self) -> None:
        """Look from now on whether what is left to be read becomes less, until nothing is."""
        self._stop_watching()
        left = self.transport.get_write_buffer_size()
        if not left:
            return
        try:
            self.unread.take(left)
        except GradbookError:
            self.transport.abort()
        else:
            self._left = left
            self._looking = self.loop.call_later(self.limits.stall_seconds, self._look)

    def _look(self) -> None:
        if self.transport.get_write_buffer_size() >= self._left:
            self.transport.abort()
        else:
            self.watch_writing()

    def _stop_watching(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self.unread.give_back(self._left)
        self._left = 0


class BoundedHttp(Stalling, HttpToolsProtocol):
    """One connection. What goes beyond a bound is answered by an error as any other, and the connection ends."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = _log
        self._served = self.app
        self._head_bytes = 0  # what came since the last head or body was complete
        self._in_body = False
        self._head_timer: asyncio.TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head, unless there are far too many."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(_AHEAD, 0)  # so `resume_writing` comes when nothing is left
        if len(self.connections) > self.limits.connections + _SPARE:
            transport.abort()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse it. A head may be so long, and what comes with it."""
        if not self._in_body:
            if self._head_bytes > self.limits.head_bytes:
                self._break_off(self._too_long())
                return
            self._head_bytes += len(data)
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._break_off(BadRequestError(400, "This is no HTTP request that can be read."))

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came after an answer."""
        self._end()

    # Requests

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._forget_head()
        self._in_body = True
        self.app = self._served
        if self._head_bytes > self.limits.head_bytes and self._head_length() > self.limits.head_bytes:
            self.app = _answer(self._too_long())
            self.url = self.url[:_SHOWN]  # one of more than 64 KiB could not be parsed
        elif len(self.connections) > self.limits.connections and self.url != ALWAYS.encode():
            self.app = _answer(self._too_many())
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is here."""
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next head, and no longer for what is left of a body that was refused."""
        super().on_response_complete()
        self.watch_writing()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._await_head()

    def handle_websocket_upgrade(self) -> None:
        """Go on as a WebSocket."""
        self._forget_head()
        if len(self.connections) > self.limits.connections:
            self._break_off(self._too_many())
        else:
            super().handle_websocket_upgrade()

    # Bounds

    def _await_head(self) -> None:
        self._forget_head()
        self._head_timer = self.loop.call_later(self.limits.head_seconds, self._too_slow)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        if self._head_bytes and not self._in_body:
            seconds = f"{self.limits.head_seconds:g} seconds (GRADBOOK_HEADER_SECONDS)"
            self._break_off(BadRequestError(408, f"The request's head was not here after {seconds}.", Code.TIMEOUT))
        else:
            self._end()

    def _too_long(self) -> BadRequestError:
        message = f"The request's head is longer than {self.limits.head_bytes:,} bytes: send what is long by POST."
        return BadRequestError(431, message, Code.LIMIT_EXCEEDED, connection="close")

    def _too_many(self) -> GradbookError:
        most = f"{self.limits.connections:,} connections already (GRADBOOK_MAX_CONNECTIONS)"
        return GradbookError(Code.OVERLOADED, f"This server has {most}: try again later.", retry_after=1)

    def _head_length(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _end(self) -> None:
        """No more is taken. What was written has its time."""
        self.transport.close()
        self.watch_writing()

    def _break_off(self, error: BadRequestError | GradbookError) -> None:
        """Answer without an application, if nothing else is being answered, and end."""
        if self.transport.is_closing():
            return
        if self._may_answer():
            self.transport.write(raw_answer(error))
        self._end()

    def _may_answer(self) -> bool:
        """Whether nothing else is being answered; what waits for the rest of its own body is not."""
        cycle = self.cycle
        if getattr(cycle, "response_complete", True):  # there is none before the first request
            return True
        if self.pipeline or cycle.response_started or not cycle.more_body:
            return False
        cycle.disconnected = True
        return True


def bounded_http(settings: Settings) -> type[BoundedHttp]:
    """The protocol with the bounds that the settings say, as far as the system lets the process have them open."""
    connections = min(settings.max_connections, allow_files(settings.max_connections + _FILES) - _FILES)
    if connections < settings.max_connections:
        _log.error("only %d connections: the system allows no more open files (ulimit -n)", connections)
    limits = ConnectionLimits(connections, settings.header_seconds)
    return type("ConfiguredHttp", (BoundedHttp,), {"limits": limits})


def allow_files(wanted: int) -> int:
    """Let the process have so many files open, if it may; how many it may."""
    if find_spec("resource") is None:  # Windows has no such limit
        return wanted
    import resource  # noqa: PLC0415

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return wanted if soft == resource.RLIM_INFINITY else soft


def raw_answer(error: BadRequestError | GradbookError) -> bytes:
    """The bytes of an answer after which the connection ends."""
    answer = refusal(error)
    headers = [*careful(answer.raw_headers), (b"connection", b"close")]
    head = b"".join(b"%b: %b\r\n" % header for header in dict(headers).items())
    return STATUS_LINE[answer.status_code] + head + b"\r\n" + bytes(answer.body)


def _answer(error: BadRequestError | GradbookError) -> ASGIApp:
    answer = refusal(error)
    answer.headers["connection"] = "close"
    return RequestLog(answer)
