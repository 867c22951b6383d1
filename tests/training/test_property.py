"""Whatever is asked of tasks, in whatever order, their states are those of a small model of them.

The model is a dict; it knows neither SQL nor compare-and-set.
"""

import asyncio
import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text, update

from app.accounts.access import OPERATOR
from app.db import Database, UnitOfWork
from app.errors import GradbookError
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
from app.training.tables import TaskStatus, TrainTask
from app.training.tasks import (
    GivenInputs,
    UpdateTrainTask,
    clone_train_task,
    create_train_task,
    delete_train_task,
    purge_train_task,
    restore_train_task,
    update_train_task,
)
from app.training.watch import Patience, sweep
from tests.annotation.book import Book
from tests.training.runs import CANCELED, FAILED, PENDING, RUNNING, SUCCESS

NEXT = {PENDING: {RUNNING, CANCELED}, RUNNING: {SUCCESS, FAILED, CANCELED, RUNNING}}
WAYS: dict[TaskStatus, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    SUCCESS: (finish_train_task, ()), FAILED: (fail_train_task, ("no memory",)), CANCELED: (cancel_train_task, ()),
}  # fmt: skip

PATIENCE = Patience(lost=datetime.timedelta(minutes=2), failed=datetime.timedelta(hours=24))
LATE = datetime.timedelta(days=7)

places = st.integers(0, 9)  # a task, counted round
who = st.sampled_from(["ada", "ben", "admin", "owner", "stranger"])


@dataclass
class Known:
    """What is expected of one task."""

    creator: str
    status: TaskStatus = PENDING
    attempt: int = 1
    most: int = 1
    retry_of: int | None = None
    deleted: bool = False
    lost: bool = False
    rank: int | None = None
    version: int = 1


