"""How a stream of results is written into the body of one HTTP response.

Two protocols: Server-Sent Events (https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md, "distinct
connections mode") and Apollo's multipart subscriptions
(https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from app.errors import Code
from app.graphql.operations import encoded
from app.graphql.sharing import Message

Headers = list[tuple[bytes, bytes]]

_UNBUFFERED: Headers = [
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep results back
]
_REVOKED = {
    "message": "The credential of this stream no longer holds: sign in, or send another key.",
    "extensions": {"code": Code.UNAUTHENTICATED.name},
}


class Framing(Protocol):
    """What stands between and around the results. `alive` says nothing, `closing` that no more will come.

    A stream without `closing` was broken off, and who connects again goes on. `revoked` is said before the end where
    the caller's credential ended.
    """

    headers: Headers
    opening: str
    alive: str
    closing: str
    revoked: str

    def result(self, message: Message) -> str:
        """A result."""

    def failure(self, error: Mapping[str, Any]) -> str:
        """What nobody foresaw, in place of further results."""


class Events:
    """`next` events, each with its cursor as id, which a browser sends again as Last-Event-ID; then `complete`."""

    headers: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), *_UNBUFFERED]  # noqa: RUF012
    opening = ""
    alive = ":\n\n"
    closing = "event: complete\ndata:\n\n"
    revoked = ""

    def result(self, message: Message) -> str:
        """A `next` event."""
        # JSON may have line ends between its words, where a blank does as well.
        data = message.text.replace("\n", " ").replace("\r", " ")
        place = f"id: {message.cursor}\n" if message.cursor else ""
        return f"event: next\n{place}data: {data}\n\n"

    def failure(self, error: Mapping[str, Any]) -> str:
        """A `next` event without data."""
        return self.result(Message(encoded({"data": None, "errors": [error]})))


class Parts:
    """Parts with a result each. Every one ends with the delimiter of the next, so that clients have it at once."""

    headers: Headers = [  # noqa: RUF012
        (b"content-type", b'multipart/mixed;boundary="graphql";subscriptionSpec=1.0'),
        *_UNBUFFERED,
    ]
    opening = "\r\n--graphql"
    closing = "--\r\n"

    def __init__(self) -> None:
        self.alive = self._part("{}")
        self.revoked = self.failure(_REVOKED) + self.closing

    def result(self, message: Message) -> str:
        """A part with a payload."""
        return self._part(f'{{"payload":{message.text}}}')

    def failure(self, error: Mapping[str, Any]) -> str:
        """A part without one: the protocol's transport error."""
        return self._part(encoded({"payload": None, "errors": [error]}))

    def _part(self, text: str) -> str:
        return f"\r\nContent-Type: application/json\r\n\r\n{text}{self.opening}"


EVENTS = Events()
PARTS = Parts()
