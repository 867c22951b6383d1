"""Whether the engine and the oracle agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from graphql import build_schema

from app.accounts.viewer import Viewer
from app.graphql.schema import sdl
from tests.graphql.asking import Asker
from tests.graphql.oracle import Oracle
from tests.graphql.world import load


async def oracle_of(asker: Asker, viewer: Viewer) -> Oracle:
    """The oracle about what is in a database, for a viewer."""
    rows = await asker.database.transact(load)
    return Oracle(build_schema(sdl(asker.built.graphql)), asker.built.engine.entities, rows, viewer)


async def agree(asker: Asker, oracle: Oracle, query: str, variables: Mapping[str, Any] | None = None) -> Any:
    """Fails unless both give the same data, which is returned."""
    right = oracle.ask(query, variables or {})
    answer = orjson.loads(await asker.bytes(oracle.viewer, query, variables))
    where = (asker.database.dialect_name, oracle.viewer, query, variables)
    assert "errors" not in answer, (answer["errors"], where)
    wrong = difference(answer["data"], right)
    assert wrong is None, (wrong, where)
    return right


def difference(found: Any, right: Any, path: tuple[Any, ...] = ()) -> Any:
    """Where two JSON values differ, in the order of keys too; None where they do not."""
    if isinstance(found, dict) and isinstance(right, dict):
        if list(found) != list(right):
            return path, list(found), list(right)
        pairs = [(key, found[key], right[key]) for key in found]
    elif isinstance(found, list) and isinstance(right, list):
        if len(found) != len(right):
            return path, found, right
        pairs = [(index, *pair) for index, pair in enumerate(zip(found, right, strict=True))]
    else:
        same = found == right and isinstance(found, bool) == isinstance(right, bool)
        return None if same else (path, found, right)
    return next((wrong for key, one, other in pairs if (wrong := difference(one, other, (*path, key)))), None)
