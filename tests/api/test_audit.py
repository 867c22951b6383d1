"""Every mutation that grants, takes or deletes leaves its mark in the audit log; owners alone read it."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from app.accounts.tables import AuditEvent
from app.db import UnitOfWork
from app.origin import ORIGIN, Origin
from app.schema import build_schema
from tests.api.conftest import Book, operation

_ANSWERS = "answers are the work itself, at its full pace; the responses and their history of statuses are stored"
_TASK = "a task says itself who made it and how it went"

# Who, the input with names of `book.ids` behind `=`, and the events: the action and the name of what it was done to.
AUDITED: dict[str, tuple[str, dict[str, Any], list[tuple[str, str | None]]]] = {
    "createWorkspace": ("owner", {"name": "new"}, [("WORKSPACE_CREATED", "new")]),
    "createUser": ("owner", {"username": "eve", "role": "ADMIN", "workspaceIds": ["=here"]}, [("USER_CREATED", "eve")]),
    "updateUser": (
        "owner",
        {"id": "=ben", "username": "Ben", "role": "ADMIN", "password": "correct horse"},
        [("USER_RENAMED", "ben"), ("ROLE_CHANGED", "ben"), ("PASSWORD_CHANGED", "ben")],
    ),
    "deleteUser": ("owner", {"id": "=ben", "responses": "DELETE"}, [("USER_DELETED", "ben")]),
    "createApiKey": ("ann", {"name": "laptop"}, [("KEY_CREATED", "laptop")]),
    "revokeApiKey": ("owner", {"id": "=key_of_ann"}, [("KEY_REVOKED", "ann")]),
    "addMember": ("owner", {"workspaceId": "=there", "userId": "=ann"}, [("MEMBER_ADDED", "ann")]),
    "removeMember": ("owner", {"workspaceId": "=here", "userId": "=ann"}, [("MEMBER_REMOVED", "ann")]),
    "updateDataset": ("admin", {"id": "=dataset_here", "minSubmitted": 5}, [("THRESHOLD_CHANGED", "here")]),
    "deleteDataset": ("admin", {"id": "=dataset_here"}, [("DATASET_DELETED", "here")]),
    "deleteResponse": ("admin", {"id": "=response_of_ann"}, [("RESPONSE_DELETED", None)]),
    "deleteTrainTask": ("ann", {"id": "=task_of_ann"}, [("TASK_DELETED", "ann")]),
    "restoreTrainTask": ("ann", {"id": "=task_of_ann"}, [("TASK_RESTORED", "ann")]),
    "purgeTrainTask": ("admin", {"id": "=task_of_ann"}, [("TASK_PURGED", "ann")]),
}
EXEMPT: dict[str, str] = {
    "createDataset": "it gives nobody access, and takes nothing",
    "addRecords": "it gives nobody access; what replaces a record says so in its answer",
    "nextRecords": "it reserves for some minutes",
    **dict.fromkeys(("submitResponse", "submitResponses", "saveDraft", "discardResponse"), _ANSWERS),
    **dict.fromkeys(("createTrainTask", "importTrainConfig", "cloneTrainTask", "updateTrainTask"), _TASK),
    **dict.fromkeys(("startTrainTask", "finishTrainTask", "failTrainTask", "cancelTrainTask", "retryTrainTask"), _TASK),
    "reportProgress": "a training reports many times a second",
}

EVENTS = """query ($after: String, $where: AuditEventWhere) {
    auditEvents(first: 500, after: $after, where: $where) { totalCount pageInfo { endCursor } nodes {
        id action actor { username } actorName apiKey { name } door address requestId subject subjectName details
    } } }"""


def test_every_mutation_is_audited_or_says_why_not() -> None:
    mutations = build_schema("").graphql.mutation_type
    assert mutations is not None
    assert AUDITED.keys() | EXEMPT.keys() == mutations.fields.keys()
    assert not AUDITED.keys() & EXEMPT.keys()


def filled(book: Book, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: filled(book, item) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(book, item) for item in value]
    return book.ids[value[1:]] if isinstance(value, str) and value.startswith("=") else value


async def events(book: Book, who: str = "owner", **variables: Any) -> Any:
    return (await book.data(who, EVENTS, variables))["auditEvents"]


async def do(book: Book, mutation: str) -> list[Any]:
    """The events of one mutation."""
    who, given, _ = AUDITED[mutation]
    if mutation == "restoreTrainTask":
        await do(book, "deleteTrainTask")
    end = (await events(book))["pageInfo"]["endCursor"]
    await book.mutate(who, mutation[0].upper() + mutation[1:], filled(book, given))
    found: list[Any] = (await events(book, after=end))["nodes"]
    return found


@pytest.mark.parametrize("mutation", AUDITED)
async def test_a_mutation_leaves_its_mark(book: Book, mutation: str) -> None:
    who, given, expected = AUDITED[mutation]
    found = await do(book, mutation)
    assert [(event["action"], event["subjectName"]) for event in found] == expected
    assert {event["actorName"] for event in found} == {who}
    if not mutation.startswith("create"):
        subject = given.get("userId") or given["id"]
        assert {event["subject"] for event in found} == {book.ids[subject[1:]]}
    # What is so already is no change.
    if mutation in {"revokeApiKey", "addMember", "removeMember", "updateDataset", "deleteTrainTask"}:
        assert await do(book, mutation) == []


async def test_details_say_what_was_before_and_after(book: Book) -> None:
    here = book.ids["here"]
    renamed, promoted, password = await do(book, "updateUser")
    assert renamed["details"] == {"name": {"before": "ben", "after": "Ben"}}
    assert promoted["details"] == {"role": {"before": "ANNOTATOR", "after": "ADMIN"}}
    assert password["details"] is None
    [threshold] = await do(book, "updateDataset")
    assert threshold["details"] == {"minSubmitted": {"before": 2, "after": 5}}
    [removed] = await do(book, "removeMember")
    assert removed["details"] == {"workspace": here, "workspaceName": "here"}
    [key] = await do(book, "revokeApiKey")
    assert key["details"] == {"user": book.ids["ann"]}
    [response] = await do(book, "deleteResponse")
    assert response["details"] == {"user": book.ids["ann"], "record": book.ids["record_here_0"]}
    [user] = await do(book, "deleteUser")
    assert user["details"] == {"role": "ADMIN", "workspaces": [here], "responsesDeleted": 1}
    [dataset] = await do(book, "deleteDataset")
    assert dataset["details"] == {"workspace": here, "records": 3}


async def test_what_is_refused_leaves_no_mark(book: Book) -> None:
    before = (await events(book))["totalCount"]
    for name, given in (
        ("CreateUser", {"username": "eve", "role": "OWNER", "workspaceIds": [book.ids["here"]]}),
        ("UpdateUser", {"id": book.ids["ann"], "role": "OWNER", "username": "Ann"}),
        ("DeleteDataset", {"id": book.ids["dataset_frozen_here"]}),
    ):
        [payload] = (await book.data("admin", operation(name), {"input": given})).values()
        assert payload["errors"], name
    own = await book.mutate("ann", "DeleteResponse", {"id": book.ids["response_of_ann"]})
    assert own["errors"] == [], "one's own answer is one's own"
    assert (await events(book))["totalCount"] == before


async def test_owners_alone_read_it(book: Book) -> None:
    everything = await events(book)
    assert everything["totalCount"] == len(everything["nodes"]) > 10
    one = {"id": everything["nodes"][0]["id"]}
    node = "query ($id: ID!) { node(id: $id) { id } }"
    assert await book.data("owner", node, one) == {"node": one}
    for who in ("admin", "ann", "other_admin"):
        found = await events(book, who)
        assert (found["totalCount"], found["nodes"]) == (0, [])
        assert await book.data(who, node, one) == {"node": None}
    refused = await book.run(None, EVENTS)
    assert refused["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_it_is_filtered_ordered_and_paged_as_any_list(book: Book) -> None:
    await do(book, "updateUser")
    where = {"subject": {"eq": book.ids["ben"]}, "action": {"in": ["USER_CREATED", "ROLE_CHANGED"]}}
    assert [event["action"] for event in (await events(book, where=where))["nodes"]] == ["USER_CREATED", "ROLE_CHANGED"]
    where = {"details": {"path": "user", "text": {"eq": book.ids["ben"]}}}
    assert [event["subjectName"] for event in (await events(book, where=where))["nodes"]] == ["ben"]
    newest = '{ auditEvents(last: 2, where: {actor: {eq: "owner"}}) { nodes { action } pageInfo { hasPreviousPage } } }'
    found = (await book.data("owner", newest))["auditEvents"]
    assert [event["action"] for event in found["nodes"]] == ["ROLE_CHANGED", "PASSWORD_CHANGED"]
    assert found["pageInfo"]["hasPreviousPage"]


async def test_it_says_which_request_it_was(book: Book) -> None:
    token = ORIGIN.set(Origin("websocket", "request-7", "192.0.2.7"))
    try:
        [event] = await do(book, "createWorkspace")
    finally:
        ORIGIN.reset(token)
    assert (event["door"], event["requestId"], event["address"]) == ("WEBSOCKET", "request-7", "192.0.2.7")
    [event] = await do(book, "addMember")
    assert (event["door"], event["requestId"], event["address"]) == ("COMMAND", None, None)


async def test_it_holds_no_secrets(book: Book) -> None:
    key = await book.mutate("ann", "CreateApiKey", {"name": "laptop"})
    await do(book, "updateUser")

    def everything(uow: UnitOfWork) -> str:
        rows = uow.connection.execute(select(*AuditEvent.__table__.c)).mappings()
        return orjson.dumps([{name: str(value) for name, value in row.items()} for row in rows]).decode()

    stored = await book.services.database.transact(everything)
    assert "laptop" in stored
    assert key["secret"][:10] not in stored
    assert not re.search(r"correct horse|argon2|gb[sl]?_|[0-9a-f]{64}", stored)
