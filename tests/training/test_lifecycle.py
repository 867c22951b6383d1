"""From each state a task gets where it may, by whom it may, and nowhere else."""

import asyncio
from itertools import product
from typing import Any

import pytest

from app.errors import GradbookError
from app.training.lifecycle import (
    StartTrainTask,
    cancel_train_task,
    fail_train_task,
    finish_train_task,
    retry_train_task,
    start_train_task,
)
from app.training.tables import TaskStatus
from app.training.tasks import delete_train_task
from tests.annotation.book import Book
from tests.training.runs import CANCELED, FAILED, PENDING, RUNNING, SUCCESS, move, row, task, task_in

# As DESIGN has them, and what is said again.
ALLOWED = {
    (PENDING, RUNNING), (PENDING, CANCELED), (RUNNING, SUCCESS), (RUNNING, FAILED), (RUNNING, CANCELED),
    (RUNNING, RUNNING), (SUCCESS, SUCCESS), (FAILED, FAILED), (CANCELED, CANCELED),
}  # fmt: skip
ASKED = [state for state in TaskStatus if state is not PENDING]


@pytest.mark.parametrize(("state", "to"), list(product(TaskStatus, ASKED)), ids=lambda state: state.name)
async def test_every_transition(book: Book, state: TaskStatus, to: TaskStatus) -> None:
    number = await task_in(book, state)
    everything = ("status", "start_time", "end_time", "error", "updated_at", "changed", "version", "attempt")
    before = await row(book, number, *everything)
    if (state, to) in ALLOWED:
        assert (await move(book, number, to)).id == number
        assert await row(book, number, "status") == to.name
        if state is to and state is not RUNNING:
            assert await row(book, number, *everything) == before
        return
    with pytest.raises(GradbookError) as refused:
        await move(book, number, to)
    assert (refused.value.code, refused.value.path) == ("INVALID_TRANSITION", ("id",))
    assert f"is {state.name} and cannot become {to.name}" in refused.value.message
    possible = [after.name for before_, after in ALLOWED if before_ is state and after is not state]
    assert all(name in refused.value.message for name in possible)
    assert await row(book, number, *everything) == before


async def test_what_comes_with_a_start_is_stored(book: Book) -> None:
    number = await task(book)
    start = StartTrainTask(number, "gpu-0", "node7", 1_000, "/logs/run")
    started = await book.act("ada", start_train_task, start)
    assert started.next_sequence == 0
    assert await row(book, number, "host", "total_steps", "log_path", "lost") == ("node7", 1_000, "/logs/run", False)
    begun, heard = await row(book, number, "start_time", "heartbeat_at")
    assert begun == heard
    # A second process of the same run: a source more, and nothing that the first one said is lost.
    await book.act("ada", start_train_task, StartTrainTask(number, "gpu-1"))
    assert await row(book, number, "host", "total_steps", "start_time") == ("node7", 1_000, begun)
    assert await row(book, number, "heartbeat_at") > heard
    sources = "SELECT name, next_sequence FROM metric_source WHERE task_id = :id ORDER BY name"
    assert await book.rows(sources, id=number) == [("gpu-0", 0), ("gpu-1", 0)]


async def test_a_start_says_where_its_source_goes_on(book: Book) -> None:
    number = await task_in(book, RUNNING)
    await book.rows("UPDATE metric_source SET next_sequence = 17 WHERE task_id = :id RETURNING id", id=number)
    started = await book.act("ada", start_train_task, StartTrainTask(number))
    assert started.next_sequence == 17
    other = await book.act("ada", start_train_task, StartTrainTask(number, "other"))
    assert other.next_sequence == 0


async def test_what_runs_again_is_lost_no_more(book: Book) -> None:
    number = await task_in(book, RUNNING)
    await book.rows("UPDATE train_task SET lost = true WHERE id = :id RETURNING id", id=number)
    await move(book, number, RUNNING)
    assert await row(book, number, "lost") in (False, 0)


async def test_a_failure_makes_the_next_attempt_while_there_are_to_be_more(book: Book) -> None:
    first = await task(book, modelName="m", extraParams={"b": 1, "a": 2}, tags=["x"], maxAttempts=3, notes="n")
    number, seen = first, [first]
    attempts = "SELECT id, attempt, status FROM train_task WHERE retry_of_id = :id"
    for attempt in (2, 3):
        await move(book, number, RUNNING)
        await move(book, number, FAILED)
        await move(book, number, FAILED)  # said again
        ((after, found, status),) = await book.rows(attempts, id=number)
        assert (found, status) == (attempt, "PENDING")
        assert await row(book, after, "start_time", "end_time", "error", "host", "heartbeat_at") == (None,) * 5
        number = after
        seen.append(number)
    await move(book, number, RUNNING)
    await move(book, number, FAILED)
    assert await book.rows(attempts, id=number) == []
    same = ("model_name", "CAST(extra_params AS text)", "CAST(tags AS text)", "notes", "fingerprint", "user_id")
    assert len({await row(book, one, *same) for one in seen}) == 1
    assert len({await row(book, one, "task_uuid") for one in seen}) == 3


