"""Signing in and out over HTTP, for browsers: a password or a one-time link for a cookie that no script can read."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.accounts.authentication import SESSION_COOKIE, SignedIn, SignIn, sign_in, sign_out
from app.accounts.links import use_link
from app.accounts.throttle import DEFAULT_LIMITS, SignInLimits
from app.db.database import Database
from app.errors import Code, GradbookError
from app.graphql.bodies import BodyLimits, demand_plain, receive_body
from app.graphql.media import wrong_content_type
from app.graphql.refusals import BadRequestError, refusal

# A username of 100 characters and a password of 1,024 bytes fit however they are escaped.
_BODY = BodyLimits(max_bytes=16 * 1024, seconds=30)

DEVICE_COOKIE = "gradbook_device"
_DEVICE_SECONDS = 365 * 86_400


def routes(
    database: Callable[[Request], Database], lifetime: datetime.timedelta, limits: SignInLimits = DEFAULT_LIMITS
) -> list[Route]:
    """POST /sign-in and POST /sign-out. `lifetime` is how long a session lasts, `limits` are of failed sign-ins.

    `/sign-in` takes `{"username", "password"}`, or `{"link"}`: the secret of a one-time link.

    Only JSON is taken: a form of another site can be made to send anything else. Errors look as in GraphQL:
    `{"errors": [{"message", "extensions": {"code"}}]}`.
    """

    async def post_sign_in(request: Request) -> Response:
        device = None
        try:
            body = await _json(request)
            if isinstance(body, dict) and "link" in body:
                username, secret = await database(request).transact(use_link, _text(body, "link"), lifetime)
            else:
                asked = _asked(body, request.cookies.get(DEVICE_COOKIE))
                username = asked.username
                secret, device = _granted(await sign_in(database(request), asked, lifetime, limits))
        except (BadRequestError, GradbookError) as error:
            return refusal(error)
        expires_at = (datetime.datetime.now(datetime.UTC) + lifetime).isoformat(timespec="seconds")
        response = _answer(200, {"username": username, "expiresAt": expires_at})
        _set_cookie(request, response, SESSION_COOKIE, secret, int(lifetime.total_seconds()), "/")
        if device is not None:
            _set_cookie(request, response, DEVICE_COOKIE, device, _DEVICE_SECONDS, "/sign-in")
        return response

    async def post_sign_out(request: Request) -> Response:
        try:
            if request.headers.get("content-type"):
                _demand_json(request)
            await sign_out(database(request), request.cookies.get(SESSION_COOKIE, ""))
        except (BadRequestError, GradbookError) as error:
            return refusal(error)
        response = Response(status_code=204)
        response.delete_cookie(
            SESSION_COOKIE, path="/", secure=request.url.scheme == "https", httponly=True, samesite="strict"
        )
        return response

    return [
        Route("/sign-in", post_sign_in, methods=["POST"]),
        Route("/sign-out", post_sign_out, methods=["POST"]),
    ]


def _set_cookie(request: Request, response: Response, name: str, value: str, seconds: int, path: str) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def _asked(body: object, device: str | None) -> SignIn:
    if not isinstance(body, dict):
        raise _invalid("The body is no object")
    return SignIn(_text(body, "username"), _text(body, "password"), device)


def _granted(found: SignedIn | None) -> SignedIn:
    if found is None:
        raise GradbookError(
            Code.UNAUTHENTICATED,
            "The username or the password is wrong, or the user has no password yet: "
            "`gradbook user passwd NAME` sets one.",
        )
    return found


async def _json(request: Request) -> object:
    _demand_json(request)
    demand_plain(request)
    body = await receive_body(request, _BODY)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"The body is no JSON ({error})") from None


def _demand_json(request: Request) -> None:
    if wrong := wrong_content_type(request.headers.get("content-type", "")):
        raise BadRequestError(415, wrong)


def _text(body: dict[object, object], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise _invalid(f"{name} is {'no text' if name in body else 'missing'}")
    return value


def _invalid(reason: str) -> GradbookError:
    expected = '{"username": "…", "password": "…"}, or {"link": "gbl_…"} with what stands behind # in a sign-in link'
    return GradbookError(Code.INVALID_INPUT, f"{reason}: send {expected}.")


def _answer(status: int, content: dict[str, object]) -> Response:
    # A cache must never keep what is answered to a password.
    return Response(orjson.dumps(content), status, {"cache-control": "no-store"}, "application/json")
