"""The queue: whose turn a record is, for how long, and that nobody is sent away while there is work for them."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from app.accounts.users import remove_user
from app.accounts.workspaces import remove_member
from app.annotation.datasets import CreateDatasetInput, FieldInput, UpdateDatasetInput, create_dataset, update_dataset
from app.annotation.queue import MAX_FIRST, Reserved, next_records
from app.annotation.responses import delete_response, discard_response, save_draft
from app.annotation.tables import Record
from app.db import UnitOfWork
from tests.annotation.book import QUESTIONS, Book

QUARTER = datetime.timedelta(minutes=15)
NOTHING = datetime.timedelta(0)


async def ask(book: Book, who: str, first: int = 10, keep: datetime.timedelta = QUARTER) -> list[int]:
    """The records that somebody is given."""
    return (await asked(book, who, first, keep)).record_ids


async def asked(book: Book, who: str, first: int = 10, keep: datetime.timedelta = QUARTER) -> Reserved:
    reserved: Reserved = await book.act(who, next_records, book.dataset, first, keep)
    return reserved


async def threshold(book: Book, required: int) -> None:
    await book.act("owner", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=required))


async def reservations(book: Book) -> int:
    return int((await book.rows("SELECT count(*) FROM reservation"))[0][0])


async def test_the_oldest_come_first_and_come_again(book: Book) -> None:
    records = await book.add(5)
    before = datetime.datetime.now(datetime.UTC)
    first = await asked(book, "ada", 2)
    assert first.record_ids == records[:2]
    assert first.until is not None
    assert before + QUARTER <= first.until <= datetime.datetime.now(datetime.UTC) + QUARTER
    again = await asked(book, "ada", 3)
    assert again.record_ids == records[:3]
    assert again.until is not None
    assert again.until > first.until
    assert await ask(book, "ada", 1) == records[:1]
    assert await reservations(book) == 3


async def test_what_is_reserved_comes_before_what_is_older(book: Book) -> None:
    records = await book.add(4)
    assert await ask(book, "ada", 2) == records[:2]
    assert await ask(book, "ben", 1) == records[2:3]
    await book.act("ada", discard_response, records[0])
    assert await ask(book, "ben", 2) == [records[2], records[0]]


async def test_a_record_is_given_to_as_many_as_answers_are_missing(book: Book) -> None:
    await threshold(book, 2)
    (record,) = await book.add(1)
    assert [await ask(book, who) for who in ("ada", "ben", "cyd")] == [[record], [record], []]
    await book.submit("ada", record)
    assert await ask(book, "cyd") == []  # one answer is missing, and ben is at it
    await book.submit("ben", record)
    assert [await ask(book, who) for who in ("ada", "ben", "cyd")] == [[], [], []]


async def test_without_records_it_says_when_to_ask_again(book: Book) -> None:
    records = await book.add(2)
    long = await asked(book, "ada", 1)
    short = await asked(book, "ben", 1, datetime.timedelta(minutes=5))
    assert [*long.record_ids, *short.record_ids] == records
    assert await asked(book, "cyd") == Reserved([], short.until)
    await book.submit("ben", records[1])
    assert await asked(book, "cyd") == Reserved([], long.until)
    assert await asked(book, "ben") == Reserved([], long.until)
    await book.submit("ada", records[0])
    assert await asked(book, "cyd") == Reserved([], None)
    assert await asked(book, "ada") == Reserved([], None)


async def test_a_reservation_of_a_record_that_one_has_answered_is_not_waited_for(book: Book) -> None:
    await threshold(book, 2)
    (record,) = await book.add(1)
    await book.submit("ada", record)
    await ask(book, "ben")
    assert await asked(book, "ada") == Reserved([], None)
    await book.act("ada", discard_response, record)
    assert await asked(book, "ada") == Reserved([], None)


async def test_reservations_expire_and_are_removed(book: Book) -> None:
    records = await book.add(3)
    assert await ask(book, "ada", 3, NOTHING) == records
    assert await reservations(book) == 3
    assert await ask(book, "ben", 2) == records[:2]
    assert await reservations(book) == 2
    assert await ask(book, "ada") == records[2:]


async def test_an_answer_and_a_discard_end_a_reservation_and_a_draft_does_not(book: Book) -> None:
    records = await book.add(3)
    assert await ask(book, "ada") == records
    await book.act("ada", save_draft, records[0])
    assert await ask(book, "ben") == []
    await book.act("ada", discard_response, records[1])
    assert await ask(book, "ben") == [records[1]]
    written = await book.submit("ada", records[2])
    assert await ask(book, "cyd") == []
    await book.act("ada", delete_response, written.id)
    assert await ask(book, "cyd") == [records[2]]
    assert await ask(book, "ada") == [records[0]]


async def test_drafts_come_last_and_come_back(book: Book) -> None:
    records = await book.add(3)
    await ask(book, "ada", 1)
    await book.act("ada", save_draft, records[0])
    assert await ask(book, "ada", 1) == [records[1]]
    assert await ask(book, "ada", 10) == [records[1], records[2], records[0]]
    for record in records[1:]:
        await book.submit("ada", record)
    assert await ask(book, "ada", 1) == [records[0]]


async def test_a_draft_keeps_no_place_for_ever(book: Book) -> None:
    (record,) = await book.add(1)
    await ask(book, "ada", keep=NOTHING)
    await book.act("ada", save_draft, record)
    assert await ask(book, "ben") == [record]
    assert (await asked(book, "ada")).record_ids == []
    await book.submit("ben", record)
    assert await asked(book, "ada") == Reserved([], None)


async def test_what_one_submitted_comes_back_as_a_draft(book: Book) -> None:
    (record,) = await book.add(1)
    await book.submit("ada", record)
    assert await ask(book, "ada") == []
    await book.act("ada", save_draft, record)
    assert await ask(book, "ada") == [record]


async def test_more_are_asked_when_the_threshold_rises(book: Book) -> None:
    (record,) = await book.add(1)
    await book.submit("ada", record)
    assert await ask(book, "ben") == []
    await threshold(book, 2)
    assert await ask(book, "ada") == []
    assert await ask(book, "ben") == [record]


async def test_the_first_stay_when_the_threshold_falls(book: Book) -> None:
    await threshold(book, 3)
    (record,) = await book.add(1)
    for who in ("ben", "ada", "cyd"):
        assert await ask(book, who) == [record]
    await threshold(book, 1)
    # None waits for the others: who came first goes on.
    assert [await ask(book, who) for who in ("ada", "ben", "cyd")] == [[], [record], []]
    await book.act("ben", discard_response, record)
    assert [await ask(book, who) for who in ("cyd", "ada")] == [[], [record]]


async def test_answers_beside_the_queue_count(book: Book) -> None:
    await threshold(book, 2)
    (record,) = await book.add(1)
    await ask(book, "ada")
    await ask(book, "ben")
    await book.submit("cyd", record)
    assert [await ask(book, who) for who in ("ada", "ben")] == [[record], []]


async def test_removed_users_keep_nothing(book: Book) -> None:
    records = await book.add(2)
    assert await ask(book, "ada") == records
    await book.act("owner", remove_user, book.users["ada"].id)
    error = await book.refused("ada", next_records, book.dataset, 1, QUARTER)
    assert (error.code, error.path) == ("NOT_FOUND", ("datasetId",))
    assert await ask(book, "ben") == records


async def test_only_of_datasets_that_one_sees(book: Book) -> None:
    await book.add(1)
    for who in ("stranger", "ada"):
        if who == "ada":
            await book.act("owner", remove_member, book.workspace, book.users["ada"].id)
        error = await book.refused(who, next_records, book.dataset, 1, QUARTER)
        assert (error.code, error.path) == ("NOT_FOUND", ("datasetId",))
    assert await reservations(book) == 0


async def test_a_reservation_goes_with_its_record(book: Book) -> None:
    records = await book.add(2)
    await ask(book, "ada")

    def remove(uow: UnitOfWork) -> None:
        uow.session.delete(uow.session.get(Record, records[0]))

    await book.act("owner", remove)
    assert await reservations(book) == 1


@pytest.mark.parametrize(("first", "code"), [(0, "INVALID_INPUT"), (-1, "INVALID_INPUT"), (101, "LIMIT_EXCEEDED")])
async def test_how_many_may_be_asked_for(book: Book, first: int, code: str) -> None:
    error = await book.refused("ada", next_records, book.dataset, first, QUARTER)
    assert (error.code, error.path) == (code, ("first",))
    assert str(MAX_FIRST) in error.message


async def test_other_datasets_do_not_matter(book: Book) -> None:
    mine = await book.add(1)
    new = CreateDatasetInput("others", [FieldInput("text")], QUESTIONS, book.workspace)
    other = replace(book, dataset=await book.act("owner", create_dataset, new))
    theirs = await other.add(1)
    assert await ask(book, "ada") == mine
    assert await ask(other, "ben") == theirs
    assert await ask(other, "ada") == []
    assert await ask(book, "ada") == mine
