"""Random data and operations: the compiled answer is what graphql-core answers about plain objects."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.accounts.viewer import Viewer
from tests.graphql.agreement import agree, oracle_of
from tests.graphql.asking import Asker
from tests.graphql.drawing import Draw, Drawn, draw_world
from tests.graphql.oracle import cursor
from tests.graphql.world import World, empty

EXAMPLES = int(os.environ.get("GRADBOOK_EXAMPLES", "60"))
"""More are drawn by `make test ARGS=... GRADBOOK_EXAMPLES=5000`."""

QUESTIONS = 2
"""Operations asked of one world."""


@given(st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
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
    user = data.draw(st.sampled_from(world.rows["user_account"]))
    viewer = Viewer(user["id"], user["username"], user["role"])
    oracle = await oracle_of(both["sqlite"], viewer)

    def some_cursor(type_name: str, order: list[Any]) -> str | None:
        found = oracle.rows["Credential" if type_name == "ApiKey" else type_name]
        return cursor(oracle, type_name, order, data.draw(st.sampled_from(found))) if found else None

    drawn = Drawn(Draw(data.draw), oracle.schema, world, some_cursor)
    query = drawn.document()
    event(f"{viewer.role.name}, {len(query) // 500 * 500} characters")
    for asker in both.values():
        await agree(asker, oracle, query, drawn.variables)
