"""Datasets: what records consist of, what is asked about them, and how many answers they need."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, Final, Literal

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from app.accounts.audit import Event, audit, change
from app.accounts.names import checked_name
from app.accounts.tables import AuditAction, Role
from app.accounts.workspaces import chosen_workspace
from app.annotation import scope
from app.annotation.checks import (
    MAX_TITLE,
    errors_of,
    invalid,
    name_problems,
    raise_errors,
    shown,
    text_problem,
)
from app.annotation.questions import QuestionSettings, is_int
from app.annotation.responses import delete_responses_of_dataset
from app.annotation.sql import CHANGE, LOCK, dataset_turn, statement, status
from app.annotation.tables import Dataset, Field, FieldType, Question, Snapshot
from app.annotation.topics import dataset_topic
from app.db import UnitOfWork
from app.db.statement import Statement
from app.db.types import Snowflake
from app.errors import Code, GradbookError

MAX_FIELDS = 50
MAX_QUESTIONS = 50
MAX_GUIDELINES = 50_000  # characters
MAX_DESCRIPTION = 5_000  # characters
MAX_MIN_SUBMITTED = 1_000

_PARTS = ("suggestion", "record", "question", "field")  # of a dataset, children first


class _Keep(enum.Enum):
    KEEP = "keep"


KEEP: Final = _Keep.KEEP
"""What an update leaves as it is, where None would remove it."""


@dataclass(frozen=True, slots=True)
class FieldInput:
    """A field of a new dataset; the title is the name if there is none."""

    name: str
    type: FieldType = FieldType.TEXT
    title: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class QuestionInput:
    """A question of a new dataset; the title is the name if there is none."""

    name: str
    settings: QuestionSettings
    title: str | None = None
    description: str | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class CreateDatasetInput:
    """A new dataset, in the viewer's only workspace if none is named."""

    name: str
    fields: Sequence[FieldInput]
    questions: Sequence[QuestionInput]
    workspace_id: int | None = None
    guidelines: str | None = None
    min_submitted: int = 1


@dataclass(frozen=True, slots=True)
class UpdateDatasetInput:
    """What is to be changed of a dataset; None leaves name and threshold as they are and removes the guidelines."""

    id: int
    name: str | None = None
    guidelines: str | Literal[_Keep.KEEP] | None = KEEP
    min_submitted: int | None = None


def create_dataset(uow: UnitOfWork, new: CreateDatasetInput) -> int:
    """Make a dataset with its fields and questions and return the id.

    Raises FORBIDDEN for an ANNOTATOR, WORKSPACE_REQUIRED, NOT_FOUND for the workspace, INVALID_INPUT with all that is
    wrong, and DUPLICATE when the workspace has a dataset of this name.
    """
    _demand_manager(uow, "create a dataset")
    raise_errors(list(_problems(new)))
    workspace_id = chosen_workspace(uow, new.workspace_id)
    dataset_id = uow.new_id()
    row = {
        "id": dataset_id,
        "workspace_id": workspace_id,
        "name": checked_name(new.name, "Dataset name"),
        "guidelines": new.guidelines,
        "min_submitted": new.min_submitted,
        "created_at": uow.now,
        "updated_at": uow.now,
    }
    on = postgresql if uow.dialect_name == "postgresql" else sqlite
    with uow.marked("dataset"):
        made = uow.connection.execute(on.insert(Dataset).values(row).on_conflict_do_nothing().returning(Dataset.id))
    if made.first() is None:
        raise _taken(new.name)
    uow.connection.execute(insert(Field).values(_field_rows(uow, dataset_id, new.fields)))
    uow.connection.execute(insert(Question).values(_question_rows(uow, dataset_id, new.questions)))
    uow.publish(dataset_topic(dataset_id))
    return dataset_id


def update_dataset(uow: UnitOfWork, changes: UpdateDatasetInput) -> None:
    """Change a dataset. A new threshold sets every record's status, in the same transaction.

    Raises NOT_FOUND, FORBIDDEN for an ANNOTATOR, INVALID_INPUT, DUPLICATE.
    """
    stored = lock_dataset(uow, changes.id, "id")
    raise_errors(list(_change_problems(changes)))
    values: dict[str, Any] = {}
    if changes.name is not None:
        values["name"] = checked_name(changes.name, "Dataset name")
    if changes.guidelines is not KEEP:
        values["guidelines"] = changes.guidelines
    if changes.min_submitted is not None and changes.min_submitted != stored.min_submitted:
        values["min_submitted"] = changes.min_submitted
        _set_required(uow, stored.id, changes.min_submitted)
        details = {"minSubmitted": change(stored.min_submitted, changes.min_submitted)}
        audit(uow, Event(AuditAction.THRESHOLD_CHANGED, f"dst_{stored.id}", stored.name, details))
    if not values:
        return
    # Last: a new name locks the row against the foreign keys of responses that are being written, whose records would
    # be waited for here. By now those records are ours.
    try:
        with uow.marked("dataset"):
            uow.connection.execute(update(Dataset).where(Dataset.id == stored.id).values(updated_at=uow.now, **values))
    except IntegrityError:
        raise _taken(values.get("name")) from None
    uow.publish(dataset_topic(stored.id))


