"""What is done to one task at once, on two servers' connections, is as if one had come after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.db import Database
from app.errors import GradbookError
from app.training.compactor import compact_waiting
from app.training.lifecycle import (
    StartTrainTask,
    cancel_train_task,
    fail_train_task,
    finish_train_task,
    retry_train_task,
    start_train_task,
)
from app.training.report_content import ReportInput, check_report
from app.training.reports import report_progress
from app.training.tables import TaskStatus
from app.training.tasks import (
    GivenInputs,
    UpdateTrainTask,
    clone_train_task,
    delete_train_task,
    purge_train_task,
    restore_train_task,
    update_train_task,
)
from app.training.watch import sweep
from tests.annotation.book import Book
from tests.training.runs import FAILED, PENDING, RUNNING, row, task_in
from tests.training.tasks import LATE, Run, series
from tests.training.test_watch import PATIENCE, SECOND, silence

ROUNDS = 6


def _start(uow: Any, number: int) -> Any:
    return start_train_task(uow, StartTrainTask(number))


def _fail(uow: Any, number: int) -> Any:
    return fail_train_task(uow, number, "no memory")


def _update(uow: Any, number: int) -> Any:
    return update_train_task(uow, UpdateTrainTask(number, GivenInputs({"loraRank": 4}), if_version=1))


def _clone(uow: Any, number: int) -> Any:
    return clone_train_task(uow, number, GivenInputs({}))


def _report(uow: Any, number: int) -> Any:
    return report_progress(uow, check_report(ReportInput(number, 0, series=[series("loss", [1], [0.5])]), 0), LATE)


def _sweep(uow: Any, _: int) -> Any:
    return sweep(uow, PATIENCE)


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """A second server's connections."""
    async with await Database.open(database_url) as database:
        yield database


async def both(book: Book, other: Database, number: int, *fns: Callable[..., Any]) -> list[str | None]:
    """Do both at once, and how each was refused."""
    admin = book.users["admin"]
    work = (one.transact(fn, number, viewer=admin) for one, fn in zip((book.database, other), fns, strict=True))
    results = await asyncio.gather(*work, return_exceptions=True)
    wrong = [one for one in results if isinstance(one, BaseException) and not isinstance(one, GradbookError)]
    assert wrong == []
    return [one.code if isinstance(one, GradbookError) else None for one in results]


PAIRS: list[tuple[TaskStatus, Callable[..., Any], Callable[..., Any], set[str]]] = [
    (RUNNING, finish_train_task, _fail, {"SUCCESS", "FAILED"}),
    (RUNNING, finish_train_task, cancel_train_task, {"SUCCESS", "CANCELED"}),
    (RUNNING, _fail, cancel_train_task, {"FAILED", "CANCELED"}),
    (RUNNING, finish_train_task, _start, {"SUCCESS"}),
    (RUNNING, _fail, _start, {"FAILED"}),
    (RUNNING, cancel_train_task, _start, {"CANCELED"}),
    (PENDING, _start, cancel_train_task, {"CANCELED"}),
    (PENDING, _start, finish_train_task, {"RUNNING", "SUCCESS"}),
    (PENDING, _start, _fail, {"RUNNING", "FAILED"}),
    (PENDING, cancel_train_task, _fail, {"CANCELED"}),
]


@pytest.mark.parametrize(("state", "one", "two", "ends"), PAIRS)
async def test_of_two_transitions_that_race_one_wins(
    book: Book, other: Database, state: TaskStatus, one: Any, two: Any, ends: set[str]
) -> None:
    for _ in range(ROUNDS):
        number = await task_in(book, state, maxAttempts=2)
        codes = await both(book, other, number, one, two)
        status, start, end = await row(book, number, "status", "start_time", "end_time")
        assert status in ends
        assert set(codes) <= {None, "INVALID_TRANSITION"}
        assert None in codes
        if len(ends) == 2 and state is RUNNING:
            assert codes.count("INVALID_TRANSITION") == 1
        assert (end is not None) == (status != "RUNNING")
        assert start is not None or status == "CANCELED"
        attempts = await book.rows("SELECT id FROM train_task WHERE retry_of_id = :id", id=number)
        assert len(attempts) == (status == "FAILED")


