"""Who sees what and who may do what: every entity, every field and every mutation, asked by everybody.

The tables are what DESIGN promises; a type or a mutation that they do not name fails the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
)

from app.accounts.workspaces import remove_member
from app.schema import build_schema
from tests.api.conftest import Book, operation

SCHEMA = build_schema("").graphql
EVERYBODY = ["ann", "ben", "admin", "other_ann", "other_admin", "owner"]
HERE, THERE = {"ann", "ben", "admin", "owner"}, {"other_ann", "other_admin", "owner"}

SEEN_BY: dict[str, set[str]] = {
    "here": HERE, "there": THERE,
    "dataset_here": HERE, "dataset_there": THERE, "dataset_frozen_here": HERE, "dataset_frozen_there": THERE,
    "field_here": HERE, "field_there": THERE,
    "question_here": HERE, "question_there": THERE,
    "suggestion_here": HERE, "suggestion_there": THERE,
    **{f"record_here_{n}": HERE for n in range(3)},
    **{f"record_there_{n}": THERE for n in range(3)},
    # Others' responses do not exist for an annotator.
    "response_of_ann": {"ann", "admin", "owner"},
    "response_of_ben": {"ben", "admin", "owner"},
    "response_of_admin": {"admin", "owner"},
    "response_of_other_ann": {"other_ann", "other_admin", "owner"},
    "ann": {"ann", "admin", "owner"}, "ben": {"ben", "admin", "owner"}, "admin": {"admin", "owner"},
    "other_ann": {"other_ann", "other_admin", "owner"}, "other_admin": {"other_admin", "owner"}, "owner": {"owner"},
    "snapshot_here": HERE, "snapshot_there": THERE,
    # So are others' tasks, and what they report.
    **{
        f"{what}_of_{who}": seen_by
        for what in ("task", "metric")
        for who, seen_by in {
            "ann": {"ann", "admin", "owner"}, "ben": {"ben", "admin", "owner"}, "admin": {"admin", "owner"},
            "other_ann": {"other_ann", "other_admin", "owner"},
        }.items()
    },
    "key_of_ann": {"ann", "admin", "owner"}, "key_of_ben": {"ben", "admin", "owner"},
    "key_of_admin": {"admin", "owner"}, "key_of_owner": {"owner"},
    "key_of_other_ann": {"other_ann", "other_admin", "owner"}, "key_of_other_admin": {"other_admin", "owner"},
    "event": {"owner"},
}  # fmt: skip


PLUMBING = ("nodes", "edges", "node", "pageInfo")
WITH_ARGUMENTS = {"curves": 'curves(metrics: ["loss"], maxPoints: 2)'}


def _everything(type_: GraphQLObjectType, depth: int) -> str:
    """A selection of every field of a type: values, and of everything else what it holds, `depth` levels down."""
    parts: list[str] = ["__typename"]
    for name, field in type_.fields.items():
        below = get_named_type(field.type)
        if is_leaf_type(below):
            parts.append(name)
        elif isinstance(below, GraphQLObjectType) and (depth or name in PLUMBING):
            parts.append(
                f"{WITH_ARGUMENTS.get(name, name)} {_everything(below, depth if name in PLUMBING else depth - 1)}"
            )
    return "{ " + " ".join(parts) + " }"


def _entities() -> Iterator[GraphQLObjectType]:
    node = SCHEMA.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    yield from SCHEMA.get_possible_types(node)


def _ids(answer: Any) -> Iterator[str]:
    """Every id that an answer holds, however deep."""
    if isinstance(answer, dict):
        if isinstance(answer.get("id"), str):
            yield answer["id"]
        for value in answer.values():
            yield from _ids(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from _ids(value)


def _counts(answer: Any) -> Iterator[tuple[int, int]]:
    if isinstance(answer, dict):
        if "totalCount" in answer:
            yield answer["totalCount"], len(answer["nodes"])
        for value in answer.values():
            yield from _counts(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from _counts(value)


def _visible(book: Book, who: str) -> set[str]:
    return {book.ids[name] for name, seen_by in SEEN_BY.items() if who in seen_by}


def _is_known(book: Book, number: str) -> bool:
    return number in {book.ids[name] for name in SEEN_BY}


KIND = "query ($id: ID!) { node(id: $id) { __typename } }"


async def test_everything_is_seen_by_whom_it_should_be_and_by_nobody_else(book: Book) -> None:
    queries = {
        entity.name: f"query ($id: ID!) {{ node(id: $id) {{ ... on {entity.name} {_everything(entity, 2)} }} }}"
        for entity in _entities()
    }
    kinds = {name: (await book.data("owner", KIND, {"id": book.ids[name]}))["node"]["__typename"] for name in SEEN_BY}
    assert set(kinds.values()) == set(queries)
    for who in EVERYBODY:
        visible = _visible(book, who)
        for name, seen_by in SEEN_BY.items():
            node = (await book.data(who, queries[kinds[name]], {"id": book.ids[name]}))["node"]
            assert (node is not None) == (who in seen_by), (who, name)
            leaked = {number for number in _ids(node) if _is_known(book, number)} - visible
            assert leaked == set(), (who, name)
            assert [pair for pair in _counts(node) if pair[0] != pair[1]] == [], (who, name)


LISTS = {"datasets": "dst_", "users": "usr_", "workspaces": "wsp_", "trainTasks": "tsk_"}


async def test_lists_hold_exactly_what_is_seen(book: Book) -> None:
    query = "{ " + " ".join(f"{name} {{ totalCount nodes {{ id }} }}" for name in LISTS) + " }"
    for who in EVERYBODY:
        lists = await book.data(who, query)
        for name, prefix in LISTS.items():
            expected = {number for number in _visible(book, who) if number.startswith(prefix)}
            assert set(_ids(lists[name])) == expected, (who, name)
            assert lists[name]["totalCount"] == len(expected)


assert SCHEMA.query_type is not None
ROOT_FIELDS = SCHEMA.query_type.fields
OF_STRANGERS = {"viewer"}
ARGUMENTS = {"node": '(id: "wsp_1")', "nodes": '(ids: ["wsp_1"])', "dataset": '(id: "dst_1")', "user": '(id: "usr_1")'}
ARGUMENTS |= {"curves": '(tasks: ["tsk_1"], metrics: ["loss"], maxPoints: 2)'}
ARGUMENTS |= {"compareTrainTasks": '(ids: [], metric: "loss")', "trainStatistics": "(by: STATUS)"}
ARGUMENTS |= {"recommendParameters": '(input: {modelName: "m", metric: "loss"})'}
ARGUMENTS |= {"workspace": '(id: "wsp_1")', "record": '(id: "rec_1")', "trainTask": '(id: "tsk_1")'}


@pytest.mark.parametrize("name", sorted(ROOT_FIELDS.keys() - OF_STRANGERS))
async def test_a_stranger_reads_nothing(book: Book, name: str) -> None:
    result = await book.run(None, f"{{ {name}{ARGUMENTS.get(name, '')} {{ __typename }} }}")
    assert [error["extensions"]["code"] for error in result["errors"]] == ["UNAUTHENTICATED"]
    assert not result["data"] or result["data"][name] is None


async def test_what_a_stranger_may_ask(book: Book) -> None:
    assert await book.run(None, "{ __typename viewer { id } }") == {"data": {"__typename": "Query", "viewer": None}}


async def test_where_finds_nothing_hidden(book: Book) -> None:
    query = (
        "query ($dataset: ID!, $where: RecordWhere) { dataset(id: $dataset) { records(where: $where) { totalCount nodes"
        " { id } } } }"
    )
    answered: dict[str, Any] = {"responses": {"some": {"user": {"eq": book.ids["ben"]}}}}
    wheres: list[dict[str, Any]] = [answered, {"not": {"not": answered}}, {"and": [{"or": [answered]}]}]
    wheres.append(
        {"responses": {"some": {"answers": {"question": "quality", "int": {"eq": 4}}, "user": {"ne": book.ids["ann"]}}}}
    )
    for where in wheres:
        for who, expected in (("ann", 0), ("admin", 1), ("owner", 1)):
            found = await book.data(who, query, {"dataset": book.ids["dataset_here"], "where": where})
            assert found["dataset"]["records"]["totalCount"] == expected, (who, where)
            assert len(found["dataset"]["records"]["nodes"]) == expected


async def test_a_removed_member_loses_access_at_once(book: Book) -> None:
    query = "query ($id: ID!) { node(id: $id) { id } }"
    here, ann = int(book.ids["here"][4:]), book.people["ann"]
    assert (await book.data("ann", query, {"id": book.ids["record_here_0"]}))["node"] is not None
    await book.services.database.transact(remove_member, here, ann.id, viewer=book.people["owner"])
    for name in ("here", "dataset_here", "record_here_0", "response_of_ann", "suggestion_here"):
        assert (await book.data("ann", query, {"id": book.ids[name]}))["node"] is None, name
    answer = await book.run(
        "ann", operation("SubmitResponse"), {"input": {"recordId": book.ids["record_here_1"], "values": {"quality": 1}}}
    )
    assert [error["code"] for error in answer["data"]["submitResponse"]["errors"]] == ["NOT_FOUND"]


Inputs = Callable[[Book, str], dict[str, Any]]
OK, FORBIDDEN, NOT_FOUND = "ok", "FORBIDDEN", "NOT_FOUND"
PENDING = "INVALID_TRANSITION"  # whoever may, finds the task in a state from which it does not go
ASKING = ["ann", "other_admin", "admin", "owner"]


def _answer(book: Book, _who: str) -> dict[str, Any]:
    return {"recordId": book.ids["record_here_2"], "values": {"quality": 1}}


def _bens_task(book: Book, _who: str) -> dict[str, Any]:
    return {"id": book.ids["task_of_ben"]}


MUTATIONS: dict[str, tuple[Inputs, list[str]]] = {
    "CreateDataset": (
        lambda book, who: {
            "name": f"by {who}", "workspaceId": book.ids["here"], "fields": [{"name": "text"}],
            "questions": [{"name": "q", "settings": {"text": {}}}],
        },
        [FORBIDDEN, NOT_FOUND, OK, OK],
    ),
    "UpdateDataset": (
        lambda book, who: {"id": book.ids["dataset_here"], "guidelines": who}, [FORBIDDEN, NOT_FOUND, OK, OK]
    ),
    "DeleteDataset": (
        lambda book, who: {"id": book.ids["dataset_there" if who == "owner" else "dataset_here"]},
        [FORBIDDEN, NOT_FOUND, OK, OK],
    ),
    "AddRecords": (
        lambda book, who: {"datasetId": book.ids["dataset_here"], "onConflict": "SKIP", "records": []},
        [FORBIDDEN, NOT_FOUND, OK, OK],
    ),
    "NextRecords": (lambda book, who: {"datasetId": book.ids["dataset_here"]}, [OK, NOT_FOUND, OK, OK]),
    "SubmitResponse": (_answer, [OK, NOT_FOUND, OK, OK]),
    "SaveDraft": (_answer, [OK, NOT_FOUND, OK, OK]),
    "DiscardResponse": (_answer, [OK, NOT_FOUND, OK, OK]),
    "SubmitResponses": (lambda book, who: {"responses": [_answer(book, who)]}, [OK, NOT_FOUND, OK, OK]),
    "DeleteResponse": (
        lambda book, who: {"id": book.ids["response_of_ann" if who == "owner" else "response_of_ben"]},
        [NOT_FOUND, NOT_FOUND, OK, OK],
    ),
    "CreateUser": (
        lambda book, who: {"username": f"by.{who}", "role": "ANNOTATOR", "workspaceIds": [book.ids["here"]]},
        [FORBIDDEN, NOT_FOUND, OK, OK],
    ),
    "UpdateUser": (
        lambda book, who: {"id": book.ids["ben"], "username": f"ben.{who}"}, [NOT_FOUND, NOT_FOUND, OK, OK]
    ),
    "DeleteUser": (
        lambda book, who: {"id": book.ids["other_ann" if who == "owner" else "ben"], "responses": "KEEP"},
        [NOT_FOUND, NOT_FOUND, OK, OK],
    ),
    "CreateApiKey": (
        lambda book, who: {"name": f"by {who}", "userId": book.ids["ben"]}, [NOT_FOUND, NOT_FOUND, OK, OK]
    ),
    "RevokeApiKey": (lambda book, who: {"id": book.ids["key_of_ben"]}, [NOT_FOUND, NOT_FOUND, OK, OK]),
    "CreateWorkspace": (lambda book, who: {"name": f"by {who}"}, [FORBIDDEN, FORBIDDEN, FORBIDDEN, OK]),
    "AddMember": (
        lambda book, who: {"workspaceId": book.ids["here"], "userId": book.ids["other_ann"]},
        [NOT_FOUND, NOT_FOUND, NOT_FOUND, OK],
    ),
    "RemoveMember": (
        lambda book, who: {"workspaceId": book.ids["here"], "userId": book.ids["ben"]},
        [NOT_FOUND, NOT_FOUND, OK, OK],
    ),
    "CreateTrainTask": (
        lambda book, who: {"modelName": who, "workspaceId": book.ids["here"]}, [OK, NOT_FOUND, OK, OK]
    ),
    "ImportTrainConfig": (
        lambda book, who: {"format": "YAML", "text": "output_name: m", "overrides": {"workspaceId": book.ids["here"]}},
        [OK, NOT_FOUND, OK, OK],
    ),
    "StartTrainTask": (_bens_task, [NOT_FOUND, NOT_FOUND, OK, OK]),
    "FinishTrainTask": (_bens_task, [NOT_FOUND, NOT_FOUND, PENDING, PENDING]),
    "FailTrainTask": (
        lambda book, who: {**_bens_task(book, who), "error": "e"}, [NOT_FOUND, NOT_FOUND, PENDING, PENDING]
    ),
    "UpdateTrainTask": (
        lambda book, who: {**_bens_task(book, who), "set": {"notes": who}}, [NOT_FOUND, NOT_FOUND, OK, OK]
    ),
    "CancelTrainTask": (_bens_task, [NOT_FOUND, NOT_FOUND, OK, OK]),
    "RetryTrainTask": (_bens_task, [NOT_FOUND, NOT_FOUND, PENDING, PENDING]),
    "CloneTrainTask": (_bens_task, [NOT_FOUND, NOT_FOUND, OK, OK]),
    "DeleteTrainTask": (_bens_task, [NOT_FOUND, NOT_FOUND, OK, OK]),
    "RestoreTrainTask": (_bens_task, [NOT_FOUND, NOT_FOUND, OK, OK]),
    "ReportProgress": (
        lambda book, who: {
            **_bens_task(book, who), "sequence": 0, "series": [{"metric": "loss", "steps": [1], "values": [0.5]}]
        },
        [NOT_FOUND, NOT_FOUND, OK, OK],
    ),
    "PurgeTrainTask": (
        lambda book, who: {"id": book.ids[{"ann": "task_of_ann", "owner": "task_of_admin"}.get(who, "task_of_ben")]},
        [FORBIDDEN, NOT_FOUND, OK, OK],
    ),
}  # fmt: skip


def test_the_table_names_every_mutation() -> None:
    assert SCHEMA.mutation_type is not None
    assert {name[0].lower() + name[1:] for name in MUTATIONS} == set(SCHEMA.mutation_type.fields)


@pytest.mark.parametrize("name", MUTATIONS)
async def test_who_may(book: Book, name: str) -> None:
    make, expected = MUTATIONS[name]
    stranger = await book.run(None, operation(name), {"input": make(book, "nobody")})
    assert [error["extensions"]["code"] for error in stranger["errors"]] == ["UNAUTHENTICATED"]
    for who, outcome in zip(ASKING, expected, strict=True):
        result = await book.run(who, operation(name), {"input": make(book, who)})
        assert "errors" not in result, (who, result)
        payload = next(iter(result["data"].values()))
        errors = payload["errors"] + [error for item in payload.get("results", []) for error in item["errors"]]
        assert ([error["code"] for error in errors] or [OK]) == [outcome], (who, payload)


async def test_an_admin_gives_nobody_more_than_they_have(book: Book) -> None:
    for role in ("ADMIN", "OWNER"):
        made = await book.run("admin", operation("CreateUser"), {"input": {"username": f"new.{role}", "role": role}})
        assert [error["code"] for error in made["data"]["createUser"]["errors"]] == [FORBIDDEN]
        raised = await book.run("admin", operation("UpdateUser"), {"input": {"id": book.ids["ann"], "role": role}})
        assert [error["code"] for error in raised["data"]["updateUser"]["errors"]] == [FORBIDDEN]
    key = await book.run("admin", operation("CreateApiKey"), {"input": {"name": "x", "userId": book.ids["owner"]}})
    assert [error["code"] for error in key["data"]["createApiKey"]["errors"]] == [NOT_FOUND]
