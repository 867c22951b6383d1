"""Pages of other origins: which of them may use the server, and what their browsers are told.

A browser says by Origin whose page asks, sends cookies along for every page of the same site, and lets a page read the
answer only where a header of the answer says so (CORS). So the pages of GRADBOOK_ALLOWED_ORIGINS may do what our own
may, cookies included; of others no header speaks, and what comes from them with a cookie, or would set one, is refused.
What a page of the same site has an image or a frame get comes with the cookie and without Origin: Sec-Fetch-Site tells.
A key is no cookie: no browser sends it by itself. What comes by a socket every page may read, whatever headers say, so
sockets are for pages that may, and for programs, which send no Origin.

Starlette's CORSMiddleware looks at no cookie, refuses in plain text, and passes by what fails outside of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.accounts.authentication import SESSION_COOKIE
from app.errors import Code
from app.graphql.admission import deny
from app.graphql.refusals import BadRequestError, refusal
from app.settings import PREFIX

PREFLIGHT_SECONDS = 7200
"""How long a browser may keep what it was told about an origin; none keeps it longer than a day."""

_SETS_COOKIES = frozenset({"/sign-in", "/sign-out"})
_EXPOSED = b"content-disposition, retry-after, x-request-id"


class Origins:
    """Which origins may use the server: its own, at any address or at `public_url`, and the listed ones."""

    def __init__(self, listed: Iterable[str] = (), public_url: str = "") -> None:
        self._listed = frozenset(listed)
        self._public = {public_url} - {""}

    def __bool__(self) -> bool:
        """Whether any other origin may."""
        return bool(self._listed)

    def lists(self, origin: str | None) -> bool:
        """Whether it is another origin that may."""
        return origin in self._listed

    def allow(self, connection: HTTPConnection) -> bool:
        """Whether a request is of a page that may ask, or of no page."""
        origin = connection.headers.get("origin")
        if origin is None or origin in self._listed or origin in self._public:
            return True
        scheme, _, host = origin.lower().partition("://")
        # A page that came in the clear may be anybody's.
        fitting = ("https",) if connection.scope.get("scheme") in ("https", "wss") else ("https", "http")
        return scheme in fitting and host == connection.headers.get("host", "").lower()


class CrossOriginHeaders:
    """Tells browsers that pages of the listed origins may read an answer, whatever made it."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not self._origins:
            await self._app(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin")
        told = [(b"vary", b"origin")]
        if origin is not None and self._origins.lists(origin):
            told.append((b"access-control-allow-origin", origin.encode("latin-1")))
            told.append((b"access-control-allow-credentials", b"true"))
            told.append((b"access-control-expose-headers", _EXPOSED))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *told]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class CrossOriginGuard:
    """Refuses what other origins may not, and answers browsers that ask before they send."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        app = self._app
        if scope["type"] == "http" and _says(scope, b"origin", b"sec-fetch-site"):
            app = self._answer(HTTPConnection(scope)) or app
        elif scope["type"] == "websocket" and _says(scope, b"origin"):
            socket = WebSocket(scope, receive, send)
            if not self._origins.allow(socket):
                await deny(socket, _refusal(socket.headers["origin"]))
                return
        await app(scope, receive, send)

    def _answer(self, request: HTTPConnection) -> Response | None:
        headers, origin = request.headers, request.headers.get("origin")
        has_session = SESSION_COOKIE in headers.get("cookie", "")
        if origin is None:
            return refusal(_refusal("other origins")) if has_session and _is_embedded(headers) else None
        asks_before = request.scope["method"] == "OPTIONS" and "access-control-request-method" in headers
        if asks_before and self._origins.lists(origin):
            return Response(
                status_code=204,
                headers={
                    "access-control-allow-methods": "GET, HEAD, POST",
                    "access-control-allow-headers": headers.get("access-control-request-headers", ""),
                    "access-control-max-age": str(PREFLIGHT_SECONDS),
                },
            )
        is_risky = has_session or request.scope["path"] in _SETS_COOKIES
        if not (asks_before or is_risky) or self._origins.allow(request):
            return None
        return refusal(_refusal(origin))


def _says(scope: Scope, *names: bytes) -> bool:
    return any(name in names for name, _ in scope["headers"])


def _is_embedded(headers: Headers) -> bool:
    """Whether a page of another origin gets it without Origin, as an image; following a link is no such thing."""
    if headers.get("sec-fetch-site") not in ("same-site", "cross-site"):
        return False
    return headers.get("sec-fetch-mode") != "navigate" or headers.get("sec-fetch-dest") != "document"


def _refusal(origin: str) -> BadRequestError:
    message = f"Pages of {origin[:200]} may not use this server: {PREFIX}ALLOWED_ORIGINS lists who may."
    return BadRequestError(403, message, Code.FORBIDDEN)
