"""The messages of the graphql-transport-ws protocol: read strictly, written as text frames.

The protocol: https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverWebSocket.md
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.graphql import persisted
from app.graphql.operations import Request

SUBPROTOCOL = "graphql-transport-ws"

MAX_ID_LENGTH = 256
"""Characters of an operation's id, which every message about the operation repeats. A UUID has 36."""

_MAX_REASON = 123
"""Bytes of a close frame's reason: RFC 6455 leaves no more."""

Json = dict[str, Any]


class CloseCode(enum.IntEnum):
    """Why the server closes a socket. Clients connect again after 1013, 4403 and 4408, and give up after the others."""

    TRY_AGAIN_LATER = 1013
    BAD_REQUEST = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406
    TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY = 4429
    """Initialisation requests, as the protocol says; or sockets of one caller."""
    INTERNAL_ERROR = 4500


class SocketError(Exception):
    """Ends the whole socket with this code and reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        # A character cut in two at the end is left out.
        self.reason = reason.encode()[:_MAX_REASON].decode(errors="ignore")
        self.code = code
        super().__init__(self.reason)


@dataclass(frozen=True, slots=True)
class Init:
    """`connection_init`: what the client says of itself."""

    parameters: Json


@dataclass(frozen=True, slots=True)
class Ping:
    """`ping`: to be answered by a pong with the same payload."""

    payload: Json | None


@dataclass(frozen=True, slots=True)
class Pong:
    """`pong`."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """`subscribe`: run an operation."""

    id: str
    request: Request


@dataclass(frozen=True, slots=True)
class Complete:
    """`complete`: the client does not listen any more."""

    id: str


Message = Init | Ping | Pong | Subscribe | Complete


def read(text: str | None, *, max_bytes: int) -> Message:
    """The message in a text frame; None is a binary frame. Raises SocketError 4400 that says what is wrong with it."""
    if text is None:
        raise _bad("A binary frame: messages are JSON in text frames.")
    size = len(text) if text.isascii() else len(text.encode())
    if size > max_bytes:
        raise _bad(f"The message has {size:,} bytes, more than {max_bytes:,}.")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _bad(f"The message is no JSON: {error}.") from None
    if not isinstance(message, dict):
        raise _bad(f"The message is {_kind(message)}: expected an object with a 'type'.")
    match message.get("type"):
        case "connection_init":
            return Init(_optional_object(message, "payload") or {})
        case "ping":
            return Ping(_optional_object(message, "payload"))
        case "pong":
            _optional_object(message, "payload")
            return Pong()
        case "subscribe":
            return Subscribe(_id(message), _request(message.get("payload")))
        case "complete":
            return Complete(_id(message))
        case str(unknown):
            raise _bad(f"A client sends no message of type {unknown[:40]!r}.")
        case other:
            raise _bad(f"The message's 'type' is {_kind(other)}: expected text.")


def ack() -> str:
    """`connection_ack`."""
    return '{"type":"connection_ack"}'


def ping() -> str:
    """`ping`."""
    return '{"type":"ping"}'


def pong(payload: Json | None) -> str:
    """`pong`. Raises SocketError for a payload that is nested too deep to be written."""
    if payload is None:
        return '{"type":"pong"}'
    try:
        return _text({"type": "pong", "payload": payload})
    except TypeError:  # the decoder follows 1,024 levels, the encoder 254
        raise _bad("The payload of the ping is nested too deep.") from None


def next_result(id: str) -> tuple[str, str]:
    """`next`: what stands before and after the JSON of a result of this operation."""
    return f'{{"id":{orjson.dumps(id).decode()},"type":"next","payload":', "}"


def error(id: str, errors: Sequence[Mapping[str, Any]]) -> str:
    """`error`: the operation's last message; there are no results, or no further ones."""
    return _text({"id": id, "type": "error", "payload": errors})


def complete(id: str) -> str:
    """`complete`: the operation's last message, after all its results."""
    return _text({"id": id, "type": "complete"})


def _text(message: Json) -> str:
    return orjson.dumps(message).decode()


def _id(message: Json) -> str:
    value = message.get("id")
    if not isinstance(value, str) or not value:
        raise _bad(f"The message's 'id' is {_kind(value)}: expected a text that names the operation.")
    if len(value) > MAX_ID_LENGTH:
        raise _bad(f"The message's 'id' has {len(value):,} characters, more than {MAX_ID_LENGTH}.")
    return value


def _request(payload: Any) -> Request:
    if not isinstance(payload, dict):
        raise _bad(f"The payload of 'subscribe' is {_kind(payload)}: expected an object with a 'query'.")
    query, name, document_id = payload.get("query"), payload.get("operationName"), payload.get("documentId")
    extensions = _optional_object(payload, "extensions")
    if not isinstance(document_id, str | None):
        raise _bad(f"'documentId' is {_kind(document_id)}: expected the id of a registered operation.")
    if query is None and (document_id or (extensions and extensions.get(persisted.NAME) is not None)):
        query = ""
    if not isinstance(query, str):
        raise _bad(f"'query' is {_kind(query)}: expected the GraphQL document as text.")
    if not isinstance(name, str | None):
        raise _bad(f"'operationName' is {_kind(name)}: expected text.")
    return Request(query, _optional_object(payload, "variables"), name or None, extensions, document_id)


def _optional_object(holder: Json, name: str) -> Json | None:
    value = holder.get(name)
    if not isinstance(value, dict | None):
        raise _bad(f"'{name}' is {_kind(value)}: expected an object, or nothing.")
    return value


def _bad(reason: str) -> SocketError:
    return SocketError(CloseCode.BAD_REQUEST, reason)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "missing or null"
        case "":
            return "empty"
        case str():
            return "a text"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "an object"
