"""What every answer has, whatever made it."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.answers import careful
from app.errors import Code, GradbookError
from app.graphql.refusals import refusal
from app.request_log import RequestLog

SCOPE: Scope = {"type": "http", "path": "/x", "headers": [(b"x-request-id", b"abc-1")]}
START: Message = {"type": "http.response.start", "status": 200, "headers": []}


async def _nothing() -> Message:
    return {"type": "http.request"}


async def answered(*before: Message) -> list[Message]:
    """What is sent where the application fails after these messages."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in before:
            await send(message)
        raise ZeroDivisionError("a secret")

    async def send(message: Message) -> None:
        sent.append(message)

    await RequestLog(app)(SCOPE, _nothing, send)
    return sent


async def test_what_nobody_foresaw_is_logged_and_shown_as_the_requests_id(capsys: pytest.CaptureFixture[str]) -> None:
    start, body = await answered()
    assert start["status"] == 500
    assert (b"x-request-id", b"abc-1") in start["headers"]
    assert (b"cache-control", b"no-store") in start["headers"]
    assert b"abc-1" in body["body"]
    assert b"secret" not in body["body"]


async def test_an_answer_that_has_begun_breaks_off() -> None:
    with pytest.raises(ZeroDivisionError):
        await answered(dict(START))


def test_what_an_answer_sets_itself_stays() -> None:
    page = [(b"content-security-policy", b"default-src 'self'"), (b"x-other", b"1"), (b"cache-control", b"no-cache")]
    headers = careful(page)
    assert headers[:3] == page
    assert sorted(name for name, _ in headers[3:]) == [
        b"cross-origin-resource-policy",
        b"referrer-policy",
        b"x-content-type-options",
    ]


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (GradbookError(Code.RATE_LIMITED, "Too many.", retry_after=7), 429, "7"),
        (GradbookError(Code.OVERLOADED, "Too much."), 503, "1"),
        (GradbookError(Code.DATABASE_UNAVAILABLE, "Gone."), 503, "1"),
        (GradbookError(Code.INVALID_INPUT, "Wrong."), 400, None),
    ],
)
def test_who_is_refused_for_now_is_told_when_to_come_back(
    error: GradbookError, status: int, retry_after: str | None
) -> None:
    answer = refusal(error)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
