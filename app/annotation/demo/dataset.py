"""Making and removing the demo, each in one transaction, by the functions that everybody uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from sqlalchemy import func, select

from app.accounts.tables import Workspace
from app.accounts.users import ensure_annotators, remove_user, users_by_name
from app.annotation.checks import listed
from app.annotation.datasets import CreateDatasetInput, FieldInput, QuestionInput, create_dataset, delete_dataset
from app.annotation.demo.people import PEOPLE, Habits, answers, chance, suggestions
from app.annotation.demo.reading import APPEALS, THEMES, TOPICS
from app.annotation.questions import (
    LabelSettings,
    MultiLabelSettings,
    Option,
    RankingSettings,
    RatingSettings,
    SpanSettings,
    TextSettings,
)
from app.annotation.record_items import RecordInput, UserAnswers
from app.annotation.records import AddRecordsInput, add_records, read_shape
from app.annotation.responses import delete_responses_of_user
from app.annotation.tables import Dataset, Record, RecordStatus, Response, ResponseStatus
from app.db import UnitOfWork
from app.errors import Code, GradbookError

NAME = "demo"
USERNAMES = tuple(person.username for person in PEOPLE)

_MIN_SUBMITTED = 2
_GUIDELINES = """\
Short passages of two kinds: from the State of the Union addresses of 1900 to 1907, in English, and from 道德經 and
論語, in classical Chinese. Read the whole passage before you answer.

- **Topic** is what most of the passage is about; when in doubt, what it would be filed under.
- **Tone** is how it sounds, not how important it is: 1 informs, 3 argues, 5 presses.
- **Themes** may be several. Choose those that a reader would remember.
- **Appeal**: put first what the passage relies on most to convince. Equal ones share a rank.
- **Names** are persons with their titles ("President McKinley"), places, and dates. If there are none, answer with an
  empty list. 子 is a person where it means Confucius.

The answers that are here already are simulated: computed from the texts by simple rules and by habits of each of the
annotators demo-…, so that there is something to disagree about."""
_TEXTS = {
    "economy": "Money, trade and work",
    "foreign": "Other countries",
    "defence": "Army, navy and war",
    "law": "Government and laws",
    "land": "Land and water",
    "conduct": "How to live",
}


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo as it is in the database."""

    dataset_id: int
    workspace: str
    records: int
    completed: int
    responses: int
    of_others: int
    """Of the responses those that real people gave."""


def find_demo(uow: UnitOfWork, workspace_id: int) -> Demo | None:
    """The demo of a workspace. Raises CONFLICT for a dataset of its name that is none."""
    named = (
        select(Dataset.id, Workspace.name)
        .join_from(Dataset, Workspace, Dataset.workspace_id == Workspace.id)
        .where(Dataset.workspace_id == workspace_id, Dataset.name == NAME)
    )
    row = uow.connection.execute(named).first()
    if row is None:
        return None
    asked = {name: question.settings.type for name, question in read_shape(uow, row.id).questions.items()}
    if asked != {question.name: question.settings.type for question in _questions()}:
        message = (
            f"The workspace {row.name!r} has a dataset {NAME!r} that is not the demo: it asks {listed(asked)}. It "
            "stays as it is; rename it to make the demo."
        )
        raise GradbookError(Code.CONFLICT, message)
    records, completed = uow.connection.execute(
        select(func.count(), func.count().filter(Record.status == RecordStatus.COMPLETED)).where(
            Record.dataset_id == row.id
        )
    ).one()
    simulated = list(users_by_name(uow, USERNAMES).values())
    responses, of_others = uow.connection.execute(
        select(func.count(), func.count().filter(Response.user_id.not_in(simulated))).where(
            Response.dataset_id == row.id
        )
    ).one()
    return Demo(row.id, row.name, records, completed, responses, of_others)