async def test_an_end_that_is_no_failure_makes_no_attempt(book: Book) -> None:
    for end in (SUCCESS, CANCELED):
        number = await task_in(book, RUNNING, maxAttempts=5)
        await move(book, number, end)
        assert await book.rows("SELECT id FROM train_task WHERE retry_of_id = :id", id=number) == []


async def test_a_retry_is_one_new_attempt(book: Book) -> None:
    number = await task_in(book, FAILED)
    again = await book.act("ada", retry_train_task, number)
    assert await row(book, again, "attempt", "status", "retry_of_id") == (2, "PENDING", number)
    assert await book.act("ada", retry_train_task, number) == again
    for state in (PENDING, RUNNING, SUCCESS, CANCELED):
        error = await book.refused("ada", retry_train_task, await task_in(book, state))
        assert (error.code, error.path) == ("INVALID_TRANSITION", ("id",))
        assert f"is {state.name}, and only what is FAILED is tried again" in error.message
        possible = [after.name for before, after in ALLOWED if before is state and after is not state]
        assert all(f"{name} (" in error.message for name in possible)


async def test_an_attempt_is_its_creators_whoever_asks_for_it(book: Book) -> None:
    number = await task_in(book, FAILED)
    again = await book.act("admin", retry_train_task, number)
    assert await row(book, again, "user_id") == book.users["ada"].id


async def test_a_task_is_named_by_its_uuid_too(book: Book) -> None:
    number = await task(book)
    uuid = await row(book, number, "task_uuid")
    assert (await book.act("ada", start_train_task, StartTrainTask(uuid))).id == number
    assert (await book.act("ada", fail_train_task, uuid, "no")).id == number
    error = await book.refused("ada", finish_train_task, uuid)
    assert uuid in error.message


async def test_a_deleted_task_can_still_end(book: Book) -> None:
    number = await task_in(book, RUNNING)
    await book.act("ada", delete_train_task, number)
    await move(book, number, SUCCESS)
    assert await row(book, number, "status") == "SUCCESS"


SECRET = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"[:34]
WRONG_STARTS: dict[str, Any] = {"source": "s" * 201, "host": "h\0", "total_steps": 0}


@pytest.mark.parametrize("field", WRONG_STARTS)
async def test_a_wrong_start_changes_nothing(book: Book, field: str) -> None:
    number = await task(book)
    error = await book.refused("ada", start_train_task, StartTrainTask(number, **{field: WRONG_STARTS[field]}))
    assert (error.code, error.path) == ("INVALID_INPUT", ("totalSteps" if field == "total_steps" else field,))
    assert await row(book, number, "status") == "PENDING"


async def test_a_secret_is_no_name_of_a_source(book: Book) -> None:
    number = await task(book)
    error = await book.refused("ada", start_train_task, StartTrainTask(number, f"rank {SECRET}"))
    assert (error.code, error.path) == ("INVALID_INPUT", ("source",))
    assert SECRET not in error.message


async def test_of_two_ends_that_race_one_wins(book: Book) -> None:
    ways = ((finish_train_task,), (fail_train_task, "no memory"), (cancel_train_task,))
    for _ in range(8):
        number = await task_in(book, RUNNING, maxAttempts=2)
        ends = [book.act("ada", fn, number, *rest) for fn, *rest in ways for _ in range(2)]
        results = await asyncio.gather(*ends, return_exceptions=True)
        refused = [result for result in results if isinstance(result, BaseException)]
        assert {getattr(error, "code", error) for error in refused} == {"INVALID_TRANSITION"}
        assert len(refused) == 4  # the winner's twin is no error
        status = await row(book, number, "status")
        attempts = await book.rows("SELECT id FROM train_task WHERE retry_of_id = :id", id=number)
        assert len(attempts) == (1 if status == "FAILED" else 0)


async def test_a_start_and_a_cancel_that_race(book: Book) -> None:
    for _ in range(8):
        number = await task(book)
        both = (move(book, number, RUNNING), move(book, number, CANCELED))
        started, canceled = await asyncio.gather(*both, return_exceptions=True)
        assert not isinstance(canceled, BaseException)
        assert await row(book, number, "status") == "CANCELED"
        if isinstance(started, BaseException):
            assert await row(book, number, "start_time") is None


async def test_retries_that_race_make_one_attempt(book: Book) -> None:
    number = await task_in(book, FAILED)
    made = await asyncio.gather(*(book.act("ada", retry_train_task, number) for _ in range(6)))
    assert len(set(made)) == 1
