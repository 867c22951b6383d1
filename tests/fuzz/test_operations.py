"""The read engine, asked anything: errors have a code, data are what the schema promises, on both databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import event, given, note
from hypothesis import strategies as st

from app.accounts.viewer import Viewer
from app.errors import Code
from app.graphql.operations import RequestError
from tests.fuzz.budget import examples
from tests.fuzz.conform import violations
from tests.fuzz.damage import nearly_valid_operations
from tests.fuzz.grammar import SCHEMA, Operation, operations
from tests.fuzz.library import Library
from tests.graphql.asking import Asker

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

MOST_STATEMENTS = 60
"""No operation within the limits takes more: one for each root field, one or two where values are attached."""


WHO = st.integers(0, 20)
"""Of the viewers."""


@given(operations(), WHO)
@examples(60)
async def test_valid_operations(library: Library, operation: Operation, who: int) -> None:
    await hold(library, who, operation)


@given(nearly_valid_operations(), WHO)
@examples(60)
async def test_nearly_valid_operations(library: Library, operation: Operation, who: int) -> None:
    await hold(library, who, operation)


async def hold(library: Library, who: int, operation: Operation) -> None:
    """Ask both databases, the first one twice, and demand what every answer has to keep."""
    query, variables = operation
    viewer = library.viewers[who % len(library.viewers)]
    try:
        variables = orjson.loads(orjson.dumps(variables))
    except TypeError:
        return  # no body could say so: see test_doors
    sqlite, postgresql = library.askers["sqlite"], library.askers["postgresql"]
    text = await answer(sqlite, viewer, query, variables)
    for again in (postgresql, sqlite):
        assert await answer(again, viewer, query, variables) == text, (viewer, query, variables)
    result = orjson.loads(text)
    event(", ".join(sorted({error["extensions"]["code"] for error in result.get("errors", ())})) or "data")
    note(text[:2000].decode())
    for error in result.get("errors", ()):
        assert error["extensions"]["code"] in Code.__members__, error
        assert error["extensions"]["code"] != Code.INTERNAL.name, (error, viewer, query, variables)
    if "errors" not in result:
        assert not (wrong := violations(SCHEMA, query, variables, result["data"])), (wrong, viewer, query, variables)


async def answer(asker: Asker, viewer: Viewer | None, query: str, variables: Mapping[str, Any]) -> bytes:
    """The response, of which the statements are counted."""
    try:
        found = await asker.bytes(viewer, query, variables)
    except RequestError as error:
        found = orjson.dumps(error.result)
    assert len(asker.statements) <= MOST_STATEMENTS, (len(asker.statements), query)
    return found
