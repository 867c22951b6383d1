"""Attached fields, and what a schema must not hold below a compiled field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
import strawberry

from app.accounts import scope, tables
from app.graphql import schema
from app.graphql.entity import Connection, Node, attached, column, entity
from app.graphql.operations import Operations, Request
from tests.api.conftest import Book

CALLS: list[list[int]] = []


async def _lengths(_context: Any, ids: Sequence[int], _arguments: Mapping[str, Any]) -> dict[int, int]:
    CALLS.append(list(ids))
    return {number: len(str(number)) for number in ids}


@entity("wsp", tables.Workspace, own=scope.workspace)
class Place(Node):
    """A workspace with what SQL does not compute."""

    name: str = column("Its name.")
    digits: int = attached("How long its id is.", _lengths)


@strawberry.type
class Query:
    """A list of places."""

    places: Connection[Place] = schema.root_many("Place", "All.")


async def test_an_attached_field_is_loaded_once_for_all(book: Book) -> None:
    built = schema.build(query=Query, mutation=None, subscription=None, entities=[Place], secret="s")
    operations = Operations(built, book.services.database, None)
    CALLS.clear()
    for who, count in (("owner", 2), ("ann", 1)):
        prepared = operations.prepare(Request("{ places { nodes { id digits more: digits name } } }"), book.people[who])
        result = orjson.loads(orjson.dumps(await operations.execute(prepared, book.people[who])))
        nodes = result["data"]["places"]["nodes"]
        assert len(nodes) == count
        assert all(node["digits"] == node["more"] == len(node["id"]) - 4 for node in nodes)
    assert [len(ids) for ids in CALLS] == [2, 2, 1, 1]  # a call for each of the two picks, whatever the rows


def test_a_resolver_below_a_compiled_field_is_an_error() -> None:
    with pytest.raises(TypeError):

        @entity("wsp", tables.Workspace, own=scope.workspace)
        class Wrong(Node):
            """It would be ignored."""

            @strawberry.field
            def name(self) -> str:
                return "never asked"


def test_an_entity_without_scope_is_an_error() -> None:
    with pytest.raises(TypeError, match="scope"):
        entity("wsp", tables.Workspace)
