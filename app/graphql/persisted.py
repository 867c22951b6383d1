"""Automatic persisted queries: a client that sent a document once names it by its SHA-256 from then on.

It sends the hash alone as `extensions.persistedQuery`, hears PERSISTED_QUERY_NOT_FOUND where nobody sent the text yet,
and sends both. What is kept is what every caller may run by sending the text: a hash gives nobody a right.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from typing import TYPE_CHECKING

from app.errors import Code, GradbookError
from app.graphql.documents import MAX_DOCUMENTS, MAX_KEPT_LENGTH

if TYPE_CHECKING:
    from app.graphql.operations import Request

NAME = "persistedQuery"

_HASH = re.compile("[0-9a-f]{64}")


class PersistedQueries:
    """The most recently used texts by their hashes, for all callers and transports of one server."""

    def __init__(self, size: int = MAX_DOCUMENTS) -> None:
        self._size = size
        self._texts: OrderedDict[str, str] = OrderedDict()

    def text(self, request: Request) -> str:
        """The document's text. Raises PERSISTED_QUERY_NOT_FOUND, INVALID_INPUT for a hash that is none."""
        digest = _hash(request)
        if digest is None or request.query:
            if digest is not None and digest != _digest(request.query):
                raise _invalid("is not the SHA-256 of 'query' in UTF-8")
            return request.query
        text = self._texts.get(digest)
        if text is None:
            # Clients compare this very message, too.
            raise GradbookError(Code.PERSISTED_QUERY_NOT_FOUND, "PersistedQueryNotFound")
        self._texts.move_to_end(digest)
        return text

    def keep(self, request: Request) -> None:
        """Keep the text of a request that turned out to be valid, if the client gave it a hash."""
        digest = _hash(request)
        if digest is None or digest in self._texts or not request.query or len(request.query) > MAX_KEPT_LENGTH:
            return
        self._texts[digest] = request.query
        if len(self._texts) > self._size:
            self._texts.popitem(last=False)


def _hash(request: Request) -> str | None:
    asked = request.extensions.get(NAME) if request.extensions else None
    match asked:
        case None:
            return None
        case {"version": 1, "sha256Hash": str(digest)} if _HASH.fullmatch(digest):
            return digest
    raise _invalid('is expected as {"version": 1, "sha256Hash": "64 hexadecimal digits in lower case"}')


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _invalid(what: str) -> GradbookError:
    return GradbookError(Code.INVALID_INPUT, f"'extensions.{NAME}' {what}.")
