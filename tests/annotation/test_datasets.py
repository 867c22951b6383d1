"""Datasets are made and changed; a new threshold reaches every record."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from app.annotation.checks import errors_of
from app.annotation.datasets import (
    CreateDatasetInput,
    FieldInput,
    QuestionInput,
    UpdateDatasetInput,
    create_dataset,
    delete_dataset,
    update_dataset,
)
from app.annotation.questions import (
    LabelSettings,
    MultiLabelSettings,
    Option,
    RankingSettings,
    SpanSettings,
    TextSettings,
)
from app.annotation.record_items import SuggestionInput
from app.annotation.tables import FieldType
from app.annotation.topics import dataset_topic
from app.errors import GradbookError
from tests.annotation.book import QUESTIONS as QUESTIONS_OF_BOOK
from tests.annotation.book import Book, record

FIELDS = [FieldInput("text"), FieldInput("image", FieldType.IMAGE, "Picture", required=False)]
OPTIONS = (Option("a", "A"), Option("b"))
QUESTIONS = [
    QuestionInput("label", LabelSettings(OPTIONS), "Which?", "Look twice."),
    QuestionInput("tags", MultiLabelSettings(OPTIONS), required=False),
]


async def test_a_dataset_is_stored_as_given(book: Book) -> None:
    new = CreateDatasetInput("letters", FIELDS, QUESTIONS, book.workspace, "Read *all*.", 3)
    dataset_id = await book.act("admin", create_dataset, new)
    where = "WHERE dataset_id = :id ORDER BY position"
    assert await book.rows(
        "SELECT name, workspace_id, guidelines, min_submitted FROM dataset WHERE id = :id", id=dataset_id
    ) == [("letters", book.workspace, "Read *all*.", 3)]
    assert await book.rows(f"SELECT position, name, title, type, required FROM field {where}", id=dataset_id) == [
        (0, "text", "text", "TEXT", True),
        (1, "image", "Picture", "IMAGE", False),
    ]
    columns = "name, title, description, required, type, CAST(settings AS text)"
    settings = '{"options":[{"value":"a","text":"A"},{"value":"b"}]}'
    assert await book.rows(f"SELECT {columns} FROM question {where}", id=dataset_id) == [
        ("label", "Which?", "Look twice.", True, "LABEL", settings),
        ("tags", "tags", None, False, "MULTI_LABEL", settings),
    ]


def new(**changes: Any) -> CreateDatasetInput:
    return CreateDatasetInput(**{"name": "letters", "fields": FIELDS, "questions": QUESTIONS} | changes)


async def test_without_a_workspace_the_only_one_is_meant(book: Book) -> None:
    dataset_id = await book.act("admin", create_dataset, new())
    assert await book.rows("SELECT workspace_id FROM dataset WHERE id = :id", id=dataset_id) == [(book.workspace,)]
    error = await book.refused("owner", create_dataset, new())
    assert (error.code, error.path) == ("WORKSPACE_REQUIRED", ("workspaceId",))
    error = await book.refused("admin", create_dataset, new(workspace_id=book.elsewhere))
    assert (error.code, error.path) == ("NOT_FOUND", ("workspaceId",))


async def test_annotators_and_strangers_change_no_dataset(book: Book) -> None:
    assert (await book.refused("ada", create_dataset, new())).code == "FORBIDDEN"
    change = UpdateDatasetInput(book.dataset, name="mine")
    error = await book.refused("ada", update_dataset, change)
    assert (error.code, error.path) == ("FORBIDDEN", ("id",))
    hidden = await book.refused("stranger", update_dataset, change)
    missing = await book.refused("admin", update_dataset, UpdateDatasetInput(7))
    assert (hidden.code, hidden.path) == (missing.code, missing.path) == ("NOT_FOUND", ("id",))


async def test_a_name_is_there_once_in_a_workspace(book: Book) -> None:
    error = await book.refused("admin", create_dataset, new(name="speeches"))
    assert (error.code, error.path) == ("DUPLICATE", ("name",))
    await book.act("owner", create_dataset, new(name="speeches", workspace_id=book.elsewhere))
    other = await book.act("admin", create_dataset, new())
    error = await book.refused("admin", update_dataset, UpdateDatasetInput(other, name="speeches", min_submitted=2))
    assert (error.code, error.path) == ("DUPLICATE", ("name",))
    assert await book.rows("SELECT name, min_submitted FROM dataset WHERE id = :id", id=other) == [("letters", 1)]


WRONG: list[tuple[dict[str, Any], tuple[Any, ...], str]] = [
    ({"name": ""}, ("name",), "Dataset name '' is empty"),
    ({"min_submitted": 0}, ("minSubmitted",), "0 is not a number of responses from 1 to 1,000"),
    ({"min_submitted": True}, ("minSubmitted",), "true is not"),
    ({"guidelines": "x" * 50_001}, ("guidelines",), "50,001 characters: at most 50,000 are allowed"),
    ({"guidelines": "a\0"}, ("guidelines",), "NUL"),
    ({"fields": []}, ("fields",), "There are 0 fields: give 1 to 50"),
    ({"questions": []}, ("questions",), "There are 0 questions: give 1 to 50"),
    ({"fields": [FieldInput("a"), FieldInput("a")]}, ("fields", 1, "name"), 'two fields "a"'),
    ({"fields": [FieldInput("two words")]}, ("fields", 0, "name"), 'A field cannot be named "two words"'),
    ({"fields": [FieldInput("a\u0308")]}, ("fields", 0, "name"), "NFC"),
    ({"fields": [FieldInput("text", title="")]}, ("fields", 0, "title"), '"" has 0 characters: use 1 to 500'),
    (
        {"questions": [QuestionInput("q", TextSettings(0))]},
        ("questions", 0, "settings", "text", "maxLength"),
        "0 is not a whole number",
    ),
    (
        {"questions": [QuestionInput("q", RankingSettings(OPTIONS[:1]))]},
        ("questions", 0, "settings", "ranking", "options"),
        "There are 1 options: give 2 to 50.",
    ),
    (
        {"questions": [QuestionInput("q", TextSettings()), QuestionInput("r", SpanSettings("txt", OPTIONS))]},
        ("questions", 1, "settings", "span", "field"),
        'There is no field "txt": spans are marked in a TEXT field, of which there is "text".',
    ),
    (
        {"questions": [QuestionInput("q", SpanSettings("image", OPTIONS))]},
        ("questions", 0, "settings", "span", "field"),
        'The field "image" is IMAGE: spans are marked in a TEXT field, of which there is "text".',
    ),
]


async def test_what_is_wrong_is_named_by_path(book: Book, subtests: pytest.Subtests) -> None:
    for changes, path, message in WRONG:
        with subtests.test(path=path, message=message):
            error = await book.refused("admin", create_dataset, new(**changes))
            assert (error.code, error.path) == ("INVALID_INPUT", path)
            assert message in error.message


async def test_all_that_is_wrong_is_said_at_once(book: Book) -> None:
    error = await book.refused("admin", create_dataset, new(name=" a", fields=[], min_submitted=-1))
    assert [one.path for one in errors_of(error)] == [("name",), ("minSubmitted",), ("fields",)]


async def test_names_may_be_in_any_script(book: Book) -> None:
    names = ["text", "Text_2", "input-text", "文本", "été"]
    await book.act("admin", create_dataset, new(fields=[FieldInput(name) for name in names]))


async def test_an_update_changes_what_it_names(book: Book) -> None:
    select = "SELECT name, guidelines, min_submitted FROM dataset"
    await book.act("admin", update_dataset, UpdateDatasetInput(book.dataset, guidelines="Read."))
    assert await book.rows(select) == [("speeches", "Read.", 1)]
    await book.act("admin", update_dataset, UpdateDatasetInput(book.dataset, "talks", min_submitted=2))
    assert await book.rows(select) == [("talks", "Read.", 2)]
    await book.act("admin", update_dataset, UpdateDatasetInput(book.dataset, guidelines=None))
    assert await book.rows(select) == [("talks", None, 2)]
    error = await book.refused("admin", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=1001))
    assert error.path == ("minSubmitted",)


async def test_a_new_threshold_reaches_every_record(book: Book) -> None:
    first, second, third = await book.add(3)
    await book.submit("ada", first)
    await book.submit("ben", first)
    await book.submit("ada", second)
    for threshold, statuses in [
        (2, ["COMPLETED", "PENDING", "PENDING"]),
        (3, ["PENDING", "PENDING", "PENDING"]),
        (1, ["COMPLETED", "COMPLETED", "PENDING"]),
    ]:
        await book.act("admin", update_dataset, UpdateDatasetInput(book.dataset, min_submitted=threshold))
        assert [(await book.state(record_id))[0] for record_id in (first, second, third)] == statuses
        assert await book.rows("SELECT DISTINCT required FROM record") == [(threshold,)]
        assert await book.drift() == []


async def test_the_same_threshold_touches_no_record(book: Book) -> None:
    await book.add(1)
    before = await book.rows("SELECT changed, updated_at FROM record")
    await book.act("admin", update_dataset, UpdateDatasetInput(book.dataset, "renamed", min_submitted=1))
    assert await book.rows("SELECT changed, updated_at FROM record") == before


async def test_a_dataset_goes_with_all_that_is_in_it(book: Book) -> None:
    kept = [record(n, suggestions=[SuggestionInput("topic", "war")]) for n in range(2)]
    await book.add(kept)
    other = replace(book, dataset=await book.act("admin", create_dataset, new(questions=QUESTIONS_OF_BOOK)))
    for record_id in await other.add(kept):
        for who in ("ada", "ben"):
            await other.submit(who, record_id)
    told: list[frozenset[str]] = []
    book.database.on_commit = told.append
    await book.act("admin", delete_dataset, other.dataset)
    assert told == [frozenset({dataset_topic(other.dataset)})]
    for table, count in (("dataset", 1), ("record", 2), ("suggestion", 2), ("response", 0), ("question", 2)):
        assert await book.rows(f"SELECT count(*) FROM {table}") == [(count,)], table
    assert await book.drift() == []
    for who in ("admin", "owner"):
        error = await book.refused(who, delete_dataset, other.dataset)
        assert (error.code, error.path) == ("NOT_FOUND", ("id",))


async def test_who_may_delete_a_dataset(book: Book) -> None:
    error = await book.refused("ada", delete_dataset, book.dataset)
    assert (error.code, error.path) == ("FORBIDDEN", ("id",))
    assert error.message == ("Only an ADMIN of the workspace or an OWNER may delete this dataset; you are ANNOTATOR.")
    assert (await book.refused("stranger", delete_dataset, book.dataset)).code == "NOT_FOUND"


async def test_whoever_writes_while_the_dataset_goes_waits_or_is_told(book: Book) -> None:
    """Answers and records that come first are deleted too; later ones find nothing. Nobody waits in a circle."""
    records = await book.add(20)
    people = await book.annotators(4)
    transient: list[str] = []
    backend = book.database.backend
    is_transient = backend.is_transient

    def noted(error: BaseException) -> bool:
        transient.extend([repr(error)] * is_transient(error))
        return is_transient(error)

    backend.is_transient = noted  # type: ignore[method-assign]

    async def answer(who: str) -> None:
        for record_id in records:
            with suppress_not_found():
                await book.submit(who, record_id)

    async def add(first: int) -> None:
        for number in range(first, first + 10):
            with suppress_not_found():
                await book.add([record(number)])

    async def delete() -> None:
        await asyncio.sleep(0.05)
        await book.act("owner", delete_dataset, book.dataset)

    await asyncio.gather(*map(answer, people), add(100), add(200), delete())
    for table in ("dataset", "record", "response"):
        assert await book.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert transient == []


@contextmanager
def suppress_not_found() -> Iterator[None]:
    try:
        yield
    except GradbookError as error:
        if error.code != "NOT_FOUND":
            raise