@pytest.mark.parametrize("end", [finish_train_task, _fail, cancel_train_task])
async def test_an_end_and_the_watch_that_race(book: Book, other: Database, end: Any) -> None:
    for _ in range(ROUNDS):
        number = await task_in(book, RUNNING, maxAttempts=2)
        await silence(book.database, [number], PATIENCE.failed + SECOND)
        [code, swept] = await both(book, other, number, end, _sweep)
        assert swept is None
        status, error = await row(book, number, "status", "error")
        by_watch = error is not None and "Nothing was heard" in error
        assert code == ("INVALID_TRANSITION" if by_watch and end is not _fail else None)
        attempts = await book.rows("SELECT id FROM train_task WHERE retry_of_id = :id", id=number)
        assert len(attempts) == (status == "FAILED")


async def test_an_update_of_inputs_and_a_start_that_race(book: Book, other: Database) -> None:
    """Nobody runs with inputs that changed under them."""
    for _ in range(ROUNDS):
        number = await task_in(book, PENDING)
        codes = await both(book, other, number, _start, _update)
        assert codes in ([None, None], [None, "CONFLICT"])
        rank, status = await row(book, number, "lora_rank", "status")
        assert (rank, status) == (4 if codes[1] is None else None, "RUNNING")


async def test_of_two_updates_of_one_version_that_race_one_wins(book: Book, other: Database) -> None:
    for _ in range(ROUNDS):
        number = await task_in(book, PENDING)
        codes = await both(book, other, number, _update, _update)
        assert sorted(map(str, codes)) == ["CONFLICT", "None"]
        assert await row(book, number, "version") == 2


STATES = {_start: PENDING, _fail: RUNNING, finish_train_task: RUNNING, cancel_train_task: RUNNING, _report: RUNNING}
STATES |= {retry_train_task: FAILED, _clone: PENDING, _update: PENDING}
STATES |= {delete_train_task: PENDING, restore_train_task: PENDING, purge_train_task: PENDING}


@pytest.mark.parametrize("fn", STATES, ids=lambda fn: fn.__name__.strip("_"))
async def test_whatever_races_with_a_purge_is_before_it_or_finds_nothing(book: Book, other: Database, fn: Any) -> None:
    for _ in range(ROUNDS):
        number = await task_in(book, STATES[fn], maxAttempts=2)
        codes = await both(book, other, number, purge_train_task, fn)
        assert codes in ([None, None], [None, "NOT_FOUND"], ["NOT_FOUND", None])
        assert await book.rows("SELECT id FROM train_task WHERE id = :id", id=number) == []
        for table in ("metric", "metric_chunk", "metric_source"):
            assert await book.rows(f"SELECT id FROM {table} WHERE task_id = :id", id=number) == []


async def test_a_purge_and_the_compactor_that_race(book: Book, other: Database) -> None:
    for turn in range(ROUNDS):
        number = await task_in(book, RUNNING)
        run = Run(book.database, number, book.users["admin"], book.workspace)
        for sequence in range(64):
            await run.report(sequence, series("loss", [sequence], [0.5]), series("lr", [sequence], [0.5]))

        async def purge(uow: int = number, late: float = turn / 500) -> None:
            await asyncio.sleep(late)
            await other.transact(purge_train_task, uow, viewer=book.users["admin"])

        damaged: set[int] = set()
        await asyncio.gather(compact_waiting(book.database, damaged), purge())
        assert damaged == set()
        for table in ("metric", "metric_chunk", "metric_source"):
            assert await book.rows(f"SELECT id FROM {table} WHERE task_id = :id", id=number) == []
