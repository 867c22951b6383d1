"""Records are added in batches; bad ones are answered, good ones are kept."""

from typing import Any

import pytest

from app.annotation.checks import shown
from app.annotation.datasets import (
    CreateDatasetInput,
    FieldInput,
    QuestionInput,
    UpdateDatasetInput,
    create_dataset,
    update_dataset,
)
from app.annotation.questions import TextSettings
from app.annotation.record_items import RecordInput, SuggestionInput, UserAnswers, content_hash
from app.annotation.records import AddRecordsInput, OnConflict, Outcome, RecordResult, add_records
from app.annotation.tables import FieldType, ResponseStatus
from app.annotation.topics import dataset_topic
from tests.annotation.book import GOOD, Book, record

ADDED, UPDATED, SKIPPED, REFUSED = Outcome.ADDED, Outcome.UPDATED, Outcome.SKIPPED, Outcome.REFUSED
STORED = "SELECT external_id, CAST(fields AS text), CAST(metadata AS text) FROM record ORDER BY id"
SUGGESTED = "SELECT record_id, question, CAST(value AS text), score, agent FROM suggestion ORDER BY record_id, question"


def outcomes(results: list[RecordResult]) -> list[Outcome]:
    assert [result.index for result in results] == list(range(len(results)))
    return [result.outcome for result in results]


def errors(results: list[RecordResult]) -> list[tuple[str, tuple[Any, ...]]]:
    return [(error.code, error.path) for result in results for error in result.errors]


async def test_records_are_stored_as_given_and_in_their_order(book: Book) -> None:
    await book.act("owner", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=2))
    items = [
        RecordInput({"text": "b"}, "2", {"year": 1900, "a": [1.5, None]}),
        RecordInput({"text": "a"}),
        RecordInput({"text": "\\u0000 is a name of NUL"}, "1", {}),
    ]
    ids = await book.add(items)
    assert ids == sorted(ids)
    assert await book.rows(STORED) == [
        ("2", '{"text":"b"}', '{"year":1900,"a":[1.5,null]}'),
        (None, '{"text":"a"}', None),
        ("1", '{"text":"\\\\u0000 is a name of NUL"}', "{}"),
    ]
    ((status, submitted, required, changed),) = set(
        await book.rows("SELECT status, submitted_count, required, changed FROM record")
    )
    assert (status, submitted, required) == ("PENDING", 0, 2)
    assert changed > 0


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


BAD: list[tuple[RecordInput, tuple[Any, ...], str]] = [
    (RecordInput({}), ("fields", "text"), "text: the field is required"),
    (RecordInput({"text": None}), ("fields", "text"), "text: the field is required"),
    (RecordInput({"text": 3}), ("fields", "text"), "text: 3 is not a string"),
    (RecordInput({"text": "a", "titel": "b"}), ("fields", "titel"), 'no field "titel": the dataset has "text"'),
    (RecordInput(["text"]), ("fields",), '["text"] is no object of fields'),  # type: ignore[arg-type]
    (RecordInput({"text": "a\0"}), ("fields", "text"), "NUL"),
    (RecordInput({"text": "a"}, ""), ("externalId",), '"" has 0 characters: use 1 to 500'),
    (RecordInput({"text": "a"}, "x" * 501), ("externalId",), "501 characters"),
    (RecordInput({"text": "a"}, 7), ("externalId",), "7 is not a string"),  # type: ignore[arg-type]
    (RecordInput({"text": "a"}, metadata=[1]), ("metadata",), "[1] is no object"),  # type: ignore[arg-type]
    (RecordInput({"text": "a"}, metadata={"a": "b\0c"}), ("metadata",), "holds a NUL character"),
    (RecordInput({"text": "a"}, metadata={"a": 2**70}), ("metadata",), "cannot be stored as JSON"),
    (RecordInput({"text": "a"}, metadata={"a": "\ud800"}), ("metadata",), "cannot be stored as JSON"),
    (RecordInput({"text": "a"}, metadata={"a": "x" * 100_000}), ("metadata",), "at most 100,000 are allowed"),
    (RecordInput({"text": "a"}, metadata=nested(300)), ("metadata",), "cannot be stored as JSON: Recursion limit"),
    (RecordInput({"text": "a"}, metadata=nested(3000)), ("metadata",), "nested too deeply"),
    (RecordInput({"text": nested(3000)}), ("fields", "text"), "a deeply nested value is not a string"),
    (
        RecordInput({"text": "a"}, suggestions=[SuggestionInput("mood", 1)]),
        ("suggestions", 0, "question"),
        'no question "mood": the dataset asks "topic", "tone"',
    ),
    (
        RecordInput({"text": "a"}, suggestions=[SuggestionInput("tone", 1), SuggestionInput("tone", 9)]),
        ("suggestions", 1, "question"),
        'two suggestions for "tone"',
    ),
    (
        RecordInput({"text": "a"}, suggestions=[SuggestionInput("tone", 9)]),
        ("suggestions", 0, "value"),
        "tone: 9 is not a whole number from 1 to 5",
    ),
    (
        RecordInput({"text": "a"}, suggestions=[SuggestionInput("tone", 1, float("nan"))]),
        ("suggestions", 0, "score"),
        '"NaN" is not a finite number',
    ),
    (
        RecordInput({"text": "a"}, suggestions=[SuggestionInput("tone", 1, 0.5, "")]),
        ("suggestions", 0, "agent"),
        "use 1 to 200",
    ),
    (
        RecordInput({"text": "a"}, responses=[UserAnswers(7, GOOD)]),
        ("responses", 0, "user"),
        "There is no user usr_7",
    ),
]


