"""Who shares a stream: those who asked for the same with the same rights, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any
from unittest.mock import patch

from app.accounts.access import OPERATOR
from app.accounts.tables import Role
from app.accounts.users import NewUser, create_user
from app.accounts.viewer import Viewer
from tests.api.conftest import Book, operation

SECONDS = 60

RESPONSES = """subscription ($dataset: ID!, $after: String) {
  recordChanged(datasetId: $dataset, after: $after) {
    cursor records { id myResponse { values } responses { nodes { values } } }
  }
}"""


@contextmanager
def reads(book: Book) -> Iterator[list[str]]:
    """The statements of reads within the block."""
    said: list[str] = []
    backend: Any = book.services.database.backend
    read = backend.read

    async def reading(sql: str, parameters: Any) -> Any:
        said.append(sql)
        return await read(sql, parameters)

    with patch.object(backend, "read", reading):
        yield said


async def following(messages: AsyncIterator[Any]) -> Any:
    """The next message's data."""
    response = await asyncio.wait_for(anext(messages), SECONDS)
    assert "errors" not in response, response
    return next(iter(response["data"].values()))


@asynccontextmanager
async def all_following(book: Book, whos: list[str], query: str, **variables: Any) -> AsyncIterator[list[Any]]:
    """Streams of these, which have their first message."""
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(book.follow(who, query, **variables)) for who in whos]
        for stream in streams:
            await following(stream)
        yield streams


async def answer(book: Book, who: str, value: int) -> None:
    await book.mutate(who, "SaveDraft", {"recordId": book.ids["record_here_1"], "values": {"quality": value}})


async def test_equal_subscribers_share_each_read(book: Book) -> None:
    async with all_following(
        book, ["ann"] * 30, operation("RecordChanged"), dataset=book.ids["dataset_here"]
    ) as all_of:
        for value in (1, 2, 3):
            with reads(book) as said:
                await answer(book, "ann", value)
                messages = [await following(stream) for stream in all_of]
            assert all(message == messages[0] for message in messages)
            # What changed, the records, the progress; and perhaps again, to find nothing. On PostgreSQL their horizons
            # may differ at first, if anything was written meanwhile.
            assert len(said) <= 6 or value == 1


async def test_a_position_of_ones_own_does_not_keep_one_apart(book: Book) -> None:
    """Whoever resumes catches up alone, and then shares."""
    dataset = book.ids["dataset_here"]
    async with book.follow("ann", RESPONSES, dataset=dataset) as stream:
        cursor = (await following(stream))["cursor"]
        for value in (1, 2):
            await answer(book, "ann", value)
            await following(stream)
        async with AsyncExitStack() as stack:
            late = [
                await stack.enter_async_context(book.follow("ann", RESPONSES, dataset=dataset, after=cursor))
                for _ in range(10)
            ]
            for one in late:
                assert len((await following(one))["records"]) == 1
            await answer(book, "ann", 3)  # on PostgreSQL their horizons may differ until something happens
            for one in (stream, *late):
                await following(one)
            with reads(book) as said:
                await answer(book, "ann", 4)
                messages = [await following(one) for one in (stream, *late)]
            assert all(message == messages[0] for message in messages)
            assert len(said) < 3 * len(messages)


async def test_nobody_gets_what_another_may_see(book: Book) -> None:
    def second_owner(uow: Any) -> int:
        return create_user(uow, NewUser("second", Role.OWNER, workspace_ids=()))

    number = await book.services.database.transact(second_owner, viewer=OPERATOR)
    book.people["second"] = Viewer(number, "second", Role.OWNER)
    whos = ["owner", "ann", "second", "ben", "admin", "owner", "ann"]
    async with all_following(book, whos, RESPONSES, dataset=book.ids["dataset_here"]) as streams:
        given: dict[str, int] = {}
        for value, who in enumerate(("owner", "ann", "ben"), 1):
            await answer(book, who, value)
            given[who] = value
            for name, stream in zip(whos, streams, strict=True):
                [record] = (await following(stream))["records"]
                mine = given.get(name)
                theirs = {mine} - {None} if name in ("ann", "ben") else set(given.values())
                assert (record["myResponse"] and record["myResponse"]["values"]["quality"]) == mine
                assert {node["values"]["quality"] for node in record["responses"]["nodes"]} == theirs


async def test_whoever_lost_access_is_told_and_others_go_on(book: Book) -> None:
    async with all_following(
        book, ["owner", "ann", "ann"], operation("RecordChanged"), dataset=book.ids["dataset_here"]
    ) as (owner, *anns):
        removed = {"workspaceId": book.ids["here"], "userId": book.ids["ann"]}
        await book.mutate("owner", "RemoveMember", removed)
        for ann in anns:
            response = await asyncio.wait_for(anext(ann), SECONDS)
            assert response["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        await answer(book, "ben", 1)
        assert (await following(owner))["records"]
