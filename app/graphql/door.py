"""HTTP doors beside /graphql, for files. Errors look as in GraphQL: `{"errors": [{"message", "extensions"}]}`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any
from urllib.parse import quote

import orjson
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import GradbookError
from app.graphql.refusals import BadRequestError, refusal

Handler = Callable[[Request], Awaitable[Response]]


class Door:
    """The ASGI application of one path: a handler for each of its methods; whoever answers GET answers HEAD.

    A GradbookError or BadRequestError that a handler raises becomes its answer.
    """

    def __init__(self, **handlers: Handler) -> None:
        self._handlers = {method.upper(): handler for method, handler in handlers.items()}
        if "GET" in self._handlers:
            self._handlers["HEAD"] = self._handlers["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        response = await self._answer(request)
        if request.method == "HEAD":  # of a file that is made while it is sent, nothing is made
            response = _without_body(response)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        handler = self._handlers.get(request.method)
        try:
            if handler is None:
                allowed = ", ".join(self._handlers)
                message = f"{request.method} is not supported here: send {allowed.replace(', HEAD', ' or HEAD')}."
                raise BadRequestError(405, message, allow=allowed)
            return await handler(request)
        except (BadRequestError, GradbookError) as error:
            return refusal(error)


def attachment(name: str) -> dict[str, str]:
    """The headers of a file to be saved under this name."""
    return {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }


def known_options(request: Request, known: Collection[str]) -> QueryParams:
    """What stands behind the `?`. Raises BadRequestError for an option that is not known."""
    if unknown := [name for name in request.query_params if name not in known]:
        raise bad(f"There is no option {unknown[0]!r}: use {', '.join(sorted(known))}.")
    return request.query_params


def bad(message: str) -> BadRequestError:
    """The error for a request that is not as it should be."""
    return BadRequestError(400, message)


def json_answer(status: int, content: Mapping[str, Any]) -> Response:
    """An answer that no cache keeps."""
    return Response(orjson.dumps(content), status, {"cache-control": "no-store"}, "application/json")


def _without_body(response: Response) -> Response:
    bare = Response(status_code=response.status_code)
    bare.raw_headers = response.raw_headers
    return bare
