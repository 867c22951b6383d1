"""What every answer of the server has, whatever made it: headers that keep browsers careful, and errors as JSON."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.errors import Code
from app.graphql.door import json_answer

Headers = Iterable[tuple[bytes, bytes]]

# Answers are data: nothing in them is to be run, framed, kept or guessed at. Pages say otherwise themselves.
_CAREFUL = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),  # what asks by CORS is not concerned
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)

NOTHING_HERE = "There is nothing here: GraphQL is at /graphql."

_CODES = {401: Code.UNAUTHENTICATED, 403: Code.FORBIDDEN, 404: Code.NOT_FOUND, 413: Code.LIMIT_EXCEEDED}


# Whoever came by https once does not come in the clear for a year. Other hosts of the domain are not ours to bind.
_BY_HTTPS = (b"strict-transport-security", b"max-age=31536000")


def careful(headers: Headers, scheme: str = "http") -> list[tuple[bytes, bytes]]:
    """An answer's headers, with those that it does not set itself."""
    given = list(headers)
    names = {name for name, _ in given}
    missing = [header for header in _CAREFUL if header[0] not in names]
    return [*given, *missing, _BY_HTTPS] if scheme == "https" else given + missing


async def refused(request: Request, error: Exception) -> Response:
    """Starlette's own errors, which are plain text there: no such path, or no such method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if "Allow" in headers:  # Starlette names the methods of one route, in any order
        headers["Allow"] = ", ".join(sorted(_methods(request) | {*headers["Allow"].split(", ")}))
    allowed = " or ".join(headers.get("Allow", "").rsplit(", ", 1))
    message = {
        404: NOTHING_HERE,
        405: f"{request.method} is not supported here: send {allowed or 'another method'}.",
    }.get(error.status_code, error.detail)
    code = _CODES.get(error.status_code, Code.INVALID_INPUT)
    answer = json_answer(error.status_code, {"errors": [{"message": message, "extensions": {"code": code.name}}]})
    answer.headers.update(headers)
    return answer


def _methods(request: Request) -> set[str]:
    """The methods of all routes with this very path: a page and what it posts to have one each."""
    routes = [route for route in request.app.routes if isinstance(route, Route) and route.path == request.scope["path"]]
    return {method for route in routes for method in route.methods or ()}


def broken(request_id: str) -> Response:
    """What nobody foresaw: the log tells it under this id, and only that is shown."""
    message = f"Something went wrong here; the server's log knows more under {request_id}."
    extensions = {"code": Code.INTERNAL.name, "incident": request_id}
    return json_answer(500, {"errors": [{"message": message, "extensions": extensions}]})
