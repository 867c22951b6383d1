"""Registered operations: what names them, what a locked server takes, and how often it looks for more."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.accounts.registered import Document, read_operations, register_operations, remove_operations
from app.db import Database
from app.graphql import registered as module
from app.graphql.operations import Operations, Request, RequestError
from app.graphql.registered import Registered, Stored
from app.schema import build_schema

TEXT = "query Me { viewer { username } }"
OTHER = "query Other { __typename }"
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()
BUILT = build_schema("")


def apollo(digest: str, text: str = "") -> Request:
    return Request(text, extensions={"persistedQuery": {"version": 1, "sha256Hash": digest}})


def by_id(name: str, text: str = "") -> Request:
    return Request(text, document_id=name)


class Store:
    """What is registered, and how often somebody looked."""

    def __init__(self, *operations: tuple[str, str]) -> None:
        self.operations = list(operations)
        self.looks = 0

    async def read(self, version: int) -> Stored | None:
        self.looks += 1
        await asyncio.sleep(0)
        if version == len(self.operations):
            return None
        hashed = [(name, hashlib.sha256(text.encode()).hexdigest(), text) for name, text in self.operations]
        return Stored(len(hashed), hashed)


async def opened(read: Callable[[int], Awaitable[Stored | None]], *, only: bool = True) -> Operations:
    registered = Registered(read, only=only)
    await registered.load()
    return Operations(BUILT, None, None, registered=registered)  # type: ignore[arg-type]


def refusal(operations: Operations, request: Request) -> Any:
    with pytest.raises(RequestError) as error:
        operations.prepare(request, None)
    [only] = error.value.result["errors"]
    return only["extensions"]["code"]


@pytest.mark.parametrize("only", [True, False])
async def test_an_operation_is_found_by_its_id_its_hash_and_its_text(only: bool) -> None:
    operations = await opened(Store(("md5-of-it", TEXT)).read, only=only)
    for request in (
        by_id("md5-of-it"),
        by_id(DIGEST),
        by_id(f"sha256:{DIGEST}"),
        apollo("md5-of-it"),
        apollo(DIGEST),
        apollo("md5-of-it", TEXT),
        apollo(DIGEST, TEXT),
        by_id("whatever", TEXT),
        Request(TEXT),
    ):
        assert operations.prepare(request, None).operation.name == "Me", request


async def test_a_locked_server_takes_nothing_else_and_does_not_parse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    operations = await opened(Store(("known", TEXT)).read)

    def parse(*_: Any) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr(operations._anonymous, "get", parse)
    digest = hashlib.sha256(OTHER.encode()).hexdigest()
    for request in (
        Request(OTHER),
        Request(f"{TEXT} "),
        Request(""),
        Request("{"),
        by_id("unknown"),
        by_id("known", OTHER),
        apollo(digest),
        apollo(digest, OTHER),
        apollo("no hash at all"),
        Request("{ __schema { types { name } } }"),
    ):
        assert refusal(operations, request) == "OPERATION_NOT_REGISTERED", request


async def test_an_open_server_says_what_a_client_can_do() -> None:
    operations = await opened(Store(("known", TEXT)).read, only=False)
    assert operations.prepare(Request(OTHER), None).is_query
    assert refusal(operations, by_id("unknown")) == "OPERATION_NOT_REGISTERED"
    digest = hashlib.sha256(OTHER.encode()).hexdigest()
    assert refusal(operations, apollo(digest)) == "PERSISTED_QUERY_NOT_FOUND"
    operations.prepare(apollo(digest, OTHER), None)
    assert operations.prepare(apollo(digest), None).operation.name == "Other"
    assert refusal(operations, apollo("known", OTHER)) == "INVALID_INPUT"


async def test_a_registered_id_that_looks_like_a_hash_gives_no_text_another_ones_hash() -> None:
    """An id may be any text, so it may be the SHA-256 of something else; that it must not become when it is removed."""
    store = Store((DIGEST, OTHER))
    registered = Registered(store.read)
    await registered.load()
    operations = Operations(BUILT, None, None, registered=registered)  # type: ignore[arg-type]
    assert operations.prepare(apollo(DIGEST, OTHER), None).operation.name == "Other"
    store.operations.clear()
    await registered.load()
    assert refusal(operations, apollo(DIGEST)) == "PERSISTED_QUERY_NOT_FOUND"


async def test_what_is_not_known_is_looked_for_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GAP_SECONDS", 3600)
    for only, misses in ((True, [Request(OTHER), by_id("new")]), (False, [apollo("0" * 64), by_id("new")])):
        store = Store(("known", TEXT))
        operations = await opened(store.read, only=only)
        store.operations.append(("new", OTHER))
        for request in (Request(TEXT), by_id("known"), apollo(DIGEST)):
            await operations.look_up(request)
        assert store.looks == 1
        await asyncio.gather(*(operations.look_up(misses[n % 2]) for n in range(50)))
        assert store.looks == 2
        assert operations.prepare(by_id("new"), None).operation.name == "Other"
        for _ in range(50):
            await operations.look_up(by_id("never"))
        assert store.looks == 2, "what is not there must not cost a statement each time"


async def test_an_outage_changes_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(("known", TEXT))
    registered = Registered(store.read, only=True)
    await registered.load()

    async def fail(_: int) -> None:
        raise OSError("the database is away")

    async def hang(_: int) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "GAP_SECONDS", 0)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    for read in (fail, hang):
        monkeypatch.setattr(registered, "_read", read)
        async with asyncio.timeout(60):
            await registered.look()
        assert registered.text("known") == TEXT
        assert "could not be read" in caplog.text
        caplog.clear()


async def test_it_follows_the_database(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "GAP_SECONDS", 0)
    registered = Registered(lambda version: read_operations(database, version))
    await database.transact(register_operations, [Document("first", "Me", TEXT)])

    async def until(name: str, text: str | None) -> None:
        async with asyncio.timeout(60):
            while registered.text(name) != text:
                await asyncio.sleep(0.005)

    async with registered.followed():
        assert registered.text("first") == TEXT
        await database.transact(
            register_operations, [Document("first", "Other", OTHER), Document("second", "Me", TEXT)]
        )
        await until("second", TEXT)
        assert registered.text("first") == OTHER
        await database.transact(remove_operations, ["first"])
        await until("first", None)
    assert [task for task in asyncio.all_tasks() if "registered" in task.get_name()] == []
