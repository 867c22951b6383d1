"""Random data and operations: the compiled answer is what graphql-core answers about plain objects."""

from __future__ import annotations

import os
from typing import Any

import orjson
from graphql import GraphQLSchema
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from app.accounts.viewer import Viewer
from app.graphql.schema import sdl
from tests.graphql.asking import Asker
from tests.graphql.drawing import Draw, Drawn, draw_world
from tests.graphql.oracle import Oracle, cursor, plain_schema
from tests.graphql.world import World, empty, load

EXAMPLES = int(os.environ.get("GRADBOOK_EXAMPLES", "60"))
"""More are drawn by `make test ARGS=... GRADBOOK_EXAMPLES=5000`."""

QUESTIONS = 2
"""Operations asked of one world."""


@given(st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate] if os.environ.get("NOSHRINK") else list(Phase),
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
async def test_the_compiled_answer_is_the_oracles(both: dict[str, Asker], data: st.DataObject) -> None:
    world = draw_world(Draw(data.draw))
    for asker in both.values():
        await asker.database.transact(empty)
        await asker.database.transact(world.fill)
    for _ in range(QUESTIONS):
        await ask_all(both, world, data)


async def ask_all(both: dict[str, Asker], world: World, data: st.DataObject) -> None:
    """One operation of one viewer, on both databases and by the oracle."""
    built = both["sqlite"].built
    rows = await both["sqlite"].database.transact(load)
    user = data.draw(st.sampled_from(sorted(rows["User"], key=lambda user: user.id)))
    viewer = Viewer(user.id, user.username, user.role)
    oracle = Oracle(schema(built), built.engine.entities, rows, viewer)

    def some_cursor(type_name: str, order: list[Any]) -> str | None:
        found = rows["Credential" if type_name == "ApiKey" else type_name]
        return cursor(oracle, type_name, order, data.draw(st.sampled_from(found))) if found else None

    drawn = Drawn(Draw(data.draw), oracle.schema, world, some_cursor)
    query = drawn.document()
    right = oracle.ask(query, drawn.variables)
    event(f"{viewer.role.name}, {len(query) // 500 * 500} characters")
    for name, asker in both.items():
        answer = orjson.loads(await asker.bytes(viewer, query, drawn.variables))
        assert "errors" not in answer, (name, answer["errors"], query, drawn.variables)
        wrong = difference(answer["data"], right)
        assert wrong is None, (name, viewer, query, drawn.variables, wrong)


def schema(built: Any) -> GraphQLSchema:
    return plain_schema(sdl(built.graphql))


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
