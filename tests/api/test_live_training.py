"""What subscribers of training are told through GraphQL, and when they are told no more. No clock heals anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.accounts.access import OPERATOR
from app.accounts.workspaces import add_member, remove_member
from app.training.compactor import compact_waiting
from tests.api.conftest import Book, operation

SECONDS = 60

PROGRESS = operation("TrainProgress")


async def following(messages: AsyncIterator[Any]) -> Any:
    """The next message's data."""
    response = await asyncio.wait_for(anext(messages), SECONDS)
    assert "errors" not in response, response
    return next(iter(response["data"].values()))


async def refused(messages: AsyncIterator[Any]) -> Any:
    """The error with which a stream ends, after messages that do not matter."""
    while "errors" not in (response := await asyncio.wait_for(anext(messages), SECONDS)):
        pass
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(messages), SECONDS)
    [error] = response["errors"]
    return error


async def started(book: Book, who: str = "ben") -> dict[str, Any]:
    made = await book.mutate(who, "CreateTrainTask", {"modelName": "m", "workspaceId": book.ids["here"]})
    await book.mutate(who, "StartTrainTask", {"id": made["task"]["id"], "totalSteps": 10})
    return dict(made["task"])


async def report(book: Book, task: dict[str, Any], sequence: int, **metrics: list[Any]) -> None:
    series = [
        {"metric": name, "steps": [sequence] * len(values), "values": values, "times": [7] * len(values)}
        for name, values in metrics.items()
    ]
    await book.mutate(
        "ben", "ReportProgress", {"id": task["id"], "sequence": sequence, "step": sequence, "series": series}
    )


async def test_history_comes_first_and_then_what_happens(book: Book) -> None:
    task = await started(book)
    await report(book, task, 0, loss=[0.5, "NaN"], lr=["-Infinity"])
    await report(book, task, 1, loss=[0.25])
    async with book.follow("admin", PROGRESS, task=task["taskId"]) as messages:
        first = await following(messages)
        assert first["series"] == [
            {"metric": "loss", "steps": [0, 0, 1], "values": [0.5, "NaN", 0.25], "times": [7, 7, 7]},
            {"metric": "lr", "steps": [0], "values": ["-Infinity"], "times": [7]},
        ]
        assert first["task"] == {
            "id": task["id"], "status": "RUNNING", "lost": False, "step": 1, "epoch": None, "progress": 0.1,
            "error": None,
        }  # fmt: skip
        await report(book, task, 2, loss=[1.5])
        second = await following(messages)
        assert second["series"] == [{"metric": "loss", "steps": [2], "values": [1.5], "times": [7]}]
        assert second["task"]["step"] == 2
        await book.mutate("ben", "FailTrainTask", {"id": task["id"], "error": "no memory"})
        third = await following(messages)
        assert third["series"] == []
        assert (third["task"]["status"], third["task"]["error"]) == ("FAILED", "no memory")
    await compact_waiting(book.services.database, set())
    async with book.follow("ben", PROGRESS, task=task["id"], after=first["cursor"]) as messages:
        resumed = await following(messages)
        assert resumed["series"] == second["series"]
        assert resumed["cursor"] == third["cursor"]


async def test_only_some_metrics(book: Book) -> None:
    task = await started(book)
    async with book.follow("ben", PROGRESS, task=task["id"], metrics=["later", "loss"]) as messages:
        assert (await following(messages))["series"] == []
        await report(book, task, 0, other=[1])
        message = await following(messages)
        assert (message["series"], message["task"]["step"]) == ([], 0)
        await report(book, task, 1, other=[1], later=[2])
        assert [one["metric"] for one in (await following(messages))["series"]] == ["later"]
    async with book.follow("ben", PROGRESS, task=task["id"], metrics=[f"m{n}" for n in range(101)]) as messages:
        assert (await refused(messages))["extensions"] == {"code": "LIMIT_EXCEEDED", "argument": ["metrics"]}


