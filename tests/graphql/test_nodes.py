"""Rows by id: `node`, `nodes` and the roots of one kind; and rows in payloads."""

from __future__ import annotations

from typing import Any

import pytest
import strawberry

from app.accounts.tables import Role
from app.db import UnitOfWork
from app.graphql.engine import ref
from app.graphql.paging import MAX_PAGE
from app.graphql.payloads import mutate
from tests.graphql.asking import OWNER, Asker, viewer
from tests.graphql.things import ALL, Changed, Row, Someone, things

NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on User { username } ... on Record { status } } }"


async def test_nodes_come_in_their_order_and_the_hidden_are_null(small_book: Asker) -> None:
    ids = ["usr_4", "rec_101", "usr_3", "rec_101", "rsp_1004", "rsp_1003", "rec_200", "dst_20", "sug_2000", "rec_9999"]
    annotator = await small_book.data(viewer(3, Role.ANNOTATOR), NODES, {"ids": ids})
    record = {"__typename": "Record", "id": "rec_101", "status": "PENDING"}
    assert annotator["nodes"] == [
        None,
        record,
        {"__typename": "User", "id": "usr_3", "username": "user 3"},
        record,
        None,
        {"__typename": "Response", "id": "rsp_1003"},
        None,
        {"__typename": "Dataset", "id": "dst_20"},
        {"__typename": "Suggestion", "id": "sug_2000"},
        None,
    ]
    for text in ids:
        one = await small_book.data(
            viewer(3, Role.ANNOTATOR), "query ($id: ID!) { node(id: $id) { id } }", {"id": text}
        )
        assert (one["node"] is None) == (annotator["nodes"][ids.index(text)] is None)


async def test_what_is_no_id_is_refused(small_book: Asker) -> None:
    for text in (
        "",
        "1",
        "rec",
        "rec_",
        "rec_x",
        "xyz_1",
        "rec_-1",
        "rec_1.0",
        "REC_1",
        "rec_1 ",
        "rec_99999999999999999999",
    ):
        for query, variables, place, argument in (
            ("query ($id: ID!) { a: node(id: $id) { id } }", {"id": text}, "a", ["id"]),
            (NODES, {"ids": ["rec_100", text]}, "nodes", ["ids", 1]),
            ("query ($id: ID!) { record(id: $id) { id } }", {"id": text}, "record", ["id"]),
        ):
            error = await small_book.error(OWNER, query, variables)
            assert error["extensions"] == {"code": "INVALID_ID", "argument": argument}, text
            assert error["path"] == [place]
    error = await small_book.error(OWNER, '{ dataset(id: "rec_100") { id } }')
    assert "'rec_100' is not the id of a dataset: such an id looks like 'dst_123'" in error["message"]
    error = await small_book.error(OWNER, NODES, {"ids": ["rec_1"] * (MAX_PAGE + 1)})
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "argument": ["ids"]}
    assert small_book.statements == []


async def test_strangers_are_told_to_sign_in_before_anything_else(small_book: Asker) -> None:
    assert await small_book.data(None, "{ viewer { id } __typename }") == {"viewer": None, "__typename": "Query"}
    fields = [
        'node(id: "x") { id }',
        'nodes(ids: ["x"]) { id }',
        'record(id: "x") { id }',
        "users(first: -1) { totalCount }",
    ]
    for field in fields:
        error = (await small_book.ask(None, f"{{ {field} }}"))["errors"][0]
        assert error["extensions"] == {"code": "UNAUTHENTICATED"}


@strawberry.type
class Mutation:
    """Deletes things."""

    @strawberry.mutation(description="Reads a thing, deletes it, and answers with it and with its children.")
    async def remove(self, info: strawberry.Info[Any, Any], number: int) -> Changed:
        """What is deleted is read before."""

        def work(uow: UnitOfWork) -> Changed:
            gone = ref("Thing", number)
            first = Changed(thing=gone)
            info.context.engine.load(info._raw_info, uow, first)
            uow.session.delete(uow.session.get(Row, number))
            return Changed(thing=gone, things=[ref("Thing", number), ref("Thing", number + 1)])

        return await mutate(info, Changed, work)


REMOVE = """mutation ($number: Int!, $first: Int) { a: remove(number: $number) {
    thing { id name children(first: $first) { nodes { name } } }
    again: thing { name }
    things { name }
    errors { message }
} }"""


@pytest.fixture
async def book(asker: Asker) -> Asker:
    rows: list[dict[str, Any]] = [{"name": "a"}, {"name": "b", "parent_id": 1, "owner_id": 2}]
    return await things(asker, *rows, mutation=Mutation)


async def test_what_a_mutation_deletes_is_answered_as_it_was(book: Asker) -> None:
    answer = await book.ask(ALL, REMOVE, {"number": 1})
    assert answer["data"] is None
    assert [error["path"] for error in answer["errors"]] == [
        ["a", "things", 0]
    ]  # what is gone, in a list without nulls
    assert await book.data(ALL, '{ thing(id: "thg_1") { id } }') == {"thing": None}
    query = REMOVE.replace("    things { name }\n", "")
    found = (await book.data(ALL, query, {"number": 2}))["a"]
    assert found["thing"] == {"id": "thg_2", "name": "b", "children": {"nodes": []}}
    assert found["again"] == {"name": "b"}
    assert await book.data(ALL, '{ thing(id: "thg_2") { id } }') == {"thing": None}


async def test_a_payload_shows_what_its_viewer_sees(book: Asker) -> None:
    query = REMOVE.replace("things { name }", "")
    found = (await book.data(Someone(1, "OWN"), query, {"number": 1}))["a"]
    assert found["thing"] == {"id": "thg_1", "name": "a", "children": {"nodes": []}}


async def test_nothing_is_written_when_the_payload_cannot_be_read(book: Asker) -> None:
    query = REMOVE.replace("things { name }", "")
    error = await book.error(ALL, query, {"number": 1, "first": -1})
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "argument": ["first"]}
    assert error["path"] == ["a", "thing", "children"]
    assert await book.data(ALL, '{ thing(id: "thg_1") { id } }') == {"thing": {"id": "thg_1"}}
