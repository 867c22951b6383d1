"""Records in and out of files, on both databases."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest

from app.accounts.access import OPERATOR
from app.accounts.users import remove_user
from app.annotation.datasets import CreateDatasetInput, FieldInput, QuestionInput, create_dataset
from app.annotation.questions import TextSettings
from app.annotation.records import OnConflict
from app.annotation.responses import discard_response, save_draft, submit_response
from app.annotation.transfer import exporting, importing
from app.annotation.transfer.exporting import export_records
from app.annotation.transfer.importing import BATCH_LINES
from app.db import Database, UnitOfWork
from tests.annotation.book import GOOD, QUESTIONS, Book, record
from tests.annotation.transfer import Line, Transfer, passages


@pytest.fixture
def transfer(book: Book) -> Transfer:
    return Transfer(book.database, book.dataset, book.workspace)


async def another(transfer: Transfer, book: Book, name: str = "copy") -> Transfer:
    """A dataset in the same database that asks the same."""

    def make(uow: UnitOfWork) -> int:
        return create_dataset(uow, CreateDatasetInput(name, [FieldInput("text")], QUESTIONS, book.workspace))

    return Transfer(book.database, await book.database.transact(make, viewer=OPERATOR), book.workspace)


async def test_good_lines_are_kept_and_bad_ones_told_in_their_order(transfer: Transfer, book: Book) -> None:
    lines: list[Line | bytes] = [
        {"externalId": "a", "fields": {"text": "one"}},
        b"nonsense\n",
        {"externalId": "b", "fields": {"text": 5, "more": 1}},
        {"externalId": "c", "fields": {"text": "two"}, "metadata": [1]},
        {"externalId": "d", "fields": {"text": "three"}, "suggestions": [{"question": "topic", "value": "wra"}]},
        {"externalId": "e", "fields": {"text": "four"}, "responses": [{"user": "nobody", "values": GOOD}]},
        {"externalId": "f", "fields": {"text": "five"}, "responses": [{"user": "ada", "values": {"tone": 9}}]},
        b'{"externalId": "g", "fields": {"text": "\\u0000"}}\n',
        {"externalId": "h", "fields": {"text": "six"}, "responses": [{"user": "ada", "values": GOOD}]},
        b'{"externalId": "i", "fields": {"text": "se',
    ]
    assert await transfer.load(lines) == (2, 0, 0, 8)
    assert [number for number, _ in transfer.bad] == [2, 3, 4, 5, 6, 7, 8, 10]
    said = dict(transfer.bad)
    assert 'fields.more: There is no field "more": the dataset has "text".' in said[3]
    assert "fields.text: 5 is not a string." in said[3]
    assert said[4].startswith("metadata: [1] is no object")
    assert said[5].startswith('suggestions[0].value: topic: "wra" is not an option: allowed are "war", "peace".')
    assert said[6] == "responses[0].user: there is no user 'nobody'; --create-users makes one."
    assert "responses[0].values.tone: 9 is not a whole number from 1 to 5." in said[7]
    assert "responses[0].values.topic: the question is required" in said[7]
    assert "U+0000" in said[8]
    assert "is cut off after" in said[10]
    assert [orjson.loads(line)["externalId"] for line in await transfer.dump()] == ["a", "h"]
    assert await book.rows("SELECT external_id, status FROM record ORDER BY id") == [
        ("a", "PENDING"),
        ("h", "COMPLETED"),
    ]


async def test_the_same_file_again_doubles_nothing(transfer: Transfer, book: Book) -> None:
    lines = [*passages(3), {"fields": {"text": "no id"}, "metadata": {"b": 1, "a": 2}}]
    assert await transfer.load(lines) == (4, 0, 0, 0)
    before = await transfer.dump()
    reordered: list[Line | bytes] = [b'{"metadata": {"a": 2, "b": 1}, "fields": {"text": "no id"}}\n', *reversed(lines)]
    assert await transfer.load(reordered) == (0, 0, 5, 0)
    assert await transfer.dump() == before
    # A record is known by its content within its dataset only.
    assert await (await another(transfer, book)).load(lines) == (4, 0, 0, 0)


async def test_on_conflict(transfer: Transfer, book: Book) -> None:
    await transfer.load(passages(2))
    changed: Line = {"externalId": "x1", "fields": {"text": "new"}, "metadata": {"n": 1}}
    changed["responses"] = [{"user": "ada", "values": GOOD, "status": "SUBMITTED"}]
    assert await transfer.load([changed], OnConflict.SKIP) == (0, 0, 1, 0)
    assert orjson.loads((await transfer.dump())[1]) == passages(2)[1]
    assert await transfer.load([changed, *passages(1, 2)], OnConflict.ERROR) == (1, 0, 0, 1)
    assert "'x1'" in transfer.bad[0][1]
    assert await transfer.load([changed, *passages(1, 3)], OnConflict.UPDATE) == (1, 1, 0, 0)
    assert orjson.loads((await transfer.dump())[1]) == changed
    assert await book.rows("SELECT status FROM record WHERE external_id = 'x1'") == [("COMPLETED",)]
    assert await book.drift() == []


@pytest.mark.parametrize("apart", [1, 2, BATCH_LINES, BATCH_LINES + 7])
async def test_two_lines_with_one_key_meet_in_the_database_however_far_apart(transfer: Transfer, apart: int) -> None:
    first = {"externalId": "same", "fields": {"text": "first"}}
    second = {"externalId": "same", "fields": {"text": "second"}}
    lines = [first, *passages(apart - 1), second]
    assert await transfer.load(lines, OnConflict.SKIP) == (apart, 0, 1, 0)
    assert orjson.loads((await transfer.dump())[0]) == first
    assert await transfer.load(lines, OnConflict.UPDATE) == (0, apart + 1, 0, 0)
    assert orjson.loads((await transfer.dump())[0]) == second
    assert await transfer.load(lines, OnConflict.ERROR) == (0, 0, 0, apart + 1)


async def test_a_bad_line_does_not_take_the_key_of_a_good_one(transfer: Transfer) -> None:
    lines = [{"externalId": "same", "fields": {"text": 1}}, {"externalId": "same", "fields": {"text": "good"}}]
    assert await transfer.load(lines) == (1, 0, 0, 1)


async def test_a_file_is_written_batch_by_batch(transfer: Transfer, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2 * BATCH_LINES + 1
    assert await transfer.load(passages(count)) == (count, 0, 0, 0)
    assert transfer.batches == [BATCH_LINES, 2 * BATCH_LINES, count]
    monkeypatch.setattr(importing, "BATCH_BYTES", 500)
    long = {"externalId": "long", "fields": {"text": "x" * 1000}}
    assert await transfer.load([*passages(7, count), long, *passages(7, count + 7), b"bad\n"]) == (15, 0, 0, 1)
    sizes = [later - earlier for earlier, later in pairwise([0, *transfer.batches])]
    assert max(sizes) < 12
    assert 1 in sizes
    assert sum(sizes) == 16


async def test_an_empty_file_is_an_import_of_nothing(transfer: Transfer) -> None:
    assert await transfer.load([]) == (0, 0, 0, 0)
    assert await transfer.load([b"\n\n"]) == (0, 0, 0, 0)
    assert await transfer.dump() == []


async def test_unknown_people_are_made_when_that_is_wanted(transfer: Transfer, book: Book) -> None:
    lines = [
        {"fields": {"text": str(n)}, "responses": [{"user": f"new-{n % 3}", "values": GOOD, "status": "SUBMITTED"}]}
        for n in range(6)
    ]
    assert await transfer.load(lines) == (0, 0, 0, 6)
    assert await transfer.load(lines, create_users=True) == (6, 0, 0, 0)
    assert [orjson.loads(line) for line in await transfer.dump()] == lines
    made = "SELECT username, role, workspace_id FROM user_account JOIN membership ON user_id = id"
    assert await book.rows(f"{made} WHERE username LIKE 'new-%' ORDER BY username") == [
        (f"new-{n}", "ANNOTATOR", book.workspace) for n in range(3)
    ]
    assert await book.drift() == []


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "is empty"), (" a", "begins or ends with a space"), ("a\0b", "U+0000"), ("deleted-0", "marks removed users")],
)
async def test_a_name_that_nobody_can_have_spoils_its_line_alone(transfer: Transfer, name: str, said: str) -> None:
    lines = [
        {"fields": {"text": "1"}, "responses": [{"user": name, "values": GOOD}]},
        {"fields": {"text": "2"}, "responses": [{"user": "new", "values": GOOD}]},
    ]
    assert await transfer.load(lines, create_users=True) == (1, 0, 0, 1)
    assert transfer.bad[0][0] == 1
    assert said in transfer.bad[0][1]
    assert await transfer.load(lines[:1]) == (0, 0, 0, 1)


async def test_what_removed_people_answered_stays_theirs(
    transfer: Transfer, book: Book, new_database_url: Callable[[], Any]
) -> None:
    (record_id,) = await book.add(1)
    await book.submit("ada", record_id)
    await book.act("owner", remove_user, book.users["ada"].id)
    lines = await transfer.dump()
    removed = f"deleted-{book.users['ada'].id}"
    assert orjson.loads(lines[0])["responses"][0]["user"] == removed
    assert await transfer.load(lines, OnConflict.UPDATE) == (0, 1, 0, 0)
    async with await Database.open(await new_database_url()) as database:
        elsewhere = await Book.make(database)
        copy = Transfer(database, elsewhere.dataset, elsewhere.workspace)
        assert await copy.load(lines) == (0, 0, 0, 1)
        assert await copy.load(lines, create_users=True) == (1, 0, 0, 0)
        assert await copy.dump() == lines
        assert await elsewhere.rows(f"SELECT count(deleted_at) FROM user_account WHERE username = '{removed}'") == [
            (1,)
        ]
        # The name of a removed user says an id, which may be somebody else's there.
        taken = {"user": f"deleted-{elsewhere.users['ben'].id}", "values": GOOD}
        assert await copy.load([{"fields": {"text": "x"}, "responses": [taken]}], create_users=True) == (0, 0, 0, 1)


async def test_drafts_and_discards_come_and_go_as_they_are(transfer: Transfer, book: Book) -> None:
    first, second, third = await book.add([record(n, metadata={} if n else None) for n in range(3)])
    await book.act("ada", save_draft, first)
    await book.act("ben", save_draft, first, {"tone": 2})
    await book.act("cyd", discard_response, second)
    await book.act("ada", submit_response, third, {"tone": 5, "topic": "peace"})
    lines = await transfer.dump()
    assert [orjson.loads(line).get("responses") for line in lines] == [
        [
            {"user": "ada", "values": None, "status": "DRAFT"},
            {"user": "ben", "values": {"tone": 2}, "status": "DRAFT"},
        ],
        [{"user": "cyd", "values": None, "status": "DISCARDED"}],
        [{"user": "ada", "values": {"topic": "peace", "tone": 5}, "status": "SUBMITTED"}],
    ]
    copy = await another(transfer, book)
    assert await copy.load(lines) == (3, 0, 0, 0)
    assert await copy.dump() == lines
    assert await book.drift() == []


async def test_pages_hold_no_more_than_memory_should(transfer: Transfer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exporting.PAGE_RECORDS < BATCH_LINES
    await transfer.load(passages(BATCH_LINES + 200))
    pages = [len(page) async for page in export_records(transfer.database, transfer.dataset)]
    assert pages == [500, 500, 200]
    large = [{"externalId": f"large-{n}", "fields": {"text": "x" * 3_000_000}} for n in range(7)]
    await transfer.load(large)
    sizes = [[len(line) for line in page] async for page in export_records(transfer.database, transfer.dataset)]
    assert sum(map(len, sizes)) == BATCH_LINES + 207
    assert max(map(sum, sizes)) < exporting.PAGE_CHARACTERS + 3_100_000


async def test_answers_count_as_what_a_page_holds(transfer: Transfer, book: Book) -> None:
    def make(uow: UnitOfWork) -> int:
        question = QuestionInput("comment", TextSettings())
        return create_dataset(uow, CreateDatasetInput("wordy", [FieldInput("text")], [question], book.workspace))

    wordy = Transfer(book.database, await book.database.transact(make, viewer=OPERATOR), book.workspace)
    answers = [{"user": name, "values": {"comment": "x" * 100_000}, "status": "SUBMITTED"} for name in ("ada", "ben")]
    suggestions = [{"question": "comment", "value": "y" * 100_000}]
    lines = [{**line, "suggestions": suggestions, "responses": answers} for line in passages(60)]
    assert await wordy.load(lines) == (60, 0, 0, 0)
    sizes = [sum(map(len, page)) async for page in export_records(wordy.database, wordy.dataset)]
    assert len(sizes) == 3
    assert max(sizes) < exporting.PAGE_CHARACTERS + 400_000