async def test_a_bad_record_is_named_and_the_good_ones_are_kept(book: Book, subtests: pytest.Subtests) -> None:
    good = 0
    for item, path, message in BAD:
        with subtests.test(path=path, message=message):
            results = await book.add_some([record(good), item, record(good + 1)])
            good += 2
            assert outcomes(results) == [ADDED, REFUSED, ADDED]
            (error,) = results[1].errors
            assert error.path == ("records", 1, *path)
            assert message in error.message
            assert await book.rows("SELECT count(*) FROM record") == [(good,)]


FIELD_VALUES: list[tuple[FieldType, Any, str | None]] = [
    (FieldType.TEXT, "", None),
    (FieldType.CHAT, [{"role": "user", "content": "Hi"}], None),
    (FieldType.CHAT, "Hi", "is not a list of messages"),
    (FieldType.CHAT, [{"role": "user"}], "Message 0 is"),
    (FieldType.CHAT, [{"role": "user", "content": "a"}, {"role": "", "content": "b"}], "Message 1:"),
    (FieldType.CHAT, [{"role": "user", "content": None}], "null is not a string"),
    (FieldType.IMAGE, "https://example.com/a.png", None),
    (FieldType.IMAGE, "data:image/png;base64,iVBOR", None),
    (FieldType.IMAGE, "data:text/html,<script>", "is no image"),
    (FieldType.IMAGE, "javascript:alert(1)", "is no image"),
    (FieldType.IMAGE, "https://example.com/" + "a" * 2048, "2,068 characters"),
    (FieldType.IMAGE, {"url": "x"}, "is not a string"),
    (FieldType.CUSTOM, {"any": ["thing", 1]}, None),
    (FieldType.CUSTOM, {"any": ["a\0"]}, "NUL"),
]


async def test_each_type_of_field_is_checked(book: Book, subtests: pytest.Subtests) -> None:
    fields = [FieldInput(type_.name.lower(), type_, required=False) for type_ in FieldType]
    new = CreateDatasetInput("other", fields, [QuestionInput("q", TextSettings())], book.workspace)
    dataset_id = await book.act("owner", create_dataset, new)
    for type_, value, message in FIELD_VALUES:
        with subtests.test(type_=type_, value=shown(value)):
            item = RecordInput({type_.name.lower(): value})
            (result,) = await book.act("owner", add_records, AddRecordsInput(dataset_id, [item]))
            assert [(message or "") in error.message for error in result.errors] == [True] * bool(message)