class Life(RuleBasedStateMachine):
    """All operations on tasks, by people who may and may not."""

    database: Database
    runner: asyncio.Runner
    book: Book

    @initialize()
    def begin(self) -> None:
        self.tasks: dict[int, Known] = {}
        self.first = self.transact("owner", lambda uow: uow.new_id())

    def transact(self, person: str, fn: Callable[..., Any], *args: Any) -> Any:
        return self.runner.run(self.database.transact(fn, *args, viewer=self.book.users[person]))

    def code(self, person: str, fn: Callable[..., Any], *args: Any) -> str | None:
        """How it is refused, None if it is not."""
        try:
            self.transact(person, fn, *args)
        except GradbookError as error:
            return error.code
        return None

    def at(self, place: int) -> int | None:
        ids = sorted(self.tasks)
        return ids[place % len(ids)] if ids else None

    def sees(self, person: str, number: int) -> bool:
        return person in {self.tasks[number].creator, "admin", "owner"}

    def after(self, number: int) -> int | None:
        return next((one for one, known in self.tasks.items() if known.retry_of == number), None)

    def note_attempt(self, number: int) -> None:
        """The next attempt as the database has it becomes known."""
        if self.after(number) is None:
            old = self.tasks[number]
            ((made,),) = self.rows("SELECT id FROM train_task WHERE retry_of_id = :id", id=number)
            self.tasks[made] = Known(old.creator, PENDING, old.attempt + 1, old.most, number, rank=old.rank)

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        def read(uow: UnitOfWork) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in uow.connection.execute(text(sql), values)]

        found: list[tuple[Any, ...]] = self.runner.run(self.database.transact(read, viewer=OPERATOR))
        return found

    def reach(self, number: int, to: TaskStatus) -> None:
        known = self.tasks[number]
        known.status, known.lost = to, False
        if to is FAILED and known.attempt < known.most and not known.deleted:
            self.note_attempt(number)

    # what the product does

    @rule(person=st.sampled_from(["ada", "ben", "admin"]), most=st.integers(1, 3))
    def create(self, person: str, most: int) -> None:
        given = GivenInputs({"modelName": "m", "maxAttempts": most}, self.book.workspace)
        self.tasks[self.transact(person, create_train_task, given).id] = Known(person, most=most)

    @rule(person=who, place=places, to=st.sampled_from([RUNNING, SUCCESS, FAILED, CANCELED]))
    def move(self, person: str, place: int, to: TaskStatus) -> None:
        number = self.at(place)
        if number is None:
            return
        known = self.tasks[number]
        if to is RUNNING:
            code = self.code(person, start_train_task, StartTrainTask(number))
        else:
            fn, rest = WAYS[to]
            code = self.code(person, fn, number, *rest)
        if not self.sees(person, number):
            assert code == "NOT_FOUND"
        elif to in NEXT.get(known.status, set()):
            assert code is None
            self.reach(number, to)
        else:
            assert code == (None if to is known.status else "INVALID_TRANSITION")

    @rule(place=places, to=st.sampled_from([SUCCESS, FAILED]))
    def run_through(self, place: int, to: TaskStatus) -> None:
        """What most tasks go through, which steps drawn one by one seldom do."""
        self.move("admin", place, RUNNING)
        self.move("admin", place, to)

    @rule(place=places, hours=st.sampled_from([1, 30]))
    def fall_silent(self, place: int, hours: int) -> None:
        """Time goes by for one task: long enough to be lost, or to be given up."""
        self.move("admin", place, RUNNING)
        number = self.at(place)
        if number is None or self.tasks[number].status is not RUNNING:
            return

        def heard(uow: UnitOfWork) -> None:
            then = uow.now - datetime.timedelta(hours=hours)
            uow.connection.execute(update(TrainTask).where(TrainTask.id == number).values(heartbeat_at=then))

        self.transact("owner", heard)
        self.transact("owner", sweep, PATIENCE)
        if hours == 1:
            self.tasks[number].lost = True
        else:
            self.reach(number, FAILED)

    @rule(person=who, place=places)
    def report(self, person: str, place: int) -> None:
        """A heartbeat from a source of its own, which is taken in whatever state."""
        number = self.at(place)
        if number is None:
            return
        content = check_report(ReportInput(number, 0, source=str(uuid4())), 0)
        code = self.code(person, report_progress, content, LATE)
        if not self.sees(person, number):
            assert code == "NOT_FOUND"
        else:
            assert code is None
            self.tasks[number].lost = False

    @rule(person=who, place=places)
    def retry(self, person: str, place: int) -> None:
        number = self.at(place)
        if number is None:
            return
        code = self.code(person, retry_train_task, number)
        if not self.sees(person, number):
            assert code == "NOT_FOUND"
        elif self.tasks[number].status is FAILED:
            assert code is None
            self.note_attempt(number)
        else:
            assert code == "INVALID_TRANSITION"

    @rule(person=who, place=places)
    def clone(self, person: str, place: int) -> None:
        number = self.at(place)
        if number is None:
            return
        if not self.sees(person, number):
            assert self.code(person, clone_train_task, number, GivenInputs({})) == "NOT_FOUND"
            return
        made = self.transact(person, clone_train_task, number, GivenInputs({}))
        self.tasks[made.id] = Known(person, most=self.tasks[number].most, rank=self.tasks[number].rank)

    @rule(person=who, place=places, rank=st.integers(1, 9), version=st.none() | st.integers(1, 3))
    def update(self, person: str, place: int, rank: int, version: int | None) -> None:
        number = self.at(place)
        if number is None:
            return
        known = self.tasks[number]
        change = UpdateTrainTask(number, GivenInputs({"loraRank": rank}), if_version=version)
        code = self.code(person, update_train_task, change)
        if not self.sees(person, number):
            assert code == "NOT_FOUND"
        elif version in {None, known.version} and known.status is PENDING:
            assert code is None
            known.rank, known.version = rank, known.version + 1
        else:
            assert code == "CONFLICT"

    @rule(person=who, place=places, deleted=st.booleans())
    def delete(self, person: str, place: int, deleted: bool) -> None:
        number = self.at(place)
        if number is None:
            return
        code = self.code(person, delete_train_task if deleted else restore_train_task, number)
        if self.sees(person, number):
            assert code is None
            self.tasks[number].deleted = deleted
        else:
            assert code == "NOT_FOUND"

    @rule(person=who, place=places)
    def purge(self, person: str, place: int) -> None:
        number = self.at(place)
        if number is None:
            return
        code = self.code(person, purge_train_task, number)
        if not self.sees(person, number):
            assert code == "NOT_FOUND"
        elif person in {"ada", "ben"}:
            assert code == "FORBIDDEN"
        else:
            assert code is None
            after = self.after(number)
            if after is not None:
                self.tasks[after].retry_of = None
            del self.tasks[number]

    # what must hold

    @invariant()
    def tasks_are_as_expected(self) -> None:
        stored = self.rows(
            "SELECT id, status, attempt, retry_of_id, deleted_at, lora_rank, version, start_time, end_time,"
            " fingerprint, lost FROM train_task WHERE id > :first",
            first=self.first,
        )
        assert {row[0] for row in stored} == set(self.tasks)
        for number, status, attempt, retry_of, deleted_at, rank, version, start, end, fingerprint, lost in stored:
            known = self.tasks[number]
            assert (status, attempt, retry_of) == (known.status.name, known.attempt, known.retry_of)
            assert ((deleted_at is not None), rank, version) == (known.deleted, known.rank, known.version)
            assert bool(lost) is known.lost
            assert (start is not None) or known.status in (PENDING, CANCELED)
            assert (end is not None) == (known.status in (SUCCESS, FAILED, CANCELED))
            assert fingerprint == next(row[9] for row in stored if row[5] == rank)


def test_tasks_live_as_the_model_says(database_url: str) -> None:
    with asyncio.Runner() as runner:
        database = runner.run(Database.open(database_url))
        book = runner.run(Book.make(database))
        try:
            machine = type("Machine", (Life,), {"database": database, "runner": runner, "book": book})
            limits = settings(
                max_examples=40,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            )
            run_state_machine_as_test(machine, settings=limits)
        finally:
            runner.run(database.close())
