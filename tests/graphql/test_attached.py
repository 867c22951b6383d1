"""Attached fields: one call of the loader for all parents of a root field, wherever they stand in the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import strawberry
from sqlalchemy import delete

from app.accounts.tables import Role
from app.db import UnitOfWork
from app.graphql.engine import ref
from app.graphql.payloads import mutate
from tests.graphql.agreement import agree, oracle_of
from tests.graphql.asking import Asker, viewer
from tests.graphql.things import ALL, CALLS, Changed, Row, things, write

ROWS: list[dict[str, Any]] = [
    {"name": "a"},
    {"name": "b", "parent_id": 1},
    {"name": "c", "parent_id": 1},
    {"name": "d", "parent_id": 2},
]


@strawberry.type
class Mutation:
    """Changes nothing, and answers with things."""

    @strawberry.mutation(description="Answers with these things.")
    async def touch(self, info: strawberry.Info[Any, Any], numbers: list[int]) -> Changed:
        """Refs to rows."""

        def work(_: UnitOfWork) -> Changed:
            refs = [ref("Thing", number) for number in numbers]
            return Changed(thing=refs[0], things=refs[1:])

        return await mutate(info, Changed, work)


@pytest.fixture(autouse=True)
def _no_calls() -> Iterator[None]:
    CALLS.clear()
    yield
    CALLS.clear()


@pytest.fixture
async def book(asker: Asker) -> Asker:
    return await things(asker, *ROWS, mutation=Mutation)


async def data(book: Asker, query: str, variables: dict[str, Any] | None = None) -> Any:
    return await book.data(ALL, query, variables)


async def test_a_row_a_list_and_lists_in_lists_take_one_call_each(book: Asker) -> None:
    one = await data(book, '{ thing(id: "thg_2") { label(prefix: "x") name } }')
    assert one == {"thing": {"label": "x2", "name": "b"}}
    assert CALLS == [("label", [2], {"prefix": "x"})]

    CALLS.clear()
    whole = await data(
        book,
        """{ things { nodes { id label(prefix: "") children { edges { node { label(prefix: "-") } } }
            sorted { label(prefix: "s") parent { label(prefix: "^") } } } } }""",
    )
    first = whole["things"]["nodes"][0]
    assert first == {
        "id": "thg_1",
        "label": "1",
        "children": {"edges": [{"node": {"label": "-2"}}, {"node": {"label": "-3"}}]},
        "sorted": [{"label": "s2", "parent": {"label": "^1"}}, {"label": "s3", "parent": {"label": "^1"}}],
    }
    assert sorted(CALLS, key=str) == [
        ("label", [1, 2, 3, 4], {"prefix": ""}),
        ("label", [1, 2], {"prefix": "^"}),
        ("label", [2, 3, 4], {"prefix": "-"}),
        ("label", [2, 3, 4], {"prefix": "s"}),
    ]
    assert len(book.statements) == 1


async def test_aliases_variables_and_defaults_of_arguments(book: Asker) -> None:
    query = """query ($p: String!, $include: Boolean!) {
        thing(id: "thg_1") { a: label(prefix: $p) b: label(prefix: "b") c: label(prefix: "c") @include(if: $include) }
    }"""
    for include, right in ((True, {"a": "é1", "b": "b1", "c": "c1"}), (False, {"a": "é1", "b": "b1"})):
        CALLS.clear()
        assert await data(book, query, {"p": "é", "include": include}) == {"thing": right}
        assert [arguments["prefix"] for _, _, arguments in CALLS] == ["é", *(key for key in right if key != "a")]


async def test_objects_are_picked_and_null_stays_null(book: Asker) -> None:
    query = """{ things { nodes { s: stats { __typename l: low high points { low points { low } } } } } }"""
    found = [node["s"] for node in (await data(book, query))["things"]["nodes"]]
    assert found[0] == {
        "__typename": "Stats",
        "l": 1.0,
        "high": None,
        "points": [{"low": 0.5, "points": []}],
    }
    assert list(found[0]) == ["__typename", "l", "high", "points"]
    assert found[2] is None


async def test_what_surrounds_an_attached_value_is_not_touched(book: Asker) -> None:
    odd = {"k": [1e22, 0.1, "\x01:1\x01", "0:1", 2**63]}
    rows = [{"name": "\x01" + '0:1\x01 "', "data": odd, "size": 1e16}]
    await book.database.transact(_replace, rows)
    query = '{ thing(id: "thg_1") { name data size label(prefix: "\\u0001\\"") } }'
    assert (await book.bytes(ALL, query)).decode() == (
        r'{"data":{"thing":{"name":"\u00010:1\u0001 \"","data":{"k":[1e+22,0.1,"\u0001:1\u0001","0:1",'
        r'9223372036854775808]},"size":1e+16,"label":"\u0001\"1"}}}'
    )


def _replace(uow: UnitOfWork, rows: list[dict[str, Any]]) -> None:
    uow.connection.execute(delete(Row))
    write(*rows)(uow)


async def test_node_and_nodes(book: Asker) -> None:
    query = """{ node(id: "thg_4") { id ... on Thing { label(prefix: "n") } }
        nodes(ids: ["thg_3", "thg_9", "thg_1"]) { ... on Thing { label(prefix: "m") } } }"""
    found = await data(book, query)
    assert found == {"node": {"id": "thg_4", "label": "n4"}, "nodes": [{"label": "m3"}, None, {"label": "m1"}]}
    assert sorted(CALLS, key=str) == [("label", [1, 3], {"prefix": "m"}), ("label", [4], {"prefix": "n"})]


async def test_payloads(book: Asker) -> None:
    query = """mutation ($numbers: [Int!]!) { a: touch(numbers: $numbers) {
        thing { label(prefix: "p") name } things { children { nodes { label(prefix: "q") } } } errors { message }
    } }"""
    found = await data(book, query, {"numbers": [1, 2, 3, 2]})
    assert found["a"] == {
        "thing": {"label": "p1", "name": "a"},
        "things": [
            {"children": {"nodes": [{"label": "q4"}]}},
            {"children": {"nodes": []}},
            {"children": {"nodes": [{"label": "q4"}]}},
        ],
        "errors": [],
    }
    assert CALLS == [("label", [1], {"prefix": "p"}), ("label", [4], {"prefix": "q"})]


async def test_no_parents_no_call(book: Asker) -> None:
    await data(book, '{ thing(id: "thg_9") { label(prefix: "") } things(first: 0) { nodes { label(prefix: "") } } }')
    assert CALLS == []


async def test_nothing_where_something_is_promised_is_an_error(book: Asker) -> None:
    answer = await book.ask(ALL, '{ a: thing(id: "thg_1") { broken } b: thing(id: "thg_1") { name } }')
    assert answer["data"] == {"a": None, "b": {"name": "a"}}
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [(["a"], "INTERNAL")]


@pytest.mark.parametrize(
    ("user", "role"),
    [(1, Role.OWNER), (2, Role.ADMIN), (3, Role.ANNOTATOR), (4, Role.ANNOTATOR), (5, Role.ADMIN)],
)
async def test_what_is_said_of_answers_is_about_those_that_the_viewer_sees(
    small_book: Asker, user: int, role: Role
) -> None:
    query = """{ datasets { nodes { annotators { user { id } submitted draft discarded }
        records { nodes { myResponse { id status user { id } record { myResponse { id } } } } } } } }"""
    who = viewer(user, role)
    found = await agree(small_book, await oracle_of(small_book, who), query)
    mine = [row["myResponse"] for one in found["datasets"]["nodes"] for row in one["records"]["nodes"]]
    assert any(mine) == (user != 1)
    assert {row["user"]["id"] for row in mine if row} <= {f"usr_{user}"}
