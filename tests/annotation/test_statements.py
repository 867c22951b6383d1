"""Statements, counted at the database: those of a batch do not grow with its items."""

import datetime
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from app.annotation.datasets import (
    CreateDatasetInput,
    FieldInput,
    UpdateDatasetInput,
    create_dataset,
    delete_dataset,
    update_dataset,
)
from app.annotation.queue import next_records
from app.annotation.record_items import RecordInput, SuggestionInput, UserAnswers
from app.annotation.records import OnConflict
from app.annotation.responses import Answers, delete_response, delete_responses_of_user, submit_responses
from app.annotation.tables import Response, ResponseStatus
from tests.annotation.book import GOOD, QUESTIONS, Book, record
from tests.support.traced import Count

SIZES = (1, 100, 1000)
MINUTE = datetime.timedelta(minutes=1)


def full(number: int, book: Book) -> RecordInput:
    """A record with all that it can bring."""
    suggestions = [SuggestionInput("topic", "war", 0.5, "m"), SuggestionInput("tone", 2)]
    people = [UserAnswers(book.users[name].id, GOOD) for name in ("ada", "ben")]
    return record(number, metadata={"n": number}, suggestions=suggestions, responses=people)


async def test_the_counter_counts_each_row_of_an_executemany(book: Book, statements: Count) -> None:
    def work(uow: Any) -> None:
        uow.connection.exec_driver_sql(
            "DELETE FROM suggestion WHERE id = ?"
            if uow.dialect_name == "sqlite"
            else "DELETE FROM suggestion WHERE id = $1",
            [(n,) for n in range(7)],
        )

    seen = await statements(book.database.transact(work))
    assert sum("DELETE FROM suggestion" in sql for sql in seen) == 7


async def test_one_answer_takes_two_statements(book: Book, statements: Count, backend: str) -> None:
    warm, record_id = await book.add(2)  # a connection of PostgreSQL asks once about each type that it meets
    await book.submit("ada", warm)
    for _ in range(2):  # a first answer, and another
        seen = await statements(book.submit("ada", record_id))
        # On PostgreSQL the lookup and the write, on SQLite the write is two and takes its change number by one.
        assert len(seen) == {"postgresql": 4, "sqlite": 6}[backend], seen
    ((response_id,),) = await book.rows("SELECT id FROM response WHERE record_id = :id", id=record_id)
    seen = await statements(book.act("ada", delete_response, response_id))
    assert len(seen) == {"postgresql": 4, "sqlite": 7}[backend], seen


