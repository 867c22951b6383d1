"""Asking both databases, and what every answer has to keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from app.accounts.viewer import Viewer
from app.errors import Code
from app.graphql.operations import RequestError
from app.graphql.paging import MAX_PAGE
from tests.fuzz.conform import completed
from tests.fuzz.grammar import SCHEMA, Operation
from tests.fuzz.library import Library
from tests.graphql.asking import Asker

STATEMENTS = 4
"""For each place with a selection: the rows, and what is attached to them by up to three more."""

BY_IDS = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"


async def hold(library: Library, viewer: Viewer | None, operation: Operation) -> Any:
    """The answer of both databases, the first one asked twice; None if no body could say the operation.

    It is the same to the byte, but for chance: see _said. Errors have a code that was foreseen; the data are what the
    schema promises, took a number of statements that does not depend on how many rows there are, and show only what the
    viewer finds by its id.
    """
    query, variables = operation
    try:
        variables = orjson.loads(orjson.dumps(variables))
    except TypeError:
        return None  # see test_doors
    sqlite, postgresql = library.askers["sqlite"], library.askers["postgresql"]
    text = await answer(sqlite, viewer, query, variables)
    statements = Counter(sqlite.statements)
    for again in (postgresql, sqlite):
        other = await answer(again, viewer, query, variables)
        assert other == text or _said(other) == _said(text), (viewer, query, variables)
    result = orjson.loads(text)
    for error in result.get("errors", ()):
        assert error["extensions"]["code"] in Code.__members__, error
        assert error["extensions"]["code"] != Code.INTERNAL.name, (error, viewer, query, variables)
    if result.get("data") is None:
        return result
    found = completed(SCHEMA, query, variables, result["data"])
    assert not found.violations, (found.violations, viewer, query, variables)
    # Lists multiply rows, and these are read together: only the same field at another place asks for the same again.
    count, most = statements.total(), max(statements.values(), default=0)
    assert most <= max(found.places.values(), default=0), (most, found.places, viewer, query, variables)
    assert count <= STATEMENTS * found.places.total(), (count, found.places, viewer, query, variables)
    ids = sorted(found.ids)[:MAX_PAGE]
    shown = await sqlite.data(viewer, BY_IDS, {"ids": ids}) if ids else {"nodes": []}
    hidden = [one for one, node in zip(ids, shown["nodes"], strict=True) if node is None]
    assert not hidden, (hidden, viewer, query, variables)
    return result


async def answer(asker: Asker, viewer: Viewer | None, query: str, variables: Mapping[str, Any]) -> bytes:
    """The response's bytes."""
    try:
        return await asker.bytes(viewer, query, variables)
    except RequestError as error:
        asker.statements.clear()
        return orjson.dumps(error.result)


def _said(answered: bytes) -> Any:
    """An answer without what is left to chance: of several fields that cannot be null, which one failed first."""
    result = orjson.loads(answered)
    failed_by_fields = result.get("data", ...) is None and all("path" in error for error in result["errors"])
    return {"data": None} if failed_by_fields else answered