def delete_dataset(uow: UnitOfWork, dataset_id: int) -> None:
    """Delete a dataset with its records and everybody's answers about them, in one transaction.

    The number of statements is constant; on SQLite nobody else writes meanwhile. Raises NOT_FOUND, FORBIDDEN for an
    ANNOTATOR, and CONFLICT for a dataset with snapshots, which say what was trained on.
    """
    stored = lock_dataset(uow, dataset_id, "id", to="delete")
    of_dataset = Snapshot.dataset_id == stored.id
    if count := uow.connection.execute(select(func.count()).select_from(Snapshot).where(of_dataset)).scalar_one():
        message = f"This dataset has {count:,} snapshots, which say what models are trained on: it cannot be deleted."
        raise GradbookError(Code.CONFLICT, message, ("id",))
    turn, lock, *writes = _delete_statements(uow.dialect_name)
    # Before the records, as the queue does: reservations refer to records that it has not locked.
    uow.fetch(*turn.on(uow.dialect, dataset_id=stored.id))
    # In the order of ids, as writers of responses lock them: who was first is waited for, who comes later finds none.
    [(records,)] = uow.fetch(*lock.on(uow.dialect, dataset_id=stored.id))
    delete_responses_of_dataset(uow, stored.id)
    for write in writes:
        uow.fetch(*write.on(uow.dialect, dataset_id=stored.id))
    gone = {"workspace": f"wsp_{stored.workspace_id}", "records": records}
    audit(uow, Event(AuditAction.DATASET_DELETED, f"dst_{stored.id}", stored.name, gone))
    uow.publish(dataset_topic(stored.id))


@dataclass(frozen=True, slots=True)
class StoredDataset:
    """A dataset that the viewer may write to."""

    id: int
    workspace_id: int
    name: str
    min_submitted: int


def lock_dataset(
    uow: UnitOfWork, dataset_id: int, *path: str, share: bool = False, to: str = "change"
) -> StoredDataset:
    """The dataset, its row locked: with `share` its threshold stays as it is while others may share it.

    `to` says what for. Raises NOT_FOUND, and FORBIDDEN for an ANNOTATOR.
    """
    viewer, dataset = uow.viewer, Dataset.__table__
    # FOR SHARE, or FOR NO KEY UPDATE: the foreign keys of responses do not wait for the latter.
    lock = (
        select(dataset.c.id, dataset.c.workspace_id, dataset.c.name, dataset.c.min_submitted)
        .where(dataset.c.id == dataset_id, scope.dataset(dataset, viewer.kind))
        .with_for_update(read=share, key_share=not share)
    )
    row = uow.connection.execute(lock, {"viewer_id": viewer.id}).first()
    if row is None:
        raise GradbookError(Code.NOT_FOUND, f"There is no dataset dst_{dataset_id} that you can see.", path)
    _demand_manager(uow, f"{to} this dataset", *path)
    return StoredDataset(*row)


def _set_required(uow: UnitOfWork, dataset_id: int, required: int) -> None:
    """The threshold on every record, with the status that follows. The dataset's row is locked: none can be added."""
    lock, write = _required_statements(uow.dialect_name)
    if lock is not None:  # in the order of ids, as writers of responses lock them
        uow.fetch(*lock.on(uow.dialect, dataset_id=dataset_id))
    with uow.marked("record"):
        uow.fetch(*write.on(uow.dialect, dataset_id=dataset_id, required=required, now=uow.now))


@cache
def _required_statements(dialect_name: str) -> tuple[Statement | None, Statement]:
    lock = LOCK[dialect_name]
    records = f"SELECT id FROM record WHERE dataset_id = :dataset_id ORDER BY id {lock}"
    write = statement(f"""
        UPDATE record SET required = :required, status = {status("submitted_count", "CAST(:required AS integer)")},
        updated_at = :now, changed = {CHANGE[dialect_name]}
        WHERE dataset_id = :dataset_id""")
    return statement(f"SELECT count(*) FROM ({records}) AS locked") if lock else None, write


