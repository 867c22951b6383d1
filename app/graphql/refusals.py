"""What HTTP requests are refused with, whichever door they came to: `{"errors": [{"message", "extensions"}]}`."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from app.errors import Code, GradbookError
from app.graphql import media
from app.graphql.budget import BudgetError

STATUS = {
    Code.UNAUTHENTICATED.name: 401,
    Code.FORBIDDEN.name: 403,
    Code.NOT_FOUND.name: 404,
    Code.LIMIT_EXCEEDED.name: 413,
    Code.RATE_LIMITED.name: 429,
    Code.TIMEOUT.name: 503,
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
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def refusal(error: BadRequestError | GradbookError, media_type: str = media.JSON) -> Response:
    """The answer to a request that is not executed; a 503, or an error that says when, has a Retry-After."""
    if isinstance(error, BadRequestError):
        status, code, retry_after, headers = error.status, error.code.name, None, error.headers
    else:
        status, code, retry_after, headers = STATUS.get(error.code, 400), error.code, error.retry_after, {}
    extensions: dict[str, Any] = {"code": code}
    if retry_after is not None:
        extensions["retryAfter"] = retry_after
    content: dict[str, Any] = {"errors": [{"message": error.message, "extensions": extensions}]}
    if isinstance(error, BudgetError) and error.cost is not None:
        content["extensions"] = {"cost": error.cost}
    answer = Response(orjson.dumps(content), status, media_type=media_type)
    if status == 401:
        answer.headers["www-authenticate"] = "Bearer"
    if retry_after is not None or status == 503:
        answer.headers["retry-after"] = str(retry_after or RETRY_SECONDS)
    answer.headers.update(headers)
    return answer
