"""The demo: answers of every type that disagree, the same wherever it is made, and gone without a trace."""

from dataclasses import replace

import pytest

from app.annotation.datasets import CreateDatasetInput, FieldInput, QuestionInput, create_dataset
from app.annotation.demo import dataset as demo
from app.annotation.demo.people import PEOPLE, answers, suggestions
from app.annotation.demo.reading import read
from app.annotation.questions import TextSettings
from app.annotation.tables import QuestionType
from app.annotation.transfer.exporting import export_records
from tests.annotation.book import Book

TABLES = ("dataset", "field", "question", "record", "suggestion", "response", "credential", "membership")


async def counted(book: Book) -> dict[str, int]:
    return {table: (await book.rows(f"SELECT count(*) FROM {table}"))[0][0] for table in TABLES}


async def exported(book: Book, dataset_id: int) -> bytes:
    return b"".join([line async for page in export_records(book.database, dataset_id) for line in page])


async def test_it_comes_whole_and_goes_whole(book: Book) -> None:
    (kept,) = await book.add(1)
    before = await counted(book)
    made = await book.act("operator", demo.make_demo, book.workspace)
    assert await book.act("operator", demo.find_demo, book.workspace) == made
    assert await book.drift() == []
    assert (made.records, made.of_others) == (len(demo.passages()), 0)
    assert 0.3 < made.completed / made.records < 0.5
    statuses = dict(await book.rows("SELECT status, count(*) FROM response GROUP BY status"))
    assert statuses.keys() == {"SUBMITTED", "DRAFT", "DISCARDED"}
    assert min(statuses.values()) >= 5
    ((first,),) = await book.rows("SELECT min(id) FROM record WHERE dataset_id = :id", id=made.dataset_id)
    values = {"topic": "law", "tone": 1, "appeal": answers(PEOPLE[0], "", "")["appeal"], "names": []}
    await book.submit("ada", first, values)
    found = await book.act("operator", demo.find_demo, book.workspace)
    assert found == replace(made, responses=made.responses + 1, of_others=1, completed=found.completed)
    await book.act("operator", demo.remove_demo, found)
    assert await counted(book) == before
    assert await book.act("operator", demo.find_demo, book.workspace) is None
    assert await book.state(kept) == ("PENDING", 0)
    names = {name for (name,) in await book.rows("SELECT username FROM user_account WHERE deleted_at IS NULL")}
    assert not names & set(demo.USERNAMES)
    again = await book.act("operator", demo.make_demo, book.workspace)
    assert (again.completed, again.responses) == (made.completed, made.responses)
    await book.act("operator", demo.remove_demo, again)


async def test_it_is_the_same_wherever_it_is_made(book: Book) -> None:
    made = await book.act("operator", demo.make_demo, book.workspace)
    first = await exported(book, made.dataset_id)
    await book.act("operator", demo.remove_demo, made)
    again = await book.act("operator", demo.make_demo, book.elsewhere)
    assert await exported(book, again.dataset_id) == first


async def test_another_dataset_of_its_name_stays(book: Book) -> None:
    new = CreateDatasetInput("demo", [FieldInput("text")], [QuestionInput("note", TextSettings())], book.workspace)
    await book.act("owner", create_dataset, new)
    error = await book.refused("operator", demo.find_demo, book.workspace)
    assert (error.code, 'is not the demo: it asks "note"' in error.message) == ("CONFLICT", True)


async def test_a_real_user_is_not_taken_for_one_of_its_own(book: Book) -> None:
    await book.rows("SELECT 1")
    made = await book.act("operator", demo.make_demo, book.workspace)
    error = await book.refused("operator", demo.make_demo, book.elsewhere)
    assert (error.code, '"demo-ann"' in error.message) == ("CONFLICT", True)
    assert await book.act("operator", demo.find_demo, book.workspace) == made


def test_passages_are_in_two_languages_and_name_their_source() -> None:
    passages = demo.passages()
    languages = [passage["metadata"]["language"] for passage in passages]
    assert languages.count("zh-Hant") >= 20
    assert len(languages) - languages.count("zh-Hant") == languages.count("en") >= 150
    assert all(passage["metadata"]["source"] and passage["metadata"]["author"] for passage in passages)
    assert len({passage["externalId"] for passage in passages}) == len(passages)


def test_questions_are_of_every_type_and_each_is_suggested() -> None:
    questions = demo._questions()
    assert {question.settings.type for question in questions} == set(QuestionType)
    suggested = [suggestions(passage["externalId"], passage["fields"]["text"]) for passage in demo.passages()]
    assert {one.question for several in suggested for one in several} == {question.name for question in questions}
    assert all(one.score and 0.5 <= one.score < 1 for several in suggested for one in several)


@pytest.mark.parametrize("question", ["topic", "tone", "themes", "appeal", "names"])
def test_people_agree_often_and_not_always(question: str) -> None:
    one, other, agreed = PEOPLE[0], PEOPLE[2], 0
    for passage in demo.passages():
        key, text = passage["externalId"], passage["fields"]["text"]
        agreed += answers(one, key, text)[question] == answers(other, key, text)[question]
    assert 0.3 < agreed / len(demo.passages()) < 0.97


def test_names_are_read_from_the_text() -> None:
    def named(text: str) -> list[tuple[str, str]]:
        return [(text[start:end], label) for start, end, label in read(text).names]

    assert named("On March 4, 1901, President McKinley spoke of Cuba and Cubans, 1,900 of them.") == [
        ("March 4, 1901", "DATE"),
        ("President McKinley", "PERSON"),
        ("Cuba", "PLACE"),
    ]
    assert named("子適衛，冉有僕。子曰：「庶矣哉！」") == [
        ("子", "PERSON"),
        ("衛", "PLACE"),
        ("冉有", "PERSON"),
        ("子", "PERSON"),
    ]
