"""What a server holds at a time, and the most of each that it takes: what goes beyond is refused before memory grows.

All of it are numbers in this process. A request costs a comparison and two additions.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.errors import Code, GradbookError
from app.graphql.bodies import Holding
from app.graphql.engine import Viewer
from app.graphql.refusals import RETRY_SECONDS, BadRequestError, refusal
from app.settings import PREFIX, Settings

ALWAYS = "/healthz"
"""Whether the process runs is answered however much it has to do."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """The most of each; the setting of each is `max_` and its name.

    An idle socket takes some 30 KB. `held_bytes` are of request bodies and of messages of sockets, as far as they are
    larger than 64 KiB, until they are answered.
    """

    requests: int = 1_000
    sockets: int = 4_000
    sockets_per_caller: int = 200
    subscriptions_per_caller: int = 1_000
    held_bytes: int = 256 * 1024 * 1024


def admission_limits_of(settings: Settings) -> AdmissionLimits:
    """The limits that the settings say."""
    return AdmissionLimits(
        settings.max_requests,
        settings.max_sockets,
        settings.max_sockets_per_caller,
        settings.max_subscriptions_per_caller,
        settings.max_held_bytes,
    )


class Bound:
    """How many there are of something, and the most that there may be."""

    def __init__(self, most: int, what: str, name: str) -> None:
        self.most = most
        self.used = 0
        self._what = what
        self._name = name

    def take(self, amount: int = 1) -> None:
        """Count so many more. Raises OVERLOADED, and counts none, where that is too many."""
        if self.used + amount > self.most:
            raise self.error()
        self.used += amount

    def give_back(self, amount: int = 1) -> None:
        """Count so many less."""
        self.used -= amount

    def error(self) -> GradbookError:
        """What is said beyond it."""
        message = f"This server has {self.most:,} {self._what} already ({PREFIX}MAX_{self._name}): try again later."
        return GradbookError(Code.OVERLOADED, message, retry_after=RETRY_SECONDS)


class Shares:
    """How many each caller has of something, and the most that one may have. Nothing is kept of who has none."""

    def __init__(self, most: int, what: str, name: str) -> None:
        self._most = most
        self._what = what
        self._name = name
        self._used: dict[str, int] = {}

    def take(self, caller: str) -> Share:
        """One more for this caller. Raises LIMIT_EXCEEDED."""
        return Share(self, caller)

    def add(self, caller: str) -> None:
        """Count one more."""
        used = self._used.get(caller, 0)
        if used >= self._most:
            whose = caller.partition(" ")[0]
            limit = f"{PREFIX}MAX_{self._name}_PER_CALLER"
            message = f"Your {whose} has {self._most:,} {self._what} here already ({limit}): end one of them first."
            raise GradbookError(Code.LIMIT_EXCEEDED, message)
        self._used[caller] = used + 1

    def remove(self, caller: str) -> None:
        """Count one less."""
        if self._used[caller] == 1:
            del self._used[caller]
        else:
            self._used[caller] -= 1


class Share:
    """One thing of one caller."""

    def __init__(self, shares: Shares, caller: str) -> None:
        shares.add(caller)
        self._shares = shares
        self._caller = caller

    def move(self, caller: str) -> None:
        """It is this caller's, as is known now. Raises LIMIT_EXCEEDED."""
        if caller != self._caller:
            self._shares.add(caller)
            self._shares.remove(self._caller)
            self._caller = caller

    def release(self) -> None:
        """It is over."""
        self._shares.remove(self._caller)


def _by_user(viewer: Viewer | None) -> str:
    return "address" if viewer is None else f"user {viewer.id}"


class Admission:
    """The numbers of one server.

    `caller_of` names whom a socket or a subscription counts for: its kind, which is shown to them, and who it is.
    """

    def __init__(
        self,
        limits: AdmissionLimits = AdmissionLimits(),
        caller_of: Callable[[Viewer | None], str] = _by_user,
    ) -> None:
        self.caller_of = caller_of
        self.requests = Bound(limits.requests, "requests at work", "REQUESTS")
        self.sockets = Bound(limits.sockets, "sockets and event streams open", "SOCKETS")
        self.held = Bound(limits.held_bytes, "bytes of requests in hand", "HELD_BYTES")
        self.sockets_of = Shares(limits.sockets_per_caller, "sockets and event streams", "SOCKETS")
        self.subscriptions_of = Shares(limits.subscriptions_per_caller, "subscriptions", "SUBSCRIPTIONS")
        self.streams = 0
        """Requests that are event streams: they are counted as sockets, which they are like."""

    def open_stream(self, viewer: Viewer | None) -> ExitStack:
        """Count an event stream until the stack is closed. Raises OVERLOADED, and BadRequestError (429)."""
        caller = self.caller_of(viewer)
        with ExitStack() as opened:
            self.sockets.take()
            opened.callback(self.sockets.give_back)
            try:
                opened.callback(self.sockets_of.take(caller).release)
                opened.callback(self.subscriptions_of.take(caller).release)
            except GradbookError as error:
                raise too_many(error) from error
            self.streams += 1
            opened.callback(self._end_stream)
            return opened.pop_all()

    def _end_stream(self) -> None:
        self.streams -= 1


def too_many(error: GradbookError) -> BadRequestError:
    """What HTTP answers to a caller who has the most that one may have."""
    return BadRequestError(429, error.message, Code[error.code], retry_after=str(RETRY_SECONDS))


async def deny(websocket: WebSocket, error: BadRequestError | GradbookError) -> None:
    """Answer a socket's handshake as an HTTP request that is refused; the server may not be able to say why."""
    with suppress(OSError, WebSocketDisconnect):  # the client may have gone
        if "websocket.http.response" in websocket.scope.get("extensions", {}):
            await websocket.send_denial_response(refusal(error))
        else:
            await websocket.close()


class Guard:
    """The ASGI application before all others: it counts requests and sockets, and refuses those beyond the bounds."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one socket, if there is room for it."""
        if scope["type"] == "http" and scope["path"] != ALWAYS:
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        admission, requests = self._admission, self._admission.requests
        if requests.used - admission.streams >= requests.most:
            await refusal(requests.error())(scope, receive, send)  # its body is not read
            return
        holding = scope["holding"] = Holding(admission.held)
        requests.used += 1
        try:
            await self._app(scope, receive, send)
        finally:
            requests.used -= 1
            holding.release()

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        sockets = self._admission.sockets
        try:
            sockets.take()
        except GradbookError as error:
            await deny(WebSocket(scope, receive, send), error)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            sockets.give_back()