async def test_bulk_answers(book: Book, statements: Count, backend: str) -> None:
    records = await book.add(1000)
    await book.act("ada", submit_responses, [Answers(records[0], GOOD)])
    counts = []
    for size in SIZES:
        items = [Answers(record_id, GOOD) for record_id in records[:size]]
        items[size // 2 :: 10] = [
            Answers(7, GOOD),
            *[Answers(one.record_id, {}) for one in items[size // 2 + 10 :: 10]],
        ]
        items.append(Answers(records[0], None, ResponseStatus.DRAFT))
        counts.append(len(await statements(book.act("ada", submit_responses, items[:1000]))))
    assert counts == [{"postgresql": 5, "sqlite": 7}[backend]] * 3
    assert (await book.rows("SELECT count(*) FROM response"))[0][0] > 800


@pytest.mark.parametrize("on_conflict", OnConflict)
async def test_adding_records(book: Book, statements: Count, on_conflict: OnConflict) -> None:
    next_number = 0

    async def add(new: int, stored: int) -> int:
        nonlocal next_number
        items = [full(number, book) for number in range(next_number - stored, next_number + new)]
        next_number += new
        return len(await statements(book.add_some(items, on_conflict)))

    await add(1000, 0)
    for counts in (
        [await add(size, 0) for size in SIZES],
        [await add(0, size) for size in SIZES],
        [await add(size, size) for size in (1, 50, 500)],
    ):
        assert len(set(counts)) == 1, counts
        assert counts[0] <= 13


async def test_spans_are_checked_set_wise(marking: Book, statements: Count, backend: str) -> None:
    """One statement more reads the texts; three look after those that change, however many there are."""
    answers = {"names": [{"start": 0, "end": 3, "label": "PERSON"}]}
    suggestions = [SuggestionInput("names", answers["names"])]
    records = await marking.add([record(number, suggestions=suggestions) for number in range(1000)])
    await marking.act("ada", submit_responses, [Answers(records[0], answers)])
    counts = []
    for size in SIZES:
        items = [Answers(record_id, answers) for record_id in records[:size]]
        counts.append(len(await statements(marking.act("ada", submit_responses, items))))
    assert counts == [{"postgresql": 6, "sqlite": 8}[backend]] * 3
    counts = []
    for size in SIZES:
        changed = [RecordInput({"text": "short"}, f"p{number}") for number in range(size)]
        seen = await statements(marking.add_some(changed, OnConflict.UPDATE))
        assert not any("UPDATE record" in sql for sql in seen)
        counts.append(len(seen))
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 13


async def test_a_new_threshold(book: Book, statements: Count) -> None:
    counts, stored = [], 0
    for threshold, size in enumerate(SIZES, 2):
        await book.add([record(number) for number in range(stored, size)])
        stored = size
        change = UpdateDatasetInput(book.dataset, min_submitted=threshold)
        counts.append(len(await statements(book.act("owner", update_dataset, change))))
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 7
    assert await book.rows("SELECT required, count(*) FROM record GROUP BY required") == [(4, 1000)]


async def test_deleting_a_dataset(book: Book, statements: Count) -> None:
    counts = []
    for size in SIZES[:2]:
        fields, name = [FieldInput("text")], f"of {size}"
        new = CreateDatasetInput(name, fields, QUESTIONS, book.workspace)
        other = replace(book, dataset=await book.act("owner", create_dataset, new))
        await other.add([full(number, book) for number in range(size)])
        # SQLite tells a statement once more for each row that a foreign key takes along.
        counts.append(len(set(await statements(book.act("owner", delete_dataset, other.dataset)))))
    assert counts[0] == counts[1] <= 13


async def test_removing_a_users_responses(book: Book, statements: Count) -> None:
    records = await book.add(1000)
    counts = []
    for size, who in zip(SIZES, ("ada", "ben", "cyd"), strict=True):
        await book.act(who, submit_responses, [Answers(record_id, GOOD) for record_id in records[:size]])
        counts.append(len(await statements(book.act("owner", delete_responses_of_user, book.users[who].id))))
    assert len(set(counts)) == 1, counts
    assert counts[0] <= 7
    assert await book.rows("SELECT count(*), (SELECT sum(submitted_count) FROM record) FROM response") == [(0, 0)]


async def test_what_the_orm_touches_is_counted_by_one_statement(book: Book, statements: Count) -> None:

    records = await book.add(100)
    await book.act("ada", submit_responses, [Answers(record_id, GOOD) for record_id in records])

    def change(uow: Any, size: int) -> None:
        for response in uow.session.scalars(select(Response).order_by(Response.id).limit(size)):
            response.status = (
                ResponseStatus.DRAFT if response.status is ResponseStatus.SUBMITTED else ResponseStatus.SUBMITTED
            )

    ours = []
    for size in (1, 100):
        seen = await statements(book.database.transact(change, size))
        ours.append(sum("UPDATE response" not in sql for sql in seen))
    assert ours[0] == ours[1]


async def test_the_queue(book: Book, statements: Count) -> None:
    await book.add(1)
    await book.act("ada", next_records, book.dataset, 1, MINUTE)  # the driver asks for types
    counts = []
    for size in (1, 10, 100):
        await book.add([record(1000 + 100 * size + number) for number in range(size)])
        counts.append(len(await statements(book.act("ada", next_records, book.dataset, size, MINUTE))))
    assert counts == [counts[0]] * 3
    assert counts[0] <= 6
    assert len(await statements(book.act("ben", next_records, book.dataset, 100, MINUTE))) == counts[0]
