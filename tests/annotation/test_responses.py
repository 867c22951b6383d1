"""Answers: who may give them, what becomes of them, and the status that follows."""

from collections.abc import Mapping
from typing import Any

import pytest

from app.accounts.users import remove_user
from app.accounts.workspaces import remove_member
from app.annotation.checks import errors_of
from app.annotation.datasets import (
    CreateDatasetInput,
    FieldInput,
    QuestionInput,
    UpdateDatasetInput,
    create_dataset,
    update_dataset,
)
from app.annotation.questions import SETTINGS, AnswerError, RatingSettings, TextSettings
from app.annotation.record_items import RecordInput
from app.annotation.records import AddRecordsInput, add_records
from app.annotation.responses import (
    Answers,
    SubmitResult,
    delete_response,
    delete_responses_of_user,
    discard_response,
    save_draft,
    submit_response,
    submit_responses,
)
from app.annotation.tables import QuestionType, ResponseStatus
from app.annotation.topics import dataset_topic
from tests.annotation.book import GOOD, Book

DRAFT, SUBMITTED, DISCARDED = ResponseStatus.DRAFT, ResponseStatus.SUBMITTED, ResponseStatus.DISCARDED


async def responses(book: Book, record_id: int) -> list[tuple[str, Any]]:
    return await book.rows(
        'SELECT status, CAST("values" AS text) FROM response WHERE record_id = :id ORDER BY user_id', id=record_id
    )


async def test_the_status_follows_every_kind_of_write(book: Book) -> None:
    await book.act("owner", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=2))
    (record_id,) = await book.add(1)
    await book.submit("ada", record_id)
    assert await book.state(record_id) == ("PENDING", 1)
    written = await book.submit("ben", record_id)
    assert await book.state(record_id) == ("COMPLETED", 2)
    await book.act("ada", save_draft, record_id, {"tone": 1})
    assert await book.state(record_id) == ("PENDING", 1)
    await book.submit("ada", record_id)
    await book.submit("ada", record_id, {"topic": "peace"})
    assert await book.state(record_id) == ("COMPLETED", 2)
    await book.act("ben", discard_response, record_id)
    assert await book.state(record_id) == ("PENDING", 1)
    await book.act("ben", delete_response, written.id)
    assert await book.state(record_id) == ("PENDING", 1)
    assert await responses(book, record_id) == [("SUBMITTED", '{"topic":"peace"}')]
    assert await book.drift() == []


async def test_answers_are_stored_in_their_normal_form(book: Book) -> None:
    (record_id,) = await book.add(1)
    await book.submit("ada", record_id, {"tone": 4.0, "topic": "war"})
    assert await responses(book, record_id) == [("SUBMITTED", '{"topic":"war","tone":4}')]


@pytest.mark.parametrize("write", [save_draft, discard_response])
async def test_without_values_the_earlier_ones_stay(book: Book, write: Any) -> None:
    (record_id,) = await book.add(1)
    first = await book.submit("ada", record_id)
    again = await book.act("ada", write, record_id)
    assert again == first
    assert [values for _, values in await responses(book, record_id)] == ['{"topic":"war","tone":3}']
    await book.act("ada", write, record_id, {})
    assert [values for _, values in await responses(book, record_id)] == ["{}"]


async def test_wrong_answers_are_named_by_path_and_nothing_is_written(book: Book) -> None:
    (record_id,) = await book.add(1)
    error = await book.refused("ada", submit_response, record_id, {"topic": "sports", "tone": 9, "mood": 1})
    assert [(one.code, one.path) for one in errors_of(error)] == [
        ("INVALID_INPUT", ("values", "mood")),
        ("INVALID_INPUT", ("values", "topic")),
        ("INVALID_INPUT", ("values", "tone")),
    ]
    assert '"sports" is not an option: allowed are "war", "peace"' in errors_of(error)[1].message
    assert await responses(book, record_id) == []


async def test_hidden_and_missing_records_cannot_be_told_apart(book: Book) -> None:
    (record_id,) = await book.add(1)
    hidden = await book.refused("stranger", submit_response, record_id, GOOD)
    missing = await book.refused("ada", submit_response, 7, GOOD)
    assert (hidden.code, hidden.path) == (missing.code, missing.path) == ("NOT_FOUND", ("recordId",))
    assert hidden.message.replace(str(record_id), "7") == missing.message


async def test_who_lost_access_is_refused_at_once(book: Book) -> None:
    (record_id,) = await book.add(1)
    written = await book.submit("ada", record_id)
    await book.act("owner", remove_member, book.workspace, book.users["ada"].id)
    assert (await book.refused("ada", submit_response, record_id, GOOD)).code == "NOT_FOUND"
    assert (await book.refused("ada", delete_response, written.id)).code == "NOT_FOUND"
    await book.act("owner", remove_user, book.users["admin"].id)
    assert (await book.refused("admin", submit_response, record_id, GOOD)).code == "NOT_FOUND"


async def test_responses_are_deleted_by_their_author_and_by_those_above(book: Book) -> None:
    (record_id,) = await book.add(1)
    written = await book.submit("ada", record_id)
    for who in ("ben", "stranger"):
        error = await book.refused(who, delete_response, written.id)
        assert (error.code, error.path) == ("NOT_FOUND", ("id",))
    for who in ("ada", "admin", "owner"):
        written = await book.submit("ada", record_id)
        assert await book.act(who, delete_response, written.id) == written
        assert await book.state(record_id) == ("PENDING", 0)
    assert (await book.refused("ada", delete_response, written.id)).code == "NOT_FOUND"


