"""Deep, wide and warm: what breaks a compiler of queries first."""

from __future__ import annotations

from typing import Any

import pytest

from app.graphql.limits import DEFAULTS
from tests.api.conftest import Book, operation

DEPTH = 10  # levels of lists and rows, each with its scope and a condition


def _deep(levels: int) -> str:
    """record → responses → record → responses → ..., with a condition at every list."""
    inner = "id status"
    for level in range(levels):
        where = '{or: [{status: {in: [SUBMITTED, DRAFT]}}, {not: {updatedAt: {gt: "2000-01-01T00:00:00Z"}}}]}'
        inner = (
            f"id responses(first: 5, where: {where}, orderBy: [{{field: UPDATED_AT}}]) {{ totalCount"
            f" pageInfo {{ endCursor }} nodes {{ id record {{ {inner} }} }} }}"
        )
        del level
    return f"query ($id: ID!) {{ record(id: $id) {{ {inner} }} }}"


def _levels(record: dict[str, Any]) -> int:
    nodes = record.get("responses", {}).get("nodes", [])
    return 1 + max((_levels(node["record"]) for node in nodes), default=0)


@pytest.mark.parametrize(("who", "answers"), [("owner", 3), ("admin", 3), ("ann", 1)])
async def test_ten_levels_with_scope_and_where_on_each(book: Book, who: str, answers: int) -> None:
    record = (await book.data(who, _deep(DEPTH // 2), {"id": book.ids["record_here_0"]}))["record"]
    assert _levels(record) == DEPTH // 2 + 1
    assert record["responses"]["totalCount"] == answers


async def test_as_many_aliased_lists_as_are_allowed(book: Book) -> None:
    who, answers = "ann", 1
    aliases = " ".join(
        f"a{n}: responses(first: {n % 4}) {{ totalCount nodes {{ id }} }}" for n in range(DEFAULTS.lists)
    )
    found = await book.data(
        who, f"query ($id: ID!) {{ record(id: $id) {{ {aliases} }} }}", {"id": book.ids["record_here_0"]}
    )
    assert len(found["record"]) == DEFAULTS.lists
    for n in range(DEFAULTS.lists):
        assert found["record"][f"a{n}"]["totalCount"] == answers
        assert len(found["record"][f"a{n}"]["nodes"]) == min(n % 4, answers)


async def test_as_many_aliases_at_the_root_as_are_allowed(book: Book) -> None:
    names = [f"record_here_{n % 3}" for n in range(DEFAULTS.root_fields)]
    roots = " ".join(f'a{n}: node(id: "{book.ids[name]}") {{ id }}' for n, name in enumerate(names))
    found = await book.data("ann", f"{{ {roots} }}")
    assert [found[f"a{n}"]["id"] for n in range(DEFAULTS.root_fields)] == [book.ids[name] for name in names]


async def test_one_list_with_several_selections(book: Book) -> None:
    found = await book.data(
        "admin",
        """query ($id: ID!) { dataset(id: $id) { records(first: 2) {
          one: nodes { id responses { totalCount } }
          edges { c: cursor node { externalId ...more } again: node { id: externalId } }
          two: nodes { name: externalId dataset { name } }
        } } } fragment more on Record { suggestions { agent } }""",
        {"id": book.ids["dataset_here"]},
    )
    records = found["dataset"]["records"]
    assert [node["responses"]["totalCount"] for node in records["one"]] == [3, 0]
    assert [node["name"] for node in records["two"]] == ["here-0", "here-1"]
    assert [edge["node"]["suggestions"] for edge in records["edges"]] == [[{"agent": "model"}]] * 2
    assert [edge["again"]["id"] for edge in records["edges"]] == ["here-0", "here-1"]


async def test_a_warm_plan_serves_the_next_viewer_their_own(book: Book) -> None:
    variables = {"dataset": book.ids["dataset_here"], "first": 1}
    seen: dict[str, list[str]] = {}
    for _ in range(2):
        for who in ("owner", "ann", "admin", "ben", "other_admin", "other_ann"):
            page = (await book.data(who, operation("RecordPage"), variables))["dataset"]
            nodes = page["records"]["edges"][0]["node"]["responses"]["nodes"] if page else []
            answers = [node["id"] for node in nodes]
            assert seen.setdefault(who, answers) == answers
    everybody = [book.ids[f"response_of_{who}"] for who in ("ann", "ben", "admin")]
    assert seen == {
        "owner": everybody, "admin": everybody, "ann": everybody[:1], "ben": everybody[1:2],
        "other_admin": [], "other_ann": [],
    }  # fmt: skip
    stranger = await book.run(None, operation("RecordPage"), variables)
    assert stranger["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_warm_plan_serves_other_values_and_other_shapes(book: Book) -> None:
    query = """query ($id: ID!, $where: RecordWhere, $first: Int, $deep: Boolean!, $shallow: Boolean!) {
      dataset(id: $id) { records(first: $first, where: $where) { nodes {
        externalId responses @include(if: $deep) { totalCount } id @skip(if: $shallow)
      } } } }"""
    cases: list[tuple[dict[str, Any], int]] = [
        ({"externalId": {"eq": "here-1"}}, 1), ({"externalId": {"eq": "here-2"}}, 1), ({"externalId": {"eq": "x"}}, 0),
        ({"externalId": {"in": ["here-1"]}}, 1), ({"externalId": {"in": ["here-1", "here-2", "x"]}}, 2),
        ({"externalId": {"in": []}}, 0), ({"externalId": {"isNull": True}}, 0), ({"externalId": {"isNull": False}}, 3),
        ({}, 3), ({"or": []}, 0), ({"and": []}, 3),
    ]  # fmt: skip
    for deep in (True, False, True):
        for where, expected in cases:
            variables = {"id": book.ids["dataset_here"], "where": where, "deep": deep, "shallow": not deep}
            nodes = (await book.data("admin", query, variables))["dataset"]["records"]["nodes"]
            assert len(nodes) == expected, where
            assert all(("responses" in node, "id" in node) == (deep, deep) for node in nodes)
            one = (await book.data("admin", query, variables | {"first": 1}))["dataset"]["records"]["nodes"]
            assert len(one) == min(1, expected)
