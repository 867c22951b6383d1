"""Registering and removing operations: what is stored, and what the audit log says of it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from app.accounts import registered
from app.accounts.access import OPERATOR
from app.accounts.audit import list_events
from app.accounts.registered import (
    Document,
    Registration,
    list_operations,
    read_operations,
    register_operations,
    remove_operations,
)
from app.db import Database, UnitOfWork
from app.errors import GradbookError
from tests.support.traced import Count

FIRST = [Document("a", "A", "{ a }"), Document("b", None, "{ b }")]


async def register(database: Database, *documents: Document, replace: bool = False) -> Registration:
    def work(uow: UnitOfWork) -> Registration:
        return register_operations(uow, documents, replace=replace)

    return await database.transact(work, viewer=OPERATOR)


async def stored(database: Database) -> dict[str, str]:
    return {row.id: row.document for row in await database.transact(list_operations)}


async def told(database: Database) -> list[tuple[str, Any, Any]]:
    return [(row.action.name, row.subject, row.subject_name) for row in await database.transact(list_events, 100)]


async def test_registering_again_changes_nothing(database: Database) -> None:
    assert await register(database, *FIRST) == Registration(2, 0, 0, 0)
    before = await database.transact(list_operations)
    events = await told(database)
    assert await register(database, *FIRST) == Registration(0, 0, 2, 0)
    assert await database.transact(list_operations) == before
    assert await told(database) == events
    assert {row.sha256 for row in before} == {hashlib.sha256(one.text.encode()).hexdigest() for one in FIRST}


async def test_a_text_is_replaced_others_stay_and_the_log_tells(database: Database) -> None:
    await register(database, *FIRST)
    changed = await register(database, Document("b", "B", "{ b more }"), Document("c", "C", "{ c }"))
    assert changed == Registration(1, 1, 0, 0)
    assert await stored(database) == {"a": "{ a }", "b": "{ b more }", "c": "{ c }"}
    assert await register(database, *FIRST, replace=True) == Registration(0, 1, 1, 1)
    assert await stored(database) == {"a": "{ a }", "b": "{ b }"}
    made, gone = "OPERATION_REGISTERED", "OPERATION_REMOVED"
    assert await told(database) == [
        *[(made, "a", "A"), (made, "b", None), (made, "c", "C"), (made, "b", "B"), (made, "b", None)],
        (gone, "c", "C"),
    ]


async def test_removing_by_id_and_by_name(database: Database) -> None:
    await register(database, *FIRST, Document("other b", "A", "{ b }"), Document("c", "C", "{ c }"))
    for names, code, words in (
        (["c", "nothing"], "NOT_FOUND", "gradbook operations list"),
        (["A"], "CONFLICT", "name one by its id: a, other b"),
    ):
        with pytest.raises(GradbookError, match=words) as error:
            await database.transact(remove_operations, names, viewer=OPERATOR)
        assert error.value.code == code
    assert len(await stored(database)) == 4
    removed = await database.transact(remove_operations, ["C", "c", "a"], viewer=OPERATOR)
    assert [row.id for row in removed] == ["c", "a"]
    assert (await stored(database)).keys() == {"b", "other b"}


async def test_there_is_an_end_to_it(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registered, "MAX_OPERATIONS", 3)
    await register(database, *FIRST)
    with pytest.raises(GradbookError, match="at most 3 can be") as error:
        await register(database, Document("c", "C", "{ c }"), Document("d", "D", "{ d }"))
    assert error.value.code == "LIMIT_EXCEEDED"
    assert len(await stored(database)) == 2
    await register(database, *(Document(name, None, "{ x }") for name in "cde"), replace=True)
    assert (await stored(database)).keys() == {"c", "d", "e"}


async def test_as_many_as_there_may_be_are_registered_by_the_same_statements(
    database: Database, statements: Count
) -> None:
    def documents(count: int) -> list[Document]:
        return [Document(f"{count}-{n}", "N", f"{{ n{n} }}") for n in range(count)]

    one = await statements(register(database, *documents(1)))
    many = await statements(register(database, *documents(100)))
    assert len(many) == len(one)
    all_there_may_be = documents(registered.MAX_OPERATIONS)  # as many parameters as databases take
    assert await register(database, *all_there_may_be, replace=True) == Registration(5_000, 0, 0, 101)


async def test_readers_hear_of_changes_alone(database: Database, statements: Count) -> None:
    before = await read_operations(database, -1)
    assert before is not None
    assert (before.version, list(before.operations)) == (0, [])
    await register(database, *FIRST)
    found = await read_operations(database, before.version)
    assert found is not None
    assert sorted(found.operations) == sorted(
        (one.id, hashlib.sha256(one.text.encode()).hexdigest(), one.text) for one in FIRST
    )
    assert await read_operations(database, found.version) is None
    await database.transact(remove_operations, ["a"], viewer=OPERATOR)
    later = await read_operations(database, found.version)
    assert later is not None
    assert [name for name, *_ in later.operations] == ["b"]
