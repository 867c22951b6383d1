"""Warm caches: another viewer, other variables and other shapes get their own answer; and caches are bounded."""

from __future__ import annotations

from typing import Any

import pytest

from app.accounts.tables import Role
from app.graphql.engine import MAX_VARIANTS
from app.graphql.plans import Plan, PlanCache
from app.schema import build_schema
from tests.graphql.agreement import agree, oracle_of
from tests.graphql.asking import SECRET, Asker, viewer

OWNER, ADMIN, ANNOTATOR, OTHER_ANNOTATOR, OTHER_ADMIN = (
    viewer(number, Role[role])
    for number, role in enumerate(["OWNER", "ADMIN", "ANNOTATOR", "ANNOTATOR", "ADMIN"], start=1)
)

QUERY = """query (
    $id: ID!, $first: Int, $where: RecordWhere, $order: [RecordOrder!], $after: String, $yes: Boolean = true
) {
    dataset(id: $id) {
        workspace { name members { totalCount nodes { username } } }
        records(first: $first, where: $where, orderBy: $order, after: $after) {
            totalCount
            pageInfo { hasNextPage endCursor }
            nodes { id responses @include(if: $yes) { totalCount nodes { id user { username } } } }
        }
    }
    users { totalCount }
    node(id: "rsp_1004") { id }
}"""


@pytest.fixture
async def fresh(small_book: Asker) -> Asker:
    """An engine that nobody has asked yet."""
    return Asker(build_schema(SECRET), small_book.database)


async def test_the_same_document_by_one_viewer_after_the_other(fresh: Asker) -> None:
    variables = {"id": "dst_20", "first": 3}
    answers: dict[int, Any] = {}
    for who in (OWNER, ADMIN, ANNOTATOR, OTHER_ANNOTATOR, OTHER_ADMIN, ANNOTATOR, OWNER):
        found = await agree(fresh, await oracle_of(fresh, who), QUERY, variables)
        assert answers.setdefault(who.id, found) == found
    assert answers[OTHER_ADMIN.id]["dataset"] is None
    assert answers[ANNOTATOR.id] != answers[OTHER_ANNOTATOR.id] != answers[ADMIN.id]
    # Five statements for each of the three kinds of viewer: dataset, users, node; by id, and by list.
    assert len(fresh.built.engine.plans) == 3 * 3
    stranger = await fresh.ask(None, QUERY, variables)
    assert stranger["data"] == {"dataset": None, "node": None} or stranger["data"] is None
    assert {error["extensions"]["code"] for error in stranger["errors"]} == {"UNAUTHENTICATED"}
    assert fresh.statements == []


async def test_the_same_document_with_other_variables(fresh: Asker) -> None:
    oracle = await oracle_of(fresh, ADMIN)
    first = await agree(fresh, oracle, QUERY, {"id": "dst_20", "first": 4})
    cursor = first["dataset"]["records"]["pageInfo"]["endCursor"]
    external = {"where": {"externalId": {"eq": "e"}}}
    table: list[tuple[dict[str, Any], bool]] = [
        # variables, and whether the statement for the dataset is a new one
        ({"id": "dst_21"}, False),
        ({"id": "dst_20", "first": 7}, False),
        ({"id": "dst_20", "first": None}, False),
        ({"id": "dst_20", "where": None, "order": None}, False),
        ({"id": "dst_20", "order": []}, False),
        ({"id": "dst_20", "where": {}}, True),
        ({"id": "dst_20", "where": {"id": {"in": ["rec_100", "rec_101", "rec_102"]}}}, True),
        ({"id": "dst_20", "where": {"id": {"in": ["rec_104", "rec_103", "rec_102", "rec_107"]}}}, False),
        ({"id": "dst_20", "where": {"id": {"in": ["rec_104"]}}}, True),
        ({"id": "dst_20", "where": {"id": {"notIn": ["rec_104"]}}}, True),
        ({"id": "dst_20", **external}, True),
        ({"id": "dst_20", "where": {"externalId": {"isNull": True}}}, True),
        ({"id": "dst_20", "where": {"externalId": {"isNull": False}}}, True),
        ({"id": "dst_20", "after": cursor, "first": 2}, True),
        ({"id": "dst_20", "after": cursor, "first": 3}, False),
        ({"id": "dst_20", "yes": False}, True),
        ({"id": "dst_20", "order": [{"field": "EXTERNAL_ID"}]}, True),
        ({"id": "dst_20", "order": [{"field": "EXTERNAL_ID", "direction": "DESC"}]}, True),
        ({"id": "dst_20", "order": [{"json": {"path": "a", "as": "INT"}}]}, True),
        ({"id": "dst_20", "order": [{"json": {"path": "b", "as": "INT"}}]}, False),
        ({"id": "dst_20", "order": [{"json": {"path": "b[0]", "as": "INT"}}]}, True),
        ({"id": "dst_20", "order": [{"json": {"path": "b", "as": "TEXT"}}]}, True),
    ]
    plans = fresh.built.engine.plans
    for variables, is_new in table:
        before = len(plans)
        await agree(fresh, oracle, QUERY, variables)
        new = len(plans) - before
        assert new == (3 if variables.get("yes") is False else int(is_new)), variables


async def test_templates_are_kept_for_few_combinations_of_directives(fresh: Asker) -> None:
    names = [f"v{number}" for number in range(6)]
    query = f"query ({' '.join(f'${name}: Boolean!' for name in names)}) {{ users {{ totalCount nodes {{ id "
    query += " ".join(f"{name}: username @skip(if: ${name})" for name in names) + " } } }"
    prepared: Any = None
    for number in range(2 ** len(names)):
        variables = {name: bool(number >> place & 1) for place, name in enumerate(names)}
        data = await fresh.data(OWNER, query, variables)
        assert set(data["users"]["nodes"][0]) == {"id", *(name for name in names if not variables[name])}
        prepared = fresh.operations._documents.get(query)
    templates = prepared.operations[0].templates
    assert len(templates["list", "users"]) <= MAX_VARIANTS


def test_plans_are_kept_by_last_use() -> None:
    plans, made = PlanCache(2), []

    def plan(key: str) -> Plan:
        def make() -> Plan:
            made.append(key)
            return Plan(key, ())

        return plans.get(key, make)

    for key in ("a", "b", "a", "c", "a", "b"):
        assert plan(key).sql == key
    assert made == ["a", "b", "c", "b"]
    assert len(plans) == 2


async def test_two_engines_share_nothing(fresh: Asker) -> None:
    other = Asker(build_schema(SECRET), fresh.database)
    await fresh.data(OWNER, "{ users { totalCount } }")
    assert len(other.built.engine.plans) == 0