async def test_everything_wrong_with_a_record_is_said(book: Book) -> None:
    item = RecordInput({"text": 1, "x": 2}, "", metadata=3)  # type: ignore[arg-type]
    assert errors(await book.add_some([item])) == [
        ("INVALID_INPUT", ("records", 0, "externalId")),
        ("INVALID_INPUT", ("records", 0, "metadata")),
        ("INVALID_INPUT", ("records", 0, "fields", "x")),
        ("INVALID_INPUT", ("records", 0, "fields", "text")),
    ]
    item = record(0, external_id="", suggestions=[SuggestionInput("tone", 9)], responses=[UserAnswers(7, {})])
    assert errors(await book.add_some([item])) == [
        ("INVALID_INPUT", ("records", 0, "externalId")),
        ("INVALID_INPUT", ("records", 0, "suggestions", 0, "value")),
        ("INVALID_INPUT", ("records", 0, "responses", 0, "values", "topic")),
        ("NOT_FOUND", ("records", 0, "responses", 0, "user")),
    ]


async def test_of_two_items_with_one_key_the_later_is_refused(book: Book) -> None:
    items = [
        RecordInput({"text": 1}, "a"),
        record(0, external_id="a"),
        record(1, external_id="a"),
        RecordInput({"text": ""}),
    ]
    results = await book.add_some([*items, items[3]], OnConflict.UPDATE)
    assert outcomes(results) == [REFUSED, ADDED, REFUSED, ADDED, ADDED]
    assert errors(results)[1:] == [("DUPLICATE_ITEM", ("records", 2, "externalId"))]


@pytest.mark.parametrize(
    ("on_conflict", "outcome", "text"),
    [
        (OnConflict.ERROR, REFUSED, "passage 0"),
        (OnConflict.SKIP, SKIPPED, "passage 0"),
        (OnConflict.UPDATE, UPDATED, "new"),
    ],
)
async def test_a_key_that_is_there(book: Book, on_conflict: OnConflict, outcome: Outcome, text: str) -> None:
    (stored,) = await book.add([record(0, metadata={"year": 1})])
    await book.submit("ada", stored)
    before = await book.rows("SELECT changed FROM record")
    results = await book.add_some([RecordInput({"text": "new"}, "p0"), record(1)], on_conflict)
    assert outcomes(results) == [outcome, ADDED]
    assert results[0].record_id == (None if outcome is REFUSED else stored)
    assert errors(results) == ([("DUPLICATE", ("records", 0, "externalId"))] if outcome is REFUSED else [])
    assert (await book.rows(STORED))[0] == ("p0", f'{{"text":"{text}"}}', '{"year":1}')
    after = await book.rows("SELECT changed FROM record WHERE external_id = 'p0'")
    assert (after > before) == (outcome is UPDATED)
    assert await book.state(stored) == ("COMPLETED", 1)


async def test_an_update_replaces_what_it_has(book: Book) -> None:
    first = [SuggestionInput("topic", "war", 0.1, "m1"), SuggestionInput("tone", 1)]
    (stored,) = await book.add([record(0, metadata={"year": 1}, suggestions=first)])
    again = record(0, metadata={"year": 2}, suggestions=[SuggestionInput("topic", "peace", 1, "m2")])
    assert await book.add([again], OnConflict.UPDATE) == [stored]
    assert await book.rows(SUGGESTED) == [
        (stored, "tone", "1", None, None),
        (stored, "topic", '"peace"', 1.0, "m2"),
    ]
    assert (await book.rows(STORED))[0][2] == '{"year":2}'


async def test_without_an_external_id_the_content_is_the_key(book: Book) -> None:
    def item(text: str, **metadata: Any) -> RecordInput:
        return RecordInput({"text": text}, metadata=metadata, content_hash=content_hash({"text": text}, metadata))

    items = [item("a", page=1), item("a", page=2), item("a", page=1)]
    results = await book.add_some(items, OnConflict.SKIP)
    assert outcomes(results) == [ADDED, ADDED, REFUSED]
    assert errors(results) == [("DUPLICATE_ITEM", ("records", 2))]
    again = await book.add_some(items[:2], OnConflict.SKIP)
    assert [result.record_id for result in again] == [result.record_id for result in results[:2]]
    assert errors(await book.add_some(items[:1])) == [("DUPLICATE", ("records", 0))]
    assert outcomes(await book.add_some(items[:1], OnConflict.UPDATE)) == [UPDATED]
    assert outcomes(await book.add_some([RecordInput({"text": "a"}), RecordInput({"text": "a"})])) == [ADDED, ADDED]