@pytest.mark.parametrize(
    ("who", "name", "code"),
    [
        ("ann", "task_of_ben", "NOT_FOUND"),
        ("other_admin", "task_of_ben", "NOT_FOUND"),
        ("ben", "tsk_1", "NOT_FOUND"),
        ("ben", "00000000-0000-4000-8000-000000000000", "NOT_FOUND"),
        ("ben", "rec_1", "INVALID_ID"),
    ],
)
async def test_what_is_hidden_is_not_there(book: Book, who: str, name: str, code: str) -> None:
    async with book.follow(who, PROGRESS, task=book.ids.get(name, name)) as messages:
        error = await refused(messages)
    assert error["extensions"] == {"code": code, "argument": ["taskId"]}


async def test_a_cursor_of_another_task_is_refused(book: Book) -> None:
    async with book.follow("admin", PROGRESS, task=book.ids["task_of_ben"]) as messages:
        cursor = (await following(messages))["cursor"]
    async with book.follow("admin", PROGRESS, task=book.ids["task_of_ann"], after=cursor) as messages:
        assert (await refused(messages))["extensions"]["code"] == "INVALID_CURSOR"


async def test_purging_a_task_ends_its_streams(book: Book) -> None:
    task = await started(book)
    async with book.follow("ben", PROGRESS, task=task["taskId"]) as messages:
        await following(messages)
        await book.mutate("ben", "DeleteTrainTask", {"id": task["id"]})
        assert (await following(messages))["task"]["id"] == task["id"], "a deleted task is still there"
        await book.mutate("admin", "PurgeTrainTask", {"id": task["id"]})
        assert (await refused(messages))["message"] == f"There is no training task {task['taskId']} that you can see."


async def remove(book: Book, who: str) -> None:
    workspace, user = (int(book.ids[name].partition("_")[2]) for name in ("here", who))
    await book.services.database.transact(remove_member, workspace, user, viewer=OPERATOR)


async def test_losing_a_membership_ends_the_streams_at_once(book: Book) -> None:
    """Those of tasks and those of records."""
    records = operation("RecordChanged")
    async with (
        book.follow("ben", PROGRESS, task=book.ids["task_of_ben"]) as progress,
        book.follow("ben", records, dataset=book.ids["dataset_here"]) as changes,
    ):
        for messages in (progress, changes):
            await following(messages)
        waiting = [asyncio.create_task(refused(messages)) for messages in (progress, changes)]
        await asyncio.sleep(0)
        await remove(book, "ben")
        assert [error["extensions"]["code"] for error in await asyncio.gather(*waiting)] == ["NOT_FOUND"] * 2


CHANGED = operation("TrainTaskChanged")


async def told(messages: AsyncIterator[Any]) -> tuple[dict[str, Any], list[str]]:
    """What the next message says of tasks, by their ids, and which have left."""
    message = await following(messages)
    return {task["id"]: task for task in message["tasks"]}, message["left"]


async def begun(messages: AsyncIterator[Any]) -> str:
    """The cursor of the first message."""
    first = await following(messages)
    assert (first["tasks"], first["left"]) == ([], [])
    return str(first["cursor"])


async def test_tasks_are_told_as_they_are_now(book: Book) -> None:
    async with book.follow("admin", CHANGED) as messages:
        cursor = await begun(messages)
        task = await started(book)
        tasks: dict[str, Any] = {}
        while tasks.get(task["id"], {}).get("status") != "RUNNING":
            found, left = await told(messages)
            tasks |= found
            assert left == []
        assert set(tasks) == {task["id"]}
        await report(book, task, 0, loss=[0.5])
        while (tasks := (await told(messages))[0])[task["id"]]["step"] is None:
            pass
        assert tasks[task["id"]] == {
            "id": task["id"], "status": "RUNNING", "step": 0, "progress": 0.0,
            "metrics": [{"name": "loss", "last": 0.5}],
        }  # fmt: skip
    async with book.follow("admin", CHANGED, after=cursor) as messages:
        assert await told(messages) == (tasks, []), "nobody listened; what happened is told to whoever resumes"


async def test_tasks_leave_that_match_no_more(book: Book) -> None:
    """By a change, by being deleted, by being purged; what comes back is told again."""
    task = await started(book)
    where = {"status": {"in": ["RUNNING"]}, "modelName": {"eq": "m"}}
    async with book.follow("admin", CHANGED, where=where) as messages:
        await begun(messages)
        for what, who, arrives in (
            ("DeleteTrainTask", "ben", False),
            ("RestoreTrainTask", "ben", True),
            ("FinishTrainTask", "ben", False),
            ("PurgeTrainTask", "admin", False),
        ):
            await book.mutate(who, what, {"id": task["id"]})
            tasks, left = await told(messages)
            assert (list(tasks), left) == (([task["id"]], []) if arrives else ([], [task["id"]])), what


