"""Who is not heard of is lost, and failed after a long time: once, and never against a report."""

from __future__ import annotations

import asyncio
import datetime
import logging
from typing import Any

import pytest
from sqlalchemy import select, update

from app.db import Database, UnitOfWork
from app.training import watch
from app.training.report_content import ReportInput, check_report
from app.training.reports import report_progress
from app.training.tables import TaskStatus, TrainTask
from app.training.tasks import delete_train_task
from app.training.topics import TASKS, task_topic
from app.training.watch import Patience, sweep, sweep_all, watching
from tests.annotation.book import Book
from tests.training.runs import RUNNING, move, row, task, task_in
from tests.training.tasks import LATE, Run, insert_task, series

PATIENCE = Patience(lost=datetime.timedelta(minutes=2), failed=datetime.timedelta(hours=24))
SECOND = datetime.timedelta(seconds=1)
HOUR = datetime.timedelta(hours=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


async def silence(database: Database, numbers: list[int], since: datetime.timedelta) -> datetime.datetime:
    """Tasks were heard of so long ago; when that was."""
    heard = now() - since

    def write(uow: UnitOfWork) -> None:
        uow.connection.execute(update(TrainTask).where(TrainTask.id.in_(numbers)).values(heartbeat_at=heard))

    await database.transact(write)
    return heard


async def columns(database: Database, number: int) -> Any:
    return await database.transact(
        lambda uow: uow.connection.execute(select(TrainTask.__table__).where(TrainTask.id == number)).one()
    )


async def test_what_is_not_heard_of_is_lost_and_what_is_heard_of_is_not(book: Book) -> None:
    fresh, silent = [await task_in(book, RUNNING) for _ in range(2)]
    others = [await task_in(book, state) for state in TaskStatus if state is not RUNNING]
    await silence(book.database, [silent, *others], PATIENCE.lost + SECOND)
    await silence(book.database, [fresh], PATIENCE.lost - 60 * SECOND)
    before = await row(book, silent, "changed")
    assert await sweep_all(book.database, PATIENCE) == 1
    assert await row(book, silent, "status", "lost") == ("RUNNING", True)
    assert await row(book, silent, "changed") > before
    assert not await row(book, fresh, "lost")
    assert [bool(await row(book, number, "lost")) for number in others] == [False] * 4
    assert await sweep_all(book.database, PATIENCE) == 0
    await move(book, silent, RUNNING)
    assert not await row(book, silent, "lost")


@pytest.mark.parametrize("most", [1, 3])
async def test_what_is_silent_for_very_long_fails_and_is_tried_again(book: Book, most: int) -> None:
    number = await task_in(book, RUNNING, maxAttempts=most, tags=["x"])
    heard = await silence(book.database, [number], PATIENCE.failed + SECOND)
    assert await sweep_all(book.database, PATIENCE) == 1
    found = await columns(book.database, number)
    assert (found.status, found.lost, found.end_time) == (TaskStatus.FAILED, False, heard)
    assert "Nothing was heard of it for 24 hours" in found.error
    again = await book.rows("SELECT id, attempt, status FROM train_task WHERE retry_of_id = :id", id=number)
    assert [tuple(one[1:]) for one in again] == [(2, "PENDING")] * (most > 1)
    assert await sweep_all(book.database, PATIENCE) == 0


async def test_what_ended_long_ago_and_failed_just_now_still_reports(book: Book) -> None:
    """As when no server ran for weeks: what scripts kept meanwhile is taken."""
    number = await task_in(book, RUNNING)
    await silence(book.database, [number], 30 * PATIENCE.failed)
    await sweep_all(book.database, PATIENCE)
    assert await row(book, number, "status") == "FAILED"
    report = check_report(ReportInput(number, 0, series=[series("loss", [1], [0.5])]), 0)
    assert (await book.act("ada", report_progress, report, LATE)).accepted == 1


async def test_what_was_deleted_fails_and_is_not_tried_again(book: Book) -> None:
    number = await task_in(book, RUNNING, maxAttempts=2)
    await book.act("ada", delete_train_task, number)
    await silence(book.database, [number], PATIENCE.failed + SECOND)
    await sweep_all(book.database, PATIENCE)
    assert await row(book, number, "status") == "FAILED"
    assert await book.rows("SELECT id FROM train_task WHERE retry_of_id = :id", id=number) == []


async def test_a_sweep_tells_who_watches(book: Book) -> None:
    lost, failed = [await task_in(book, RUNNING, maxAttempts=2) for _ in range(2)]
    await silence(book.database, [lost], PATIENCE.lost + SECOND)
    await silence(book.database, [failed], PATIENCE.failed + SECOND)
    told: list[frozenset[str]] = []

    def work(uow: UnitOfWork) -> None:
        sweep(uow, PATIENCE)
        told.append(uow.topics)

    await book.database.transact(work)
    ((again,),) = await book.rows("SELECT id FROM train_task WHERE retry_of_id = :id", id=failed)
    assert told == [{*map(task_topic, (lost, failed, again)), TASKS}]


async def test_a_transaction_has_a_bound_and_all_are_swept(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BOUND", 3)
    numbers = [await task_in(book, RUNNING, maxAttempts=2) for _ in range(8)]
    await silence(book.database, numbers[:7], PATIENCE.failed + SECOND)
    await silence(book.database, numbers[7:], PATIENCE.lost + SECOND)
    assert await book.database.transact(sweep, PATIENCE) == 6  # three failed, three more lost
    assert await sweep_all(book.database, PATIENCE) >= 5
    statuses = [await row(book, number, "status", "lost") for number in numbers]
    assert statuses == [("FAILED", False)] * 7 + [("RUNNING", True)]
    assert len(await book.rows("SELECT id FROM train_task WHERE retry_of_id IS NOT NULL")) == 7


async def test_two_servers_that_sweep_at_once_fail_each_task_once(book: Book, database_url: str) -> None:
    numbers = [await task_in(book, RUNNING, maxAttempts=3) for _ in range(30)]
    await silence(book.database, numbers, PATIENCE.failed + SECOND)
    async with await Database.open(database_url) as other:
        found = await asyncio.gather(*(sweep_all(database, PATIENCE) for database in (book.database, other) * 3))
    assert sum(found) == 30
    again = await book.rows("SELECT retry_of_id FROM train_task WHERE attempt = 2")
    assert sorted(number for (number,) in again) == numbers


async def test_of_a_sweep_and_a_report_that_race_one_wins(database: Database, database_url: str) -> None:
    """A report is stored whatever happens; but what was heard of in time is not failed."""
    runs = [await Run.make(database, start_time=now() - 30 * HOUR, max_attempts=2)]
    first = runs[0]
    for _ in range(23):
        number = await database.transact(_another, first)
        runs.append(Run(database, number, first.viewer, first.workspace))
    numbers = [run.task for run in runs]
    async with await Database.open(database_url) as other:
        for turn in range(4):
            await database.transact(_run_again, numbers)
            heard = await silence(database, numbers, PATIENCE.failed + SECOND)
            reports = [run.report(turn, series("loss", [turn], [0.5])) for run in runs]
            sweeps = [sweep_all(one, PATIENCE) for one in (other, database)]
            await asyncio.gather(*reports[:8], *sweeps, *reports[8:])
            for number in numbers:
                found = await columns(database, number)
                assert not found.lost
                if found.status is TaskStatus.FAILED:
                    assert found.end_time == heard
                else:
                    assert (found.status, found.heartbeat_at > heard) == (TaskStatus.RUNNING, True)
    assert sorted(await database.read("SELECT points FROM metric")) == [(4,)] * 24


def _another(uow: UnitOfWork, run: Run) -> int:
    return insert_task(uow, run.viewer.id, run.workspace, start_time=uow.now - 30 * HOUR, max_attempts=2)


def _run_again(uow: UnitOfWork, numbers: list[int]) -> None:
    values = {"status": TaskStatus.RUNNING, "end_time": None}
    uow.connection.execute(update(TrainTask).where(TrainTask.id.in_(numbers)).values(**values))


async def test_it_waits_until_all_could_be_heard_and_goes_on_after_an_error(
    book: Book, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = await task_in(book, RUNNING)
    await silence(book.database, [number], PATIENCE.lost)
    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        if not slept:
            assert not await row(book, number, "lost")
        slept.append(seconds)
        await sleep(0)

    turns = iter([RuntimeError("the database is away")])

    async def sweep_or_fail(database: Database, patience: Patience) -> int:
        for error in turns:
            raise error
        return await sweep_all(database, patience)

    monkeypatch.setattr("app.training.watch.asyncio.sleep", note)
    monkeypatch.setattr(watch, "sweep_all", sweep_or_fail)
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(60), watching(book.database, PATIENCE):
            while not await row(book, number, "lost"):
                await sleep(0.01)
    assert slept[:2] == [120, 15]
    assert "it will be tried again" in caplog.text


async def test_it_takes_as_many_statements_for_fifty_tasks_as_for_one(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    admitted: list[str] = []
    monkeypatch.setattr(UnitOfWork, "admit", lambda _, sql: admitted.append(sql))
    counts = []
    for count in (1, 50):
        numbers = [await task(book, maxAttempts=2) for _ in range(count)]
        await book.database.transact(_run_again, numbers)
        await silence(book.database, numbers, PATIENCE.failed + SECOND)
        admitted.clear()
        assert await book.database.transact(sweep, PATIENCE) == count
        counts.append(len(admitted))
    assert counts == [3, 3]