def test_the_content_hash_does_not_depend_on_the_order() -> None:
    assert content_hash({"a": 1, "b": 2}, None) == content_hash({"b": 2, "a": 1}, {})
    assert content_hash({"a": 1}, {"b": 2}) != content_hash({"a": 1}, {"b": 3})


async def test_an_import_brings_the_answers_of_several_people(book: Book) -> None:
    await book.act("owner", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=2))
    ada, ben, cyd = (book.users[name].id for name in ("ada", "ben", "cyd"))
    both = [UserAnswers(ada, GOOD), UserAnswers(ben, {"topic": "peace"})]
    drafts = [UserAnswers(ada, None, ResponseStatus.DRAFT), UserAnswers(cyd, {}, ResponseStatus.DISCARDED)]
    first, second = await book.add([record(0, responses=both), record(1, responses=drafts)])
    assert await book.state(first) == ("COMPLETED", 2)
    assert await book.state(second) == ("PENDING", 0)
    await book.add([record(0, responses=drafts), record(1, responses=both)], OnConflict.SKIP)
    assert await book.state(second) == ("PENDING", 0)
    await book.add([record(0, responses=drafts), record(1, responses=both)], OnConflict.UPDATE)
    assert await book.state(first) == ("PENDING", 1)
    assert await book.state(second) == ("COMPLETED", 2)
    assert await book.rows(
        'SELECT user_id, status, CAST("values" AS text) FROM response WHERE record_id = :id ORDER BY user_id', id=first
    ) == [
        (ada, "DRAFT", '{"topic":"war","tone":3}'),
        (ben, "SUBMITTED", '{"topic":"peace"}'),
        (cyd, "DISCARDED", "{}"),
    ]
    assert await book.drift() == []


async def test_imported_answers_are_checked(book: Book) -> None:
    ada = book.users["ada"].id
    results = await book.add_some(
        [
            record(0, responses=[UserAnswers(ada, {"topic": "sports"})]),
            record(1, responses=[UserAnswers(ada, GOOD), UserAnswers(ada, GOOD)]),
            record(2, responses=[UserAnswers(ada, {})]),
        ]
    )
    assert errors(results) == [
        ("INVALID_INPUT", ("records", 0, "responses", 0, "values", "topic")),
        ("DUPLICATE_ITEM", ("records", 1, "responses", 1, "user")),
        ("INVALID_INPUT", ("records", 2, "responses", 0, "values", "topic")),
    ]
    assert await book.rows("SELECT count(*) FROM record") == [(0,)]


async def test_who_may_add_records(book: Book) -> None:
    batch = AddRecordsInput(book.dataset, [record(0)])
    assert (await book.refused("ada", add_records, batch)).code == "FORBIDDEN"
    hidden = await book.refused("stranger", add_records, batch)
    missing = await book.refused("admin", add_records, AddRecordsInput(7, []))
    assert (hidden.code, hidden.path) == (missing.code, missing.path) == ("NOT_FOUND", ("datasetId",))
    assert outcomes(await book.act("admin", add_records, batch)) == [ADDED]


async def test_a_batch_has_a_limit(book: Book) -> None:
    error = await book.refused("owner", add_records, AddRecordsInput(book.dataset, [record(0)] * 1001))
    assert (error.code, error.path) == ("LIMIT_EXCEEDED", ("records",))


async def test_only_what_was_written_is_told(book: Book) -> None:
    told: list[frozenset[str]] = []
    book.database.on_commit = told.append
    await book.add([record(0)])
    assert told == [frozenset({dataset_topic(book.dataset)})]
    await book.add([record(0)], OnConflict.SKIP)
    await book.add_some([record(0)])
    assert len(told) == 1
