"""The server as an ASGI application: everything is put together in `build_app`."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any, cast

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from app import web
from app.accounts import http as accounts_http
from app.accounts.authentication import SESSION_COOKIE, authorization_of, identify
from app.accounts.registered import read_operations
from app.accounts.throttle import SignInLimits, network
from app.accounts.viewer import Viewer
from app.annotation import http as annotation_http
from app.answers import NOTHING_HERE, refused
from app.cross_origin import CrossOriginGuard, CrossOriginHeaders, Origins
from app.errors import Code, GradbookError
from app.graphql.admission import Admission, Guard, admission_limits_of, deny
from app.graphql.bodies import BodyLimits
from app.graphql.budget import FILE, REQUEST
from app.graphql.http import GraphQLEndpoint
from app.graphql.limits import Allowed, limits_of
from app.graphql.operations import Operations
from app.graphql.refusals import RETRY_SECONDS, BadRequestError
from app.graphql.registered import Registered
from app.graphql.socket import GraphQLSocket, SocketLimits
from app.graphql.sse import EventStreams
from app.live.access import Grant
from app.origin import ORIGIN
from app.request_log import RequestLog
from app.schema import build_schema
from app.services import Services, open_services
from app.settings import Settings
from app.training import http as training_http


def build_app(settings: Settings) -> Starlette:
    """The application. The database is opened when it starts, and must have been migrated."""
    lifetime = datetime.timedelta(days=settings.session_days)
    window = datetime.timedelta(minutes=settings.sign_in_window_minutes)
    sign_ins = SignInLimits(settings.sign_in_attempts, settings.sign_in_attempts_per_address, window)
    uploads = annotation_http.UploadLimits(settings.max_import_bytes, settings.import_seconds)
    origins = Origins(settings.allowed_origins, settings.public_url)
    admission = Admission(admission_limits_of(settings), _caller_of)
    return Starlette(
        routes=[
            Route("/graphql", _InState("graphql")),
            WebSocketRoute("/graphql", _InState("socket")),
            Route("/healthz", _healthz),
            Route("/readyz", _readyz),
            *accounts_http.routes(lambda request: _services(request.scope).database, lifetime, sign_ins),
            *annotation_http.routes(lambda request: _services(request.scope).database, _identify_for_file, uploads),
            *training_http.routes(lambda request: _services(request.scope).database, _identify_for_file),
            *web.routes(registered_only=settings.registered_only),
            WebSocketRoute("/{path:path}", _no_socket),
        ],
        middleware=[
            Middleware(CrossOriginHeaders, origins),
            Middleware(RequestLog),
            Middleware(Guard, admission),
            Middleware(CrossOriginGuard, origins),
        ],
        exception_handlers={HTTPException: refused},
        lifespan=_lifespan(settings, admission),
    )


def _lifespan(
    settings: Settings, admission: Admission
) -> Callable[[Starlette], AbstractAsyncContextManager[Mapping[str, Any]]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        web.warn_when_not_built()
        async with open_services(settings) as services:
            built = build_schema(services.cursor_secret)
            registered = Registered(partial(read_operations, services.database), only=settings.registered_only)
            limits = limits_of(settings)
            anonymous = limits.for_anonymous(settings.anonymous_percent)
            allowed = Allowed(limits, anonymous, settings.operation_seconds)
            operations = Operations(built, services.database, services, allowed, registered, services.budgets)
            bodies = BodyLimits(settings.max_body_bytes, settings.anonymous_percent, settings.body_seconds)
            watch = _watch(services)
            endpoint = GraphQLEndpoint(operations, _identify_request, bodies)
            streams = EventStreams(endpoint, operations, watch=watch, admission=admission)
            socket = GraphQLSocket(
                operations,
                _identify_socket,
                watch=watch,
                limits=SocketLimits(
                    max_operations=settings.max_subscriptions, max_frame_bytes=settings.max_message_bytes
                ),
                admission=admission,
            )
            async with registered.followed():
                yield {"services": services, "graphql": streams, "socket": socket, "admission": admission}

    return lifespan


def _caller_of(viewer: Any) -> str:
    """Whom a socket counts for: the key or the session, else the address."""
    if viewer is not None:
        return f"key {viewer.credential_id or viewer.id}"
    origin = ORIGIN.get()
    return f"address {network(origin.address if origin else None)}"


class _InState:
    """An ASGI application that the lifespan made."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["state"][self._name](scope, receive, send)


def _services(scope: Scope) -> Services:
    return cast("Services", scope["state"]["services"])


async def _identify_request(request: Request) -> Viewer | None:
    return await _identify(request, request.headers.get("authorization"))


async def _identify_for_file(request: Request) -> Viewer | None:
    """As `_identify_request`; who is known pays for a file."""
    viewer = await _identify_request(request)
    _services(request.scope).budgets.charge(viewer, FILE if viewer else REQUEST)
    return viewer


async def _identify_socket(websocket: WebSocket, connection_params: Mapping[str, Any]) -> Viewer | None:
    """The payload of `connection_init` goes before the header: a browser cannot set headers on a socket."""
    authorization = authorization_of(connection_params) or websocket.headers.get("authorization")
    return await _identify(websocket, authorization)


async def _identify(connection: HTTPConnection, authorization: str | None) -> Viewer | None:
    services = _services(connection.scope)
    try:
        return await identify(services.database, authorization, connection.cookies.get(SESSION_COOKIE))
    except GradbookError:
        services.budgets.charge(None, REQUEST)
        raise


def _watch(
    services: Services,
) -> Callable[[Any, Callable[[], Awaitable[None]]], AbstractContextManager[None]]:
    def watch(viewer: Viewer, end: Callable[[], Awaitable[None]]) -> AbstractContextManager[None]:
        if viewer.credential_id is None:
            return nullcontext()
        return services.watch.connection(Grant(viewer.credential_id, viewer.id, viewer.kind), end)

    return watch


async def _no_socket(websocket: WebSocket) -> None:
    await deny(websocket, BadRequestError(404, NOTHING_HERE, Code.NOT_FOUND))


async def _healthz(_request: Request) -> Response:
    """The process runs."""
    return _json({"status": "ok"})


async def _readyz(request: Request) -> Response:
    """The database answers."""
    try:
        await _services(request.scope).database.read("SELECT 1")
    except (GradbookError, OSError) as error:
        answer = _json({"status": "unavailable", "reason": str(error)}, 503)
        answer.headers["retry-after"] = str(RETRY_SECONDS)
        return answer
    return _json({"status": "ok"})


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