async def test_bulk_keeps_the_good_items_and_names_what_is_wrong_with_the_others(book: Book) -> None:
    first, second, third = await book.add(3)
    items = [
        Answers(first, GOOD),
        Answers(second, {"topic": "sports"}),
        Answers(7, GOOD),
        Answers(first, {"topic": "peace"}),
        Answers(third, {"tone": 1}, DRAFT),
        Answers(second, {"topic": "peace"}),
    ]
    results: list[SubmitResult] = await book.act("ada", submit_responses, items)
    assert [result.index for result in results] == list(range(6))
    assert [result.response.record_id if result.response else None for result in results] == [
        first,
        None,
        None,
        None,
        third,
        second,
    ]
    assert [[(error.code, error.path) for error in result.errors] for result in results] == [
        [],
        [("INVALID_INPUT", ("responses", 1, "values", "topic"))],
        [("NOT_FOUND", ("responses", 2, "recordId"))],
        [("DUPLICATE_ITEM", ("responses", 3, "recordId"))],
        [],
        [],
    ]
    assert [await book.state(record_id) for record_id in (first, second, third)] == [
        ("COMPLETED", 1),
        ("COMPLETED", 1),
        ("PENDING", 0),
    ]
    assert await responses(book, first) == [("SUBMITTED", '{"topic":"war","tone":3}')]
    assert await book.drift() == []


async def test_bulk_spans_datasets_with_different_questions(book: Book) -> None:
    (here,) = await book.add(1)
    other = CreateDatasetInput(
        "other", [FieldInput("text")], [QuestionInput("stars", RatingSettings(1, 3))], book.workspace
    )
    other_id = await book.act("owner", create_dataset, other)
    (added,) = await book.act("owner", add_records, AddRecordsInput(other_id, [RecordInput({"text": "x"})]))
    results = await book.act(
        "ada",
        submit_responses,
        [Answers(added.record_id, {"stars": 3}), Answers(here, {"stars": 3}), Answers(here, GOOD)],
    )
    assert [bool(result.errors) for result in results] == [False, True, False]


async def test_a_batch_has_a_limit(book: Book) -> None:
    (record_id,) = await book.add(1)
    error = await book.refused("ada", submit_responses, [Answers(record_id, GOOD)] * 1001)
    assert (error.code, error.path) == ("LIMIT_EXCEEDED", ("responses",))
    assert "1,001 items, at most 1,000" in error.message
    assert await book.act("ada", submit_responses, []) == []


async def test_a_users_responses_go_with_their_counts(book: Book) -> None:
    ids = await book.add(3)
    await book.act(
        "ada", submit_responses, [Answers(ids[0], GOOD), Answers(ids[1], None, DRAFT), Answers(ids[2], GOOD)]
    )
    await book.submit("ben", ids[2])
    assert await book.act("owner", delete_responses_of_user, book.users["ada"].id, frozenset({book.elsewhere})) == 0
    assert await book.act("owner", delete_responses_of_user, book.users["ada"].id, frozenset({book.workspace})) == 3
    assert await book.act("owner", delete_responses_of_user, book.users["ada"].id, None) == 0
    assert [await book.state(record_id) for record_id in ids] == [("PENDING", 0), ("PENDING", 0), ("COMPLETED", 1)]
    assert await book.drift() == []


async def test_removing_a_user_deletes_their_responses(book: Book) -> None:
    (record_id,) = await book.add(1)
    await book.submit("ada", record_id)
    await book.act("owner", remove_user, book.users["ada"].id, delete_responses_of_user)
    assert await book.state(record_id) == ("PENDING", 0)


async def test_every_write_marks_the_record_as_changed_and_tells_the_dataset(book: Book) -> None:
    told: list[frozenset[str]] = []
    (record_id,) = await book.add(1)
    book.database.on_commit = told.append
    seen = []
    for write in (
        lambda: book.submit("ada", record_id),
        lambda: book.act("ada", save_draft, record_id),
        lambda: book.act("owner", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=4)),
        lambda: book.act("owner", delete_responses_of_user, book.users["ada"].id),
    ):
        await write()
        seen += await book.rows("SELECT changed, updated_at FROM record")
    assert [numbers for numbers, _ in seen] == sorted({numbers for numbers, _ in seen})
    assert len({instant for _, instant in seen}) == 4
    assert told == [frozenset({dataset_topic(book.dataset)})] * 4
    await book.refused("stranger", submit_response, record_id, GOOD)
    assert len(told) == 4


async def test_instants_of_a_response(book: Book) -> None:
    (record_id,) = await book.add(1)
    await book.submit("ada", record_id)
    ((inserted, updated),) = await book.rows("SELECT inserted_at, updated_at FROM response")
    assert inserted == updated
    await book.submit("ada", record_id)
    ((same, later),) = await book.rows("SELECT inserted_at, updated_at FROM response")
    assert same == inserted < later


class Quote(TextSettings):
    """A type that reads the record's fields: the answer must occur in the text."""

    type = QuestionType.SPAN
    reads_fields = True

    def check(self, value: Any, record_fields: Mapping[str, Any]) -> str:
        if value not in record_fields["text"]:
            raise AnswerError(f"{value} does not occur.")
        return str(value)


async def test_a_new_type_is_a_new_class_which_may_read_the_fields(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, QuestionType.SPAN, Quote)
    new = CreateDatasetInput("quotes", [FieldInput("text")], [QuestionInput("quote", Quote())], book.workspace)
    dataset_id = await book.act("owner", create_dataset, new)
    (added,) = await book.act(
        "owner", add_records, AddRecordsInput(dataset_id, [RecordInput({"text": "In God we trust"})])
    )
    assert (await book.refused("ada", submit_response, added.record_id, {"quote": "gold"})).path == ("values", "quote")
    await book.submit("ada", added.record_id, {"quote": "trust"})
    results = await book.act("ben", submit_responses, [Answers(added.record_id, {"quote": "God"})])
    assert results[0].errors == ()