@cache
def _delete_statements(dialect_name: str) -> Sequence[Statement]:
    # What belongs to a record and is nobody's word (search index, reservations) goes with it by its foreign key.
    lock = "FOR UPDATE" if LOCK[dialect_name] else ""
    records = f"SELECT id FROM record WHERE dataset_id = :dataset_id ORDER BY id {lock}"
    this = Dataset.id == bindparam("dataset_id", type_=Snowflake)
    return [
        Statement(select(dataset_turn()).select_from(Dataset).where(this)),
        statement(f"SELECT count(*) FROM ({records}) AS locked"),
        *(statement(f"DELETE FROM {table} WHERE dataset_id = :dataset_id") for table in _PARTS),
        statement("DELETE FROM dataset WHERE id = :dataset_id"),
    ]


def _demand_manager(uow: UnitOfWork, what: str, *path: str) -> None:
    # What an ADMIN can see is in a workspace of theirs.
    if uow.viewer.role is Role.ANNOTATOR:
        message = f"Only an ADMIN of the workspace or an OWNER may {what}; you are ANNOTATOR."
        raise GradbookError(Code.FORBIDDEN, message, path)


def _taken(name: str | None) -> GradbookError:
    return GradbookError(Code.DUPLICATE, f"The workspace has a dataset {shown(name)} already.", ("name",))


def _field_rows(uow: UnitOfWork, dataset_id: int, fields: Sequence[FieldInput]) -> list[dict[str, Any]]:
    return [
        {
            "id": uow.new_id(),
            "dataset_id": dataset_id,
            "position": position,
            "name": field.name,
            "title": field.title or field.name,
            "type": field.type,
            "required": field.required,
        }
        for position, field in enumerate(fields)
    ]


def _question_rows(uow: UnitOfWork, dataset_id: int, questions: Sequence[QuestionInput]) -> list[dict[str, Any]]:
    return [
        {
            "id": uow.new_id(),
            "dataset_id": dataset_id,
            "position": position,
            "name": question.name,
            "title": question.title or question.name,
            "description": question.description,
            "required": question.required,
            "type": question.settings.type,
            "settings": question.settings.to_json(),
        }
        for position, question in enumerate(questions)
    ]


def _problems(new: CreateDatasetInput) -> Iterator[GradbookError]:
    yield from _head_problems(new.name, new.guidelines, new.min_submitted)
    yield from _list_problems(new.fields, "field", MAX_FIELDS)
    yield from _list_problems(new.questions, "question", MAX_QUESTIONS)
    fields = {field.name: field.type for field in new.fields}
    for index, question in enumerate(new.questions):
        problem = question.description and text_problem(question.description, MAX_DESCRIPTION)
        if problem:
            yield invalid(problem, "questions", index, "description")
        for error in chain(question.settings.problems(), question.settings.field_problems(fields)):
            yield error.below("questions", index, "settings", question.settings.key)


def _change_problems(changes: UpdateDatasetInput) -> Iterator[GradbookError]:
    guidelines = None if changes.guidelines is KEEP else changes.guidelines
    yield from _head_problems(changes.name, guidelines, changes.min_submitted)


def _head_problems(name: str | None, guidelines: str | None, min_submitted: int | None) -> Iterator[GradbookError]:
    if name is not None:
        try:
            checked_name(name, "Dataset name")
        except GradbookError as error:
            yield from errors_of(error)
    problem = None if guidelines is None else text_problem(guidelines, MAX_GUIDELINES)
    if problem:
        yield invalid(problem, "guidelines")
    if min_submitted is not None and not (is_int(min_submitted) and 1 <= min_submitted <= MAX_MIN_SUBMITTED):
        message = f"{shown(min_submitted)} is not a number of responses from 1 to {MAX_MIN_SUBMITTED:,}."
        yield invalid(message, "minSubmitted")


def _list_problems(items: Sequence[FieldInput | QuestionInput], what: str, limit: int) -> Iterator[GradbookError]:
    plural = f"{what}s"
    if not 1 <= len(items) <= limit:
        yield invalid(f"There are {len(items)} {plural}: give 1 to {limit}.", plural)
    seen: set[str] = set()
    for index, item in enumerate(items):
        for error in name_problems(item.name, f"A {what}"):
            yield error.below(plural, index)
        if item.name in seen:
            yield invalid(f"There are two {plural} {shown(item.name)}: names must be unique.", plural, index, "name")
        seen.add(item.name)
        problem = None if item.title is None else text_problem(item.title, MAX_TITLE, 1)
        if problem:
            yield invalid(problem, plural, index, "title")
