"""GraphQL over HTTP: POST and GET at /graphql."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import GradbookError
from app.graphql import media, persisted
from app.graphql.bodies import BodyLimits, demand_plain, is_small, receive_body
from app.graphql.budget import RECEIVED
from app.graphql.engine import Viewer
from app.graphql.operations import Operations, Prepared, Request, RequestError, Result
from app.graphql.refusals import BadRequestError, refusal
from app.graphql.waiting import WhileWaitedFor

Identify = Callable[[HttpRequest], Awaitable[Viewer | None]]
"""Who is calling; raises UNAUTHENTICATED for credentials that are wrong."""

Streamed = Callable[[Prepared, Viewer | None], ASGIApp]
"""The response that streams a subscription's results; raises BadRequestError."""


class GraphQLEndpoint:
    """The ASGI application behind /graphql for HTTP.

    JSON alone is taken: a page of another site can send every other type without asking first.
    """

    def __init__(self, operations: Operations, identify: Identify, bodies: BodyLimits = BodyLimits()) -> None:  # noqa: B008 - frozen
        self._operations = operations
        self._identify = identify
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = await self.answer(HttpRequest(scope, receive))
        await answer(scope, receive, send)

    async def answer(self, request: HttpRequest, stream: Streamed | None = None) -> ASGIApp:
        """The answer to one request. `stream` is what a subscription is answered with, if the caller takes one."""
        media_type = media.choose(accepted(request), (media.RESPONSE, media.JSON))
        if media_type is None and stream is not None:
            media_type = media.JSON  # all that the protocol has for what is no subscription
        if media_type is None:
            message = f"There is no answer of a type that you accept: accept {media.JSON} or {media.RESPONSE}."
            return refusal(BadRequestError(406, message))
        # The specification lets application/json carry 200 for what fails before execution, and clients expect it.
        failed = 400 if media_type == media.RESPONSE else 200
        try:
            asked, viewer = await self.read(request)
            prepared = self._operations.prepare(asked, viewer)
            if prepared.is_subscription:
                if stream is not None:
                    return stream(prepared, viewer)
                raise BadRequestError(
                    400,
                    "A subscription is a stream: accept text/event-stream or multipart/mixed;subscriptionSpec=1.0, or "
                    "open a WebSocket with the graphql-transport-ws protocol.",
                )
            if request.method == "GET" and not prepared.is_query:
                raise only_reads()
            result = await self._execute(request, prepared, viewer)
            return _json(result, 200 if "data" in result else failed, media_type)
        except RequestError as error:
            return _json(error.result, failed, media_type)
        except (BadRequestError, GradbookError) as error:
            return refusal(error, media_type)

    async def _execute(self, request: HttpRequest, prepared: Prepared, viewer: Viewer | None) -> Result:
        """A query ends with its caller's going away; a mutation goes on."""
        if prepared.writes:
            return await self._operations.execute(prepared, viewer)
        async with WhileWaitedFor(request.receive):
            return await self._operations.execute(prepared, viewer)

    async def read(self, request: HttpRequest) -> tuple[Request, Viewer | None]:
        """What is asked, and by whom. Raises BadRequestError, and UNAUTHENTICATED for wrong credentials."""
        try:
            asked, viewer = await self._read(request)
        except BadRequestError:
            self._operations.charge_nobody()
            raise
        await self._operations.look_up(asked)
        return asked, viewer

    async def _read(self, request: HttpRequest) -> tuple[Request, Viewer | None]:
        if request.method == "GET":
            return _request(_parameters(request), from_url=True), await self._admitted(request)
        if request.method != "POST":
            raise BadRequestError(
                405, f"{request.method} is not supported: send POST, or GET for queries.", allow="GET, POST"
            )
        if wrong := media.wrong_content_type(request.headers.get("content-type", "")):
            raise BadRequestError(415, wrong)
        demand_plain(request)
        if is_small(request):
            asked = _request(_parsed(await receive_body(request, self._bodies)))
            return asked, await self._admitted(request)
        viewer = await self._admitted(request)
        bodies = self._bodies if viewer is not None else self._bodies.for_anonymous
        body = await receive_body(request, bodies)
        await self._operations.admit(viewer)  # again: others of theirs may have been read meanwhile
        with self._operations.held(viewer, RECEIVED * len(body)):
            bodies.check_values(body)
            return _request(_parsed(body)), viewer

    async def _admitted(self, request: HttpRequest) -> Viewer | None:
        viewer = await self._identify(request)
        await self._operations.admit(viewer)
        return viewer


def only_reads() -> BadRequestError:
    """What a mutation by GET gets: a page of another site can make a browser send one."""
    return BadRequestError(405, "A mutation is sent by POST.", allow="POST")


def accepted(request: HttpRequest) -> str:
    """What the caller accepts; it may say so in several headers."""
    return ", ".join(request.headers.getlist("accept"))


def _parameters(request: HttpRequest) -> dict[str, str]:
    """What stands behind the `?`. Starlette would put U+FFFD where it is no UTF-8."""
    try:
        return dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError as error:
        raise BadRequestError(400, f"What is percent-encoded in the URL is no UTF-8: {error}.") from error


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(400, f"The body is no JSON: {error}.") from error


def _request(body: Any, *, from_url: bool = False) -> Request:
    """A request's parameters, checked."""
    if not isinstance(body, dict):
        raise BadRequestError(
            400, 'The body is no object: send {"query": "…", "variables": {…}, "operationName": "…"}.'
        )
    query, name, document_id = body.get("query"), body.get("operationName"), body.get("documentId")
    extensions = _object(body, "extensions", from_url)
    if document_id is not None and not isinstance(document_id, str):
        raise BadRequestError(400, "'documentId' is no text: it is the id of a registered operation.")
    if query is None and (document_id or (extensions and extensions.get(persisted.NAME) is not None)):
        query = ""
    if not isinstance(query, str):
        raise BadRequestError(
            400, f"'query' is {'missing' if query is None else 'no text'}: it holds the GraphQL document."
        )
    if name is not None and not isinstance(name, str):
        raise BadRequestError(400, "'operationName' is no text.")
    return Request(query, _object(body, "variables", from_url), name or None, extensions, document_id)


def _object(body: dict[str, Any], name: str, from_url: bool) -> dict[str, Any] | None:
    value = body.get(name)
    if from_url and value:
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise BadRequestError(400, f"'{name}' is no JSON: {error}.") from error
    elif from_url:
        return None
    if value is not None and not isinstance(value, dict):
        raise BadRequestError(400, f"'{name}' is no object: send the values by name.")
    return value or None


def _json(body: Any, status: int, media_type: str) -> Response:
    return Response(orjson.dumps(body), status, media_type=media_type)