def make_demo(uow: UnitOfWork, workspace_id: int) -> Demo:
    """Make the dataset, its annotators and what they answered.

    Raises CONFLICT when a user has the name of one of them, DUPLICATE when the workspace has the dataset.
    """
    taken = users_by_name(uow, USERNAMES)
    if taken:
        message = (
            f"There is a user {listed(sorted(taken))} already, who is not the demo's: rename or remove them first."
        )
        raise GradbookError(Code.CONFLICT, message)
    new = CreateDatasetInput(
        NAME, [FieldInput("text", title="Passage")], _questions(), workspace_id, _GUIDELINES, _MIN_SUBMITTED
    )
    dataset_id = create_dataset(uow, new)
    people = ensure_annotators(uow, USERNAMES, workspace_id)
    records = [_record(passage, people) for passage in passages()]
    results = add_records(uow, AddRecordsInput(dataset_id, records), limit=len(records))
    wrong = [error for result in results for error in result.errors]
    if wrong:
        raise wrong[0]
    demo = find_demo(uow, workspace_id)
    assert demo is not None
    return demo


def remove_demo(uow: UnitOfWork, demo: Demo) -> None:
    """Delete the dataset with everybody's answers about it, and its annotators with all that they have."""
    delete_dataset(uow, demo.dataset_id)
    for user_id in users_by_name(uow, USERNAMES).values():
        remove_user(uow, user_id, delete_responses_of_user)


@cache
def passages() -> tuple[dict[str, Any], ...]:
    """The passages as lines of an import: externalId, fields, metadata with language, source and author."""
    text = (files("app.annotation.demo") / "passages.jsonl").read_bytes()
    return tuple(orjson.loads(line) for line in text.splitlines())


def _record(passage: dict[str, Any], people: dict[str, int]) -> RecordInput:
    key, text = passage["externalId"], passage["fields"]["text"]
    responses = [
        UserAnswers(people[person.username], values, status) for person, values, status in _responses(key, text)
    ]
    return RecordInput(passage["fields"], key, passage["metadata"], suggestions(key, text), responses=responses)


def _responses(key: str, text: str) -> Iterator[tuple[Habits, dict[str, Any], ResponseStatus]]:
    """Who has answered about a passage so far: nobody, one, or as many as complete it; here and there one too many."""
    order = sorted(PEOPLE, key=lambda person: chance(key, "turn", person.username))
    progress = chance(key, "progress")
    submitted = 3 if progress < 0.06 else 2 if progress < 0.42 else 1 if progress < 0.66 else 0
    for person in order[:submitted]:
        yield person, answers(person, key, text), ResponseStatus.SUBMITTED
    later = order[submitted]
    if chance(key, "draft") < 0.12:
        begun = answers(later, key, text)
        yield later, {name: begun[name] for name in ("topic", "tone")}, ResponseStatus.DRAFT
    elif chance(key, "discard") < 0.08:
        yield later, {"comment": "I cannot tell."}, ResponseStatus.DISCARDED


def _questions() -> list[QuestionInput]:
    topics = tuple(Option(value, _TEXTS[value]) for value in TOPICS)
    labels = (Option("PERSON", "Person"), Option("PLACE", "Place"), Option("DATE", "Date"))
    return [
        QuestionInput("topic", LabelSettings(topics), "What is the passage about?"),
        QuestionInput("tone", RatingSettings(1, 5), "How does it sound?", "1 informs, 3 argues, 5 presses."),
        QuestionInput(
            "themes", MultiLabelSettings(tuple(map(Option, THEMES))), "Which themes does it touch?", required=False
        ),
        QuestionInput(
            "appeal",
            RankingSettings(tuple(map(Option, APPEALS)), allow_ties=True),
            "What does it appeal to?",
            "The strongest first; equal ones share a rank.",
        ),
        QuestionInput(
            "names",
            SpanSettings("text", labels),
            "Which persons, places and dates does it name?",
            "An empty list says that there are none.",
        ),
        QuestionInput("comment", TextSettings(500), "Anything else?", required=False),
    ]
