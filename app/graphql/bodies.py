"""Request bodies: of which coding, how large, and in what time they have to be here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Protocol

from starlette.requests import Request

from app.errors import Code
from app.graphql.refusals import BadRequestError

SMALL = 64 * 1024
"""Bytes of a body that are taken before anybody asks who sends it."""


class Counter(Protocol):
    """Counts the bytes that the process holds."""

    def take(self, amount: int) -> None:
        """Raises OVERLOADED where they are too many together."""

    def give_back(self, amount: int) -> None:
        """They are gone."""


class Holding:
    """The bytes that one request, or one message of a socket, holds until it is answered."""

    __slots__ = ("_bytes", "_counter")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._bytes = 0

    def grow(self, size: int) -> None:
        """It has come to so many bytes. Small ones do not count: there are no more of them than requests."""
        if size > SMALL:
            self._counter.take(size - self._bytes)
            self._bytes = size

    def release(self) -> None:
        """It is answered."""
        if self._bytes:
            self._counter.give_back(self._bytes)
            self._bytes = 0


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What a body may be: its bytes, how many of 100 those may send who are not signed in, and the seconds it has.

    `max_values` are of its JSON: each takes up to 0.5 µs to decode, and up to 160 bytes, for which two can be enough.
    """

    max_bytes: int = 32 * 1024 * 1024
    anonymous_percent: int = 10
    seconds: float = 30
    max_values: int = 1_000_000

    @property
    def for_anonymous(self) -> BodyLimits:
        """Those of callers who are not signed in."""
        share = self.anonymous_percent
        most = max(SMALL, self.max_bytes * share // 100)
        return replace(self, max_bytes=most, max_values=self.max_values * share // 100)

    def check_values(self, body: bytes) -> None:
        """Raise BadRequestError for JSON of too many values."""
        count = _values(body)
        if count > self.max_values:  # texts have commas and brackets, too
            count = _values(_without_texts(body, self.max_values))
        if count > self.max_values:
            message = f"The body has {count:,} values: send at most {self.max_values:,} at once."
            raise BadRequestError(413, message, Code.LIMIT_EXCEEDED)


def _values(json: bytes) -> int:
    """As many values, or some more: commas and opening brackets."""
    return len(json) - len(json.translate(None, b",{["))


def _without_texts(json: bytes, most: int) -> bytes:
    """The JSON without its texts; as it is if it has too many of them."""
    quoted = json.replace(b"\\\\", b"").replace(b'\\"', b"")
    return json if quoted.count(b'"') > most else b"".join(quoted.split(b'"')[::2])


def demand_plain(request: Request) -> None:
    """Raise BadRequestError for a body that is compressed: a few bytes of it can unpack to any number."""
    for name, value in request.scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            message = f"The body is compressed (Content-Encoding: {value.decode('latin-1')}): send it as it is."
            raise BadRequestError(415, message, accept_encoding="identity")


def is_small(request: Request) -> bool:
    """Whether the body is said to be small, which the server holds it to."""
    declared = _declared(request)
    return declared is not None and declared <= SMALL


async def receive_body(request: Request, limits: BodyLimits) -> bytes:
    """The whole body. Raises BadRequestError for one that is too long or too slow, OVERLOADED, ClientDisconnect."""
    too_long = f"The body is longer than {limits.max_bytes:,} bytes."
    if (_declared(request) or 0) > limits.max_bytes:
        raise BadRequestError(413, too_long, Code.LIMIT_EXCEEDED)
    holding: Holding | None = request.scope.get("holding")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.max_bytes:
                    raise BadRequestError(413, too_long, Code.LIMIT_EXCEEDED)
                if size > SMALL and holding is not None:
                    holding.grow(size)
                chunks.append(chunk)
    except TimeoutError:
        message = f"The body was not complete after {limits.seconds:g} seconds (GRADBOOK_BODY_SECONDS)."
        raise BadRequestError(408, message, Code.TIMEOUT, connection="close") from None
    return b"".join(chunks)


def _declared(request: Request) -> int | None:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else None
