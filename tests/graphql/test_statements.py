"""Statements do not grow with rows or depth: one per root field, one more per kind for `nodes`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graphql.asking import OWNER, Asker
from tests.graphql.things import ALL, CALLS, things
from tests.graphql.world import World

SHALLOW = '{ dataset(id: "dst_1") { records(first: 500) { nodes { id } } } }'
DEEP = """{ dataset(id: "dst_1") { workspace { members { totalCount } } progress { total } questions { id }
    records(first: 500, orderBy: [{field: STATUS}]) { totalCount pageInfo { hasNextPage endCursor }
        edges { cursor node {
        suggestions { score } dataset { name }
        responses(first: 500) { totalCount pageInfo { hasNextPage } nodes { user { username workspaces { name } }
            record { responses { nodes { id record { externalId } } } } } } } } } } }"""


def rows(count: int) -> World:
    world = World()
    world.add("workspace", id=1, name="w")
    world.add("dataset", id=1, workspace_id=1, name="d")
    world.add("user_account", id=1, username="u")
    world.add("membership", workspace_id=1, user_id=1)
    for number in range(1, count + 1):
        world.add("record", id=number, dataset_id=1)
        world.add("response", id=number, dataset_id=1, record_id=number, user_id=1)
        world.add("suggestion", id=number, dataset_id=1, record_id=number, question="q")
    return world


@pytest.mark.parametrize("count", [1, 50, 500])
async def test_a_root_field_is_one_statement(asker: Asker, count: int) -> None:
    await asker.database.transact(rows(count).fill)
    for query in (SHALLOW, DEEP):
        records = (await asker.data(OWNER, query))["dataset"]["records"]
        assert len(records.get("nodes", records.get("edges"))) == count
        assert len(asker.statements) == 1
    await asker.data(OWNER, f"{{ a: {SHALLOW[1:-1]} b: {DEEP[1:-1]} users {{ totalCount }} }}")
    assert len(asker.statements) == 3


@pytest.mark.parametrize("count", [1, 50, 500])
async def test_nodes_are_one_statement_for_each_kind(asker: Asker, count: int) -> None:
    await asker.database.transact(rows(count).fill)
    query = """query ($ids: [ID!]!) { nodes(ids: $ids) { id
        ... on Record { responses { nodes { user { username } } } }
        ... on Response { record { suggestions { id } } } } }"""
    ids = [f"{prefix}_{number}" for number in range(1, count // 2 + 2) for prefix in ("rec", "rsp")][:500]
    assert len((await asker.data(OWNER, query, {"ids": ids}))["nodes"]) == len(ids)
    assert len(asker.statements) == 2
    await asker.data(OWNER, query, {"ids": []})
    assert asker.statements == []


@pytest.mark.parametrize("count", [1, 50, 500])
async def test_an_attached_field_is_one_call_more(asker: Asker, count: int) -> None:
    asker = await things(asker, *({"parent_id": number // 3} for number in range(count)))
    CALLS.clear()
    query = '{ things(first: 500) { nodes { stats { low } children { nodes { l: label(prefix: "") } } } } }'
    found: Any = await asker.data(ALL, query)
    assert len(found["things"]["nodes"]) == count
    assert len(asker.statements) == 1
    assert [name for name, _, _ in CALLS] == (["stats", "label"] if count > 3 else ["stats"])