async def test_deleted_tasks_are_told_where_they_are_asked_for(book: Book) -> None:
    task = await started(book)
    async with book.follow("ben", CHANGED, where={"deletedAt": {"isNull": False}}) as messages:
        await begun(messages)
        await book.mutate("ben", "DeleteTrainTask", {"id": task["id"]})
        assert list((await told(messages))[0]) == [task["id"]]
        await book.mutate("ben", "RestoreTrainTask", {"id": task["id"]})
        assert await told(messages) == ({}, [task["id"]])


async def test_a_task_that_moves_leaves_those_who_do_not_see_it_there(book: Book) -> None:
    made = await book.mutate("owner", "CreateTrainTask", {"modelName": "m", "workspaceId": book.ids["here"]})
    task = made["task"]["id"]
    async with (
        book.follow("admin", CHANGED) as old,
        book.follow("other_admin", CHANGED) as new,
        book.follow("owner", CHANGED) as both,
        book.follow("ann", CHANGED) as stranger,
    ):
        for messages in (old, new, both, stranger):
            await begun(messages)
        given = {"id": task, "set": {"workspaceId": book.ids["there"]}}
        await book.mutate("owner", "UpdateTrainTask", given)
        assert await told(old) == ({}, [task])
        assert list((await told(new))[0]) == [task]
        tasks, left = await told(both)
        assert (list(tasks), left) == ([task], []), "an owner sees it wherever it is"
        await book.mutate("owner", "PurgeTrainTask", {"id": task})
        assert await told(new) == ({}, [task])
        # What of her own happens next is the first that an annotator hears.
        own = await book.mutate("ann", "CreateTrainTask", {"modelName": "m"})
        tasks, left = await told(stranger)
        assert (list(tasks), left) == ([own["task"]["id"]], [])
        assert list((await told(old))[0]) == [own["task"]["id"]], "what was purged elsewhere was not its business"


async def test_a_removed_member_hears_no_more_of_the_workspace(book: Book) -> None:
    async with book.follow("admin", CHANGED) as messages, book.follow("owner", CHANGED) as owner:
        await begun(messages)
        await begun(owner)
        await remove(book, "admin")
        await started(book)
        await told(owner)
        given = {"modelName": "m", "workspaceId": book.ids["there"]}
        user, workspace = (int(book.ids[name].partition("_")[2]) for name in ("admin", "there"))
        await book.services.database.transact(add_member, workspace, user, viewer=OPERATOR)
        made = await book.mutate("other_ann", "CreateTrainTask", given)
        assert list((await told(messages))[0]) == [made["task"]["id"]]


async def test_messages_are_bounded(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    async with book.follow("admin", CHANGED) as messages:
        cursor = await begun(messages)
    made = [(await started(book))["id"] for _ in range(5)]
    await book.mutate("admin", "PurgeTrainTask", {"id": made[2]})
    monkeypatch.setattr("app.training.subscriptions.MAX_TASKS", 2)
    async with book.follow("admin", CHANGED, after=cursor) as messages:
        found = [await told(messages) for _ in range(3)]
    assert [(list(tasks), left) for tasks, left in found] == [
        (made[:2], []), ([made[3], made[4]], []), ([], [made[2]])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("where", "path"),
    [
        ({"id": {"eq": "rec_1"}}, ["where", "id", "eq"]),
        ({"and": [{"learningRate": {"gt": None}}]}, ["where", "and", 0, "learningRate", "gt"]),
    ],
)
async def test_a_wrong_where_is_refused_at_once(book: Book, where: dict[str, Any], path: list[str]) -> None:
    async with book.follow("admin", CHANGED, where=where) as messages:
        assert (await refused(messages))["extensions"]["argument"] == path


async def test_a_cursor_of_something_else_is_refused(book: Book) -> None:
    async with book.follow("admin", PROGRESS, task=book.ids["task_of_ben"]) as messages:
        cursor = (await following(messages))["cursor"]
    async with book.follow("admin", CHANGED, after=cursor) as messages:
        assert (await refused(messages))["extensions"]["code"] == "INVALID_CURSOR"
