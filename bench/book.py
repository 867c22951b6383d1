"""The database to measure on: real passages, three people's answers to each, and people who are yet to answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from app.accounts.bootstrap import ensure_workspace
from app.accounts.credentials import insert_key
from app.accounts.tables import Role
from app.accounts.users import NewUser, insert_user
from app.accounts.viewer import Viewer
from app.annotation.datasets import CreateDatasetInput, FieldInput, QuestionInput, create_dataset
from app.annotation.questions import LabelSettings, Option, RatingSettings, TextSettings
from app.annotation.record_items import RecordInput, SuggestionInput, UserAnswers
from app.annotation.records import AddRecordsInput, add_records
from app.annotation.tables import ResponseStatus
from app.db import UnitOfWork
from app.db.migrate import upgrade
from app.services import open_book
from app.settings import load

PASSAGES = Path(__file__).parents[1] / "examples" / "passages.jsonl"
TONES = ("hopeful", "grave", "proud", "plain")
ANSWERED_BY = 3
ANNOTATORS = 24
"""Who submit while it is measured: with 2,500 records 60,000 pairs, so that each submission is a new response."""

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Person:
    """A user with a key."""

    id: int
    name: str
    role: Role
    key: str

    @property
    def viewer(self) -> Viewer:
        """The user as a caller."""
        return Viewer(self.id, self.name, self.role)


@dataclass(frozen=True, slots=True)
class Book:
    """What is in the database: the same ids in every copy of it."""

    dataset_id: int
    record_ids: Sequence[int]
    admin: Person
    annotators: Sequence[Person]


def make_book(url: str) -> Book:
    """Migrate the empty database and fill it."""
    upgrade(url)
    return asyncio.run(fill(url))


async def fill(url: str, most: int | None = None) -> Book:
    """Fill a migrated database, with so many passages at most."""
    chance = random.Random(20)
    passages = [orjson.loads(line) for line in PASSAGES.read_bytes().splitlines()[:most]]
    async with await open_book(load(database_url=url)) as database:
        workspace = await database.transact(ensure_workspace)
        assert workspace is not None
        people = await database.transact(_people, workspace)
        admin, annotators, answering = people[0], people[1 : 1 + ANNOTATORS], people[1 + ANNOTATORS :]
        dataset_id = await database.transact(_dataset, viewer=admin.viewer)
        record_ids: list[int] = []
        for start in range(0, len(passages), _BATCH):
            records = [_record(passage, answering, chance) for passage in passages[start : start + _BATCH]]
            added = await database.transact(add_records, AddRecordsInput(dataset_id, records), viewer=admin.viewer)
            record_ids += [result.record_id for result in added if result.record_id is not None]
    assert len(record_ids) == len(passages)
    return Book(dataset_id, record_ids, admin, annotators)


def _people(uow: UnitOfWork, workspace: int) -> list[Person]:
    names = ["admin", *(f"annotator-{n}" for n in range(ANNOTATORS)), *(f"answering-{n}" for n in range(ANSWERED_BY))]
    people = []
    for name in names:
        role = Role.ADMIN if name == "admin" else Role.ANNOTATOR
        user_id = insert_user(uow, uow.new_id(), NewUser(name, role, workspace_ids=(workspace,)))
        people.append(Person(user_id, name, role, insert_key(uow, user_id, "bench")[1]))
    return people


def _dataset(uow: UnitOfWork) -> int:
    return create_dataset(
        uow,
        CreateDatasetInput(
            name="passages",
            fields=[FieldInput("text")],
            questions=[
                QuestionInput("tone", LabelSettings([Option(tone) for tone in TONES])),
                QuestionInput("clarity", RatingSettings(1, 5)),
                QuestionInput("comment", TextSettings(), required=False),
            ],
            min_submitted=ANSWERED_BY,
        ),
    )


def _record(passage: dict[str, Any], answering: Sequence[Person], chance: random.Random) -> RecordInput:
    return RecordInput(
        fields=passage["fields"],
        external_id=passage["external_id"],
        metadata=passage["metadata"],
        suggestions=[SuggestionInput("tone", chance.choice(TONES), round(chance.random(), 3), "tone-model-2")],
        responses=[UserAnswers(person.id, answers(chance), _status(chance)) for person in answering],
    )


def answers(chance: random.Random) -> dict[str, Any]:
    """What somebody may answer to one record."""
    given: dict[str, Any] = {"tone": chance.choice(TONES), "clarity": chance.randint(1, 5)}
    if chance.random() < 0.3:
        given["comment"] = "The second sentence could be read either way."
    return given


def _status(chance: random.Random) -> ResponseStatus:
    return ResponseStatus.SUBMITTED if chance.random() < 0.9 else ResponseStatus.DRAFT
