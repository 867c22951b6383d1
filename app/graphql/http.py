"""GraphQL over HTTP: POST and GET at /graphql."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import Code, GradbookError
from app.graphql import media, persisted
from app.graphql.engine import Viewer
from app.graphql.operations import Operations, Request, RequestError

Identify = Callable[[HttpRequest], Awaitable[Viewer | None]]
"""Who is calling; raises UNAUTHENTICATED for credentials that are wrong."""

STATUS = {
    Code.UNAUTHENTICATED.name: 401,
    Code.FORBIDDEN.name: 403,
    Code.NOT_FOUND.name: 404,
    Code.LIMIT_EXCEEDED.name: 413,
    Code.RATE_LIMITED.name: 429,
    Code.OVERLOADED.name: 503,
    Code.DATABASE_BUSY.name: 503,
    Code.DATABASE_UNAVAILABLE.name: 503,
    Code.OUTCOME_UNKNOWN.name: 500,  # who gets 503 sends again without looking
}

RETRY_SECONDS = 1
"""When a 503 that does not say so itself is to be tried again."""


class BadRequestError(Exception):
    """A request that is no GraphQL request."""

    def __init__(self, status: int, message: str, code: Code = Code.INVALID_INPUT, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers


class GraphQLEndpoint:
    """The ASGI application behind /graphql for HTTP.

    JSON alone is taken: a page of another site can send every other type without asking first.
    """

    def __init__(self, operations: Operations, identify: Identify, *, max_body_bytes: int) -> None:
        self._operations = operations
        self._identify = identify
        self._max_body = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = HttpRequest(scope, receive)
        answer = await self._answer(request)
        await answer(scope, receive, send)

    async def _answer(self, request: HttpRequest) -> Response:
        media_type = media.choose(accepted(request), (media.RESPONSE, media.JSON))
        if media_type is None:
            message = f"There is no answer of a type that you accept: accept {media.JSON} or {media.RESPONSE}."
            return refusal(BadRequestError(406, message))
        # The specification lets application/json carry 200 for what fails before execution, and clients expect it.
        failed = 400 if media_type == media.RESPONSE else 200
        try:
            asked, viewer = await self.read(request)
            prepared = self._operations.prepare(asked, viewer)
            if prepared.is_subscription:
                raise BadRequestError(
                    400,
                    "A subscription is a stream: accept text/event-stream, or open a WebSocket with the "
                    "graphql-transport-ws protocol.",
                )
            if request.method == "GET" and not prepared.is_query:
                raise only_reads()
            result = await self._operations.execute(prepared, viewer)
            return _json(result, 200 if "data" in result else failed, media_type)
        except RequestError as error:
            return _json(error.result, failed, media_type)
        except (BadRequestError, GradbookError) as error:
            return refusal(error, media_type)

    async def read(self, request: HttpRequest) -> tuple[Request, Viewer | None]:
        """What is asked, and by whom. Raises BadRequestError, and UNAUTHENTICATED for wrong credentials."""
        return await self._read(request), await self._identify(request)

    async def _read(self, request: HttpRequest) -> Request:
        if request.method == "GET":
            return _request(dict(request.query_params), from_url=True)
        if request.method != "POST":
            raise BadRequestError(
                405, f"{request.method} is not supported: send POST, or GET for queries.", allow="GET, POST"
            )
        if wrong := media.wrong_content_type(request.headers.get("content-type", "")):
            raise BadRequestError(415, wrong)
        try:
            return _request(orjson.loads(await self._body(request)))
        except orjson.JSONDecodeError as error:
            raise BadRequestError(400, f"The body is no JSON: {error}.") from error

    async def _body(self, request: HttpRequest) -> bytes:
        too_long = BadRequestError(413, f"The body is longer than {self._max_body:,} bytes.", Code.LIMIT_EXCEEDED)
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_body:
            raise too_long
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._max_body:
                raise too_long
            chunks.append(chunk)
        return b"".join(chunks)


def refusal(error: BadRequestError | GradbookError, media_type: str = media.JSON) -> Response:
    """The answer to a request that is not executed; a 503, or an error that says when, has a Retry-After."""
    if isinstance(error, BadRequestError):
        status, code, retry_after, headers = error.status, error.code.name, None, error.headers
    else:
        status, code, retry_after, headers = STATUS.get(error.code, 400), error.code, error.retry_after, {}
    answer = _json({"errors": [{"message": error.message, "extensions": {"code": code}}]}, status, media_type)
    if status == 401:
        answer.headers["www-authenticate"] = "Bearer"
    if retry_after is not None or status == 503:
        answer.headers["retry-after"] = str(retry_after or RETRY_SECONDS)
    answer.headers.update(headers)
    return answer


def only_reads() -> BadRequestError:
    """What a mutation by GET gets: a page of another site can make a browser send one."""
    return BadRequestError(405, "A mutation is sent by POST.", allow="POST")


def accepted(request: HttpRequest) -> str:
    """What the caller accepts; it may say so in several headers."""
    return ", ".join(request.headers.getlist("accept"))


def _request(body: Any, *, from_url: bool = False) -> Request:
    """A request's parameters, checked."""
    if not isinstance(body, dict):
        raise BadRequestError(
            400, 'The body is no object: send {"query": "…", "variables": {…}, "operationName": "…"}.'
        )
    query, name = body.get("query"), body.get("operationName")
    extensions = _object(body, "extensions", from_url)
    if query is None and extensions and persisted.NAME in extensions:
        query = ""
    if not isinstance(query, str):
        raise BadRequestError(
            400, f"'query' is {'missing' if query is None else 'no text'}: it holds the GraphQL document."
        )
    if name is not None and not isinstance(name, str):
        raise BadRequestError(400, "'operationName' is no text.")
    return Request(query, _object(body, "variables", from_url), name or None, extensions)


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
