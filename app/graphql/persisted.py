"""Documents that callers name instead of sending them: registered ones, and automatic persisted queries.

A name stands in `documentId` (GraphQL over HTTP), or in `extensions.persistedQuery` (Apollo). A registered operation is
found by either. Of automatic persisted queries a client sends the SHA-256 alone, hears PERSISTED_QUERY_NOT_FOUND where
nobody sent the text yet, and sends both. What is kept is what every caller may run by sending the text: a hash gives
nobody a right. A server that runs registered operations only takes nothing else, and does not even parse it.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from typing import TYPE_CHECKING

from app.errors import Code, GradbookError
from app.graphql.documents import MAX_DOCUMENTS, MAX_KEPT_LENGTH
from app.graphql.registered import Registered

if TYPE_CHECKING:
    from app.graphql.operations import Request

NAME = "persistedQuery"

_HASH = re.compile("[0-9a-f]{64}")
_SHOWN = 80  # characters of a name that a message repeats


class PersistedQueries:
    """The most recently used texts by their hashes, for all callers and transports of one server."""

    def __init__(self, registered: Registered | None = None, size: int = MAX_DOCUMENTS) -> None:
        self._registered = registered or Registered()
        self._size = size
        self._texts: OrderedDict[str, str] = OrderedDict()

    def text(self, request: Request) -> str:
        """The document's text.

        Raises PERSISTED_QUERY_NOT_FOUND, OPERATION_NOT_REGISTERED, INVALID_INPUT for a hash that is none.
        """
        digest = _hash(request)
        name = request.document_id or digest
        if name and not request.query:
            return self._named(name, must_be_registered=bool(request.document_id))
        if digest is not None and self._registered.text(digest) != request.query:
            _check(digest)
            if digest != _digest(request.query):
                raise _invalid("is not the SHA-256 of 'query' in UTF-8")
        if self._registered.only and not self._registered.holds(request.query):
            raise _not_registered("this text is none of them, character for character")
        return request.query

    def keep(self, request: Request) -> None:
        """Keep the text of a request that turned out to be valid, if the client gave it a hash."""
        digest = _hash(request)
        if digest is None or digest in self._texts or not request.query or len(request.query) > MAX_KEPT_LENGTH:
            return
        if self._registered.text(digest) is not None:
            return
        self._texts[digest] = request.query
        if len(self._texts) > self._size:
            self._texts.popitem(last=False)

    async def look_up(self, request: Request) -> None:
        """Look whether what the request names, and what is not known here, was registered meanwhile."""
        if request.query and not self._registered.only:
            return
        try:
            self.text(request)
        except GradbookError as error:
            if error.code in _UNKNOWN:
                await self._registered.look()

    def _named(self, name: str, *, must_be_registered: bool) -> str:
        text = self._registered.text(name)
        if text is not None:
            return text
        if self._registered.only or must_be_registered:
            raise _not_registered(f"none has the id {name[:_SHOWN]!r}")
        _check(name)
        text = self._texts.get(name)
        if text is None:
            # Clients compare this very message, too.
            raise GradbookError(Code.PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound")
        self._texts.move_to_end(name)
        return text


_UNKNOWN = {Code.PERSISTED_QUERY_NOT_FOUND.name, Code.OPERATION_NOT_REGISTERED.name}


def _hash(request: Request) -> str | None:
    asked = request.extensions.get(NAME) if request.extensions else None
    match asked:
        case None:
            return None
        case {"version": 1, "sha256Hash": str(digest)}:
            return digest
    raise _invalid(_EXPECTED)


_EXPECTED = 'is expected as {"version": 1, "sha256Hash": "64 hexadecimal digits in lower case"}'


def _check(digest: str) -> None:
    if not _HASH.fullmatch(digest):
        raise _invalid(_EXPECTED)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _invalid(what: str) -> GradbookError:
    return GradbookError(Code.INVALID_INPUT, f"'extensions.{NAME}' {what}.")


def _not_registered(why: str) -> GradbookError:
    message = f"Of the registered operations {why}: `gradbook operations register FILE` registers what clients send."
    return GradbookError(Code.OPERATION_NOT_REGISTERED, message)
