"""Whatever is written, in whatever order and by whatever way, the status is what the responses make it.

The oracle is a dict of what people said; it knows neither counters nor SQL.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, insert, select, text, update

from app.accounts.access import OPERATOR
from app.accounts.tables import Role
from app.accounts.users import NewUser, create_user, remove_user
from app.accounts.viewer import Viewer
from app.accounts.workspaces import create_workspace
from app.annotation.datasets import CreateDatasetInput, FieldInput, UpdateDatasetInput, create_dataset, update_dataset
from app.annotation.record_items import RecordInput, UserAnswers
from app.annotation.records import AddRecordsInput, OnConflict, Outcome, add_records
from app.annotation.responses import (
    Answers,
    delete_response,
    delete_responses_of_user,
    discard_response,
    save_draft,
    submit_response,
    submit_responses,
)
from app.annotation.status import StatusRuleError
from app.annotation.tables import Record, Response, ResponseStatus
from app.annotation.verify import drifted
from app.db import Database, UnitOfWork
from app.errors import GradbookError
from tests.annotation.actors import open_database
from tests.annotation.book import GOOD, QUESTIONS

DRAFT, SUBMITTED, DISCARDED = ResponseStatus.DRAFT, ResponseStatus.SUBMITTED, ResponseStatus.DISCARDED
PEOPLE = 4

people = st.integers(0, PEOPLE - 1)
places = st.integers(0, 5)  # a record, counted round
statuses = st.sampled_from(ResponseStatus)
said = st.dictionaries(people, statuses, max_size=3)


@dataclass
class Told:
    """What was said about one record, by user."""

    external_id: str | None
    said: dict[int, ResponseStatus] = field(default_factory=dict)


class UndoneError(Exception):
    """Raised to roll a transaction back."""


class Writing(RuleBasedStateMachine):
    """All operations that write, on one dataset."""

    database: Database
    runner: asyncio.Runner
    numbers: Iterator[int]
    workspace: int
    owner: Viewer

    @initialize(threshold=st.integers(1, 3))
    def begin(self, threshold: int) -> None:
        number = next(self.numbers)
        self.records: dict[int, Told] = {}
        self.removed: set[int] = set()
        self.threshold = threshold

        def made(uow: UnitOfWork) -> tuple[int, list[Viewer]]:
            here = self.workspace
            new = CreateDatasetInput(f"d{number}", [FieldInput("text")], QUESTIONS, here, min_submitted=threshold)
            names = [f"p{number}-{n}" for n in range(PEOPLE)]
            ids = [create_user(uow, NewUser(name, Role.ANNOTATOR, workspace_ids=(here,))) for name in names]
            return create_dataset(uow, new), [Viewer(*pair, Role.ANNOTATOR) for pair in zip(ids, names, strict=True)]

        self.dataset, self.people = self.transact(OPERATOR, made)
        self.users = [person.id for person in self.people]

    # how

    def transact(self, viewer: Viewer, fn: Callable[..., Any], *args: Any) -> Any:
        return self.runner.run(self.database.transact(fn, *args, viewer=viewer))

    def refused(self, viewer: Viewer, fn: Callable[..., Any], *args: Any) -> None:
        try:
            self.transact(viewer, fn, *args)
        except (GradbookError, StatusRuleError):
            return
        raise AssertionError(f"{fn} was not refused")

    def at(self, place: int) -> int | None:
        ids = sorted(self.records)
        return ids[place % len(ids)] if ids else None

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        def read(uow: UnitOfWork) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in uow.connection.execute(text(sql), {"dataset": self.dataset})]

        rows: list[tuple[Any, ...]] = self.transact(OPERATOR, read)
        return rows

    def row(self, uow: UnitOfWork, record_id: int, person: int, status: ResponseStatus) -> dict[str, Any]:
        return {
            "id": uow.new_id(),
            "dataset_id": self.dataset,
            "record_id": record_id,
            "user_id": self.users[person],
            "status": status,
            "values": GOOD,
            "inserted_at": uow.now,
            "updated_at": uow.now,
        }

    # what the product does

    @rule(items=st.lists(st.tuples(st.integers(0, 4), said), max_size=4), on_conflict=st.sampled_from(OnConflict))
    def add_records(self, items: list[tuple[int, dict[int, ResponseStatus]]], on_conflict: OnConflict) -> None:
        given = []
        for key, answers in items:
            responses = [UserAnswers(self.users[person], GOOD, status) for person, status in answers.items()]
            given.append(RecordInput({"text": f"{key}"}, f"k{key}" if key else None, responses=responses))
        results = self.transact(OPERATOR, add_records, AddRecordsInput(self.dataset, given, on_conflict))
        known = {told.external_id: record_id for record_id, told in self.records.items() if told.external_id}
        seen: set[str] = set()
        for item, result in zip(given, results, strict=True):
            outcome = Outcome.ADDED
            if item.external_id in seen:
                outcome = Outcome.REFUSED
            elif item.external_id in known:
                outcome = {"ERROR": Outcome.REFUSED, "SKIP": Outcome.SKIPPED}.get(on_conflict.name, Outcome.UPDATED)
            assert result.outcome is outcome
            if item.external_id:
                seen.add(item.external_id)
            if outcome in {Outcome.ADDED, Outcome.UPDATED}:
                told = self.records.setdefault(result.record_id, Told(item.external_id))
                told.said |= {answers.user_id: answers.status for answers in item.responses}

    @rule(person=people, place=places, status=statuses, values=st.sampled_from([GOOD, {}, None, {"topic": "sports"}]))
    def answer(self, person: int, place: int, status: ResponseStatus, values: Any) -> None:
        record_id = self.at(place)
        write = {SUBMITTED: submit_response, DRAFT: save_draft, DISCARDED: discard_response}[status]
        wrong = values == {"topic": "sports"} or (status is SUBMITTED and values != GOOD)
        if record_id is None or wrong or self.users[person] in self.removed:
            self.refused(self.people[person], write, record_id or 7, values)
        else:
            self.transact(self.people[person], write, record_id, values)
            self.records[record_id].said[self.users[person]] = status

    @rule(person=people, items=st.lists(st.tuples(places, statuses, st.booleans()), max_size=6))
    def submit_responses(self, person: int, items: list[tuple[int, ResponseStatus, bool]]) -> None:
        answers = [Answers(self.at(place) or 7, GOOD if good else {"tone": 9}, status) for place, status, good in items]
        results = self.transact(self.people[person], submit_responses, answers)
        written: set[int] = set()
        for (_, status, good), item, result in zip(items, answers, results, strict=True):
            visible = item.record_id in self.records and self.users[person] not in self.removed
            taken = visible and good and item.record_id not in written
            assert (result.response is not None) == (not result.errors) == taken
            if taken:
                written.add(item.record_id)
                self.records[item.record_id].said[self.users[person]] = status

    @rule(person=people, place=places, by_owner=st.booleans())
    def delete_response(self, person: int, place: int, by_owner: bool) -> None:
        record_id = self.at(place)
        user = self.users[person]
        found = [row[2] for row in self.rows(RESPONSES) if row[:2] == (record_id, user)]
        viewer = self.owner if by_owner else self.people[person]
        if record_id is None or not found or (user in self.removed and not by_owner):
            self.refused(viewer, delete_response, found[0] if found else 7)
        else:
            self.transact(viewer, delete_response, found[0])
            del self.records[record_id].said[user]

    @rule(person=people)
    def delete_responses_of_user(self, person: int) -> None:
        count = self.transact(OPERATOR, delete_responses_of_user, self.users[person])
        assert count == sum(told.said.pop(self.users[person], None) is not None for told in self.records.values())

    @rule(person=people, keep=st.booleans())
    def remove_user(self, person: int, keep: bool) -> None:
        user = self.users[person]
        if user not in self.removed:
            self.transact(OPERATOR, remove_user, user, None if keep else delete_responses_of_user)
            self.removed.add(user)
            if not keep:
                for told in self.records.values():
                    told.said.pop(user, None)

    @rule(threshold=st.integers(1, 3))
    def update_dataset(self, threshold: int) -> None:
        self.transact(OPERATOR, update_dataset, UpdateDatasetInput(self.dataset, min_submitted=threshold))
        self.threshold = threshold

    # what the ORM does

    @rule(answers=said, place=places)
    def orm_add(self, answers: dict[int, ResponseStatus], place: int) -> None:
        record_id = self.at(place)
        if record_id is None:
            return
        new = {p: status for p, status in answers.items() if self.users[p] not in self.records[record_id].said}

        def work(uow: UnitOfWork) -> None:
            uow.session.add_all([Response(**self.row(uow, record_id, p, status)) for p, status in new.items()])

        self.transact(OPERATOR, work)
        self.records[record_id].said |= {self.users[p]: status for p, status in new.items()}

    @rule(changes=st.dictionaries(st.tuples(places, people), st.none() | statuses, max_size=5))
    def orm_change(self, changes: dict[tuple[int, int], ResponseStatus | None]) -> None:
        """Change and delete several objects in one flush."""
        wanted = {
            (record_id, self.users[person]): status
            for (place, person), status in changes.items()
            if (record_id := self.at(place)) is not None and self.users[person] in self.records[record_id].said
        }

        def work(uow: UnitOfWork) -> None:
            for response in uow.session.scalars(select(Response).where(Response.dataset_id == self.dataset)):
                key = (response.record_id, response.user_id)
                if key in wanted and (status := wanted[key]) is not None:
                    response.status = status
                elif key in wanted:
                    uow.session.delete(response)

        self.transact(OPERATOR, work)
        for (record_id, user), status in wanted.items():
            if status is None:
                del self.records[record_id].said[user]
            else:
                self.records[record_id].said[user] = status

    @rule(old=statuses, new=statuses)
    def orm_bulk_update(self, old: ResponseStatus, new: ResponseStatus) -> None:
        which = (Response.dataset_id == self.dataset, Response.status == old)
        self.transact(OPERATOR, lambda uow: uow.session.execute(update(Response).where(*which).values(status=new)))
        for told in self.records.values():
            told.said = {user: new if status is old else status for user, status in told.said.items()}

    @rule(person=people, status=statuses)
    def orm_bulk_delete(self, person: int, status: ResponseStatus) -> None:
        which = (Response.user_id == self.users[person], Response.status == status)
        self.transact(OPERATOR, lambda uow: uow.session.execute(delete(Response).where(*which)))
        for told in self.records.values():
            if told.said.get(self.users[person]) is status:
                del told.said[self.users[person]]

    @rule(person=people, status=statuses)
    def orm_bulk_insert(self, person: int, status: ResponseStatus) -> None:
        user = self.users[person]
        ids = [record_id for record_id, told in self.records.items() if user not in told.said]

        def work(uow: UnitOfWork) -> None:
            uow.session.execute(insert(Response), [self.row(uow, record_id, person, status) for record_id in ids])

        if ids:
            self.transact(OPERATOR, work)
            for record_id in ids:
                self.records[record_id].said[user] = status

    @rule(answers=said)
    def orm_add_record(self, answers: dict[int, ResponseStatus]) -> None:
        """A record with its responses, in one flush."""

        def work(uow: UnitOfWork) -> int:
            record = Record(
                id=uow.new_id(),
                dataset_id=self.dataset,
                fields={"text": "new"},
                inserted_at=uow.now,
                updated_at=uow.now,
            )
            uow.session.add(record)
            uow.session.add_all([Response(**self.row(uow, record.id, p, status)) for p, status in answers.items()])
            return record.id

        record_id = self.transact(OPERATOR, work)
        self.records[record_id] = Told(None, {self.users[person]: status for person, status in answers.items()})

    @rule(place=places)
    def orm_delete_record(self, place: int) -> None:
        record_id = self.at(place)
        if record_id is None:
            return

        def work(uow: UnitOfWork) -> None:
            uow.session.delete(uow.session.get_one(Record, record_id))

        if self.records[record_id].said:
            self.refused(OPERATOR, work)
        else:
            self.transact(OPERATOR, work)
            del self.records[record_id]

    # several in one transaction

    @rule(first=people, second=people, place=places, statuses=st.tuples(statuses, statuses), undone=st.booleans())
    def mixed(
        self, first: int, second: int, place: int, statuses: tuple[ResponseStatus, ResponseStatus], undone: bool
    ) -> None:
        """The ORM, not flushed yet, then the product's own write, then the ORM again: kept, or rolled back."""
        record_id = self.at(place)
        users = self.users[first], self.users[second]
        if record_id is None or users[0] not in self.records[record_id].said or users[1] in self.removed:
            return

        def work(uow: UnitOfWork) -> None:
            which = select(Response).where(Response.record_id == record_id, Response.user_id == users[0])
            response = uow.session.scalars(which).one()
            response.status = statuses[0]
            save_draft(uow, record_id, GOOD)
            uow.session.refresh(response)
            response.status = statuses[1]
            submit_response(uow, record_id, GOOD)
            if undone:
                raise UndoneError

        try:
            self.transact(self.people[second], work)
        except UndoneError:
            return
        self.records[record_id].said |= {users[0]: statuses[1]}
        self.records[record_id].said |= {users[1]: SUBMITTED}

    # what must hold

    @invariant()
    def responses_are_those_that_were_said(self) -> None:
        if hasattr(self, "dataset"):
            told = {
                (record_id, user): one.name for record_id, t in self.records.items() for user, one in t.said.items()
            }
            assert {row[:2]: row[3] for row in self.rows(RESPONSES)} == told

    @invariant()
    def statuses_are_what_the_responses_make_them(self) -> None:
        if hasattr(self, "dataset"):
            expected = []
            for record_id in sorted(self.records):
                count = list(self.records[record_id].said.values()).count(SUBMITTED)
                status = "COMPLETED" if count >= self.threshold else "PENDING"
                expected.append((record_id, status, count, self.threshold))
            assert self.rows(RECORDS) == expected

    def teardown(self) -> None:
        async def found() -> list[Any]:
            return [drift async for drift in drifted(self.database)]

        assert self.runner.run(found()) == []


RESPONSES = "SELECT record_id, user_id, id, status FROM response WHERE dataset_id = :dataset"
RECORDS = "SELECT id, status, submitted_count, required FROM record WHERE dataset_id = :dataset ORDER BY id"


def test_the_status_is_a_function_of_the_responses(database_url: str) -> None:
    with asyncio.Runner() as runner:
        shared = runner.run(_open(database_url)) | {"runner": runner, "numbers": itertools.count()}
        try:
            run_state_machine_as_test(
                type("Machine", (Writing,), shared),
                settings=settings(
                    max_examples=60,
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
                ),
            )
        finally:
            runner.run(shared["database"].close())


async def _open(url: str) -> dict[str, Any]:
    database = await open_database(url)

    def made(uow: UnitOfWork) -> dict[str, Any]:
        owner = Viewer(create_user(uow, NewUser("owner", Role.OWNER)), "owner", Role.OWNER)
        return {"workspace": create_workspace(uow, "here"), "owner": owner}

    return {"database": database, **await database.transact(made, viewer=OPERATOR)}
