"""Answers of people to the questions about a record. This is the one module that writes responses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from sqlalchemy import ColumnElement, bindparam, select

from app.accounts.audit import Event, audit
from app.accounts.tables import AuditAction, Role, User
from app.annotation import response_sql, scope
from app.annotation.answers import check_answers
from app.annotation.checks import raise_errors
from app.annotation.questions import Questions, parse_questions
from app.annotation.sql import IDS, among_ids, questions_text
from app.annotation.tables import Dataset, Record, Response, ResponseStatus
from app.annotation.topics import dataset_topic
from app.db import UnitOfWork
from app.db.statement import Statement
from app.db.types import Snowflake, json_text
from app.errors import Code, GradbookError

MAX_BATCH = 1_000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Answers:
    """What one person says about a record: `values` by question. None leaves the values that are there."""

    record_id: int
    values: Mapping[str, Any] | None = None
    status: ResponseStatus = ResponseStatus.SUBMITTED


@dataclass(frozen=True, slots=True)
class CheckedAnswers:
    """Answers that were checked already, and whose they are."""

    record_id: int
    user_id: int
    status: ResponseStatus
    values: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class WrittenResponse:
    """Where a response is, or was."""

    id: int
    record_id: int
    dataset_id: int


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What became of one item: a response, or errors."""

    index: int
    response: WrittenResponse | None
    errors: tuple[GradbookError, ...] = ()


def submit_response(uow: UnitOfWork, record_id: int, values: Mapping[str, Any]) -> WrittenResponse:
    """Create or replace the viewer's response. Raises NOT_FOUND, and INVALID_INPUT for the values."""
    return _answer(uow, Answers(record_id, values, ResponseStatus.SUBMITTED))


def save_draft(uow: UnitOfWork, record_id: int, values: Mapping[str, Any] | None = None) -> WrittenResponse:
    """Keep the viewer's answers without submitting them; a submitted response becomes a draft.

    Without values the earlier ones stay. Raises as `submit_response`.
    """
    return _answer(uow, Answers(record_id, values, ResponseStatus.DRAFT))


def discard_response(uow: UnitOfWork, record_id: int, values: Mapping[str, Any] | None = None) -> WrittenResponse:
    """The viewer will not answer this record. Without values the earlier ones stay. Raises as `submit_response`."""
    return _answer(uow, Answers(record_id, values, ResponseStatus.DISCARDED))


def submit_responses(uow: UnitOfWork, items: Sequence[Answers], limit: int = MAX_BATCH) -> list[SubmitResult]:
    """Write the viewer's answers to many records and answer item by item; the good ones are kept.

    Wrong items have errors: NOT_FOUND, INVALID_INPUT, and DUPLICATE_ITEM for the later of two good ones about one
    record. Statements: 3 on PostgreSQL, 4 on SQLite, for any number. Raises LIMIT_EXCEEDED for more than `limit`.
    """
    raise_errors(too_many(items, limit, "responses"))
    checked, errors = _check(uow, items)
    written = {response.record_id: response for response in _write(uow, checked.values())}
    results = []
    for index, item in enumerate(items):
        response = written.get(item.record_id) if index in checked else None
        wrong = errors.get(index, [] if response else [_no_record(item.record_id)])
        results.append(SubmitResult(index, response, tuple(error.below("responses", index) for error in wrong)))
    return results


def delete_response(uow: UnitOfWork, response_id: int) -> WrittenResponse:
    """Delete a response that the viewer sees: an ANNOTATOR's own, any of their workspaces' for an ADMIN.

    Raises NOT_FOUND.
    """
    viewer = uow.viewer
    found = uow.fetch(*_VISIBLE_RESPONSE[viewer.kind].on(uow.dialect, viewer_id=viewer.id, response_id=response_id))
    if not found or not response_sql.delete(uow, "response.id = :response_id", response_id=response_id):
        message = f"There is no response rsp_{response_id} that you can see."
        raise GradbookError(Code.NOT_FOUND, message, ("id",))
    *where, user_id = found[0]
    response = WrittenResponse(*where)
    if user_id != viewer.id:
        details = {"user": f"usr_{user_id}", "record": f"rec_{response.record_id}"}
        audit(uow, Event(AuditAction.RESPONSE_DELETED, f"rsp_{response.id}", None, details))
    uow.publish(dataset_topic(response.dataset_id))
    return response


def delete_responses_of_user(uow: UnitOfWork, user_id: int, workspace_ids: Collection[int] | None = None) -> int:
    """Delete a user's responses, in these workspaces or in all, and return how many they were.

    Nobody can write responses of this user until the transaction ends.
    """
    uow.fetch(*_LOCK_USER.on(uow.dialect, user_id=user_id))
    which = "response.user_id = :user_id"
    if workspace_ids is None:
        deleted = response_sql.delete(uow, which, user_id=user_id)
    else:
        which += f" AND response.dataset_id IN (SELECT id FROM dataset WHERE workspace_id {IDS[uow.dialect_name]})"
        deleted = response_sql.delete(uow, which, user_id=user_id, ids=sorted(workspace_ids))
    for dataset_id in deleted:
        uow.publish(dataset_topic(dataset_id))
    return sum(deleted.values())


def delete_responses_of_dataset(uow: UnitOfWork, dataset_id: int) -> None:
    """Delete all responses about a dataset's records, which are locked and go in the same transaction.

    So no status follows.
    """
    response_sql.delete_with_records(uow, dataset_id)


def import_responses(uow: UnitOfWork, answers: Collection[CheckedAnswers]) -> list[WrittenResponse]:
    """Write checked answers of several users, at most one per record and user; they replace what is there.

    For those who may write the records themselves. `lock_users` comes first in the transaction.
    """
    return _write(uow, answers)


def lock_users(uow: UnitOfWork, user_ids: Iterable[int]) -> frozenset[int]:
    """Those users that exist; they can be neither renamed nor removed until the transaction ends.

    Whoever writes responses locks users first, then records: so does the removal of a user.
    """
    ids = sorted(set(user_ids))
    return frozenset(row[0] for row in uow.fetch(*_LOCK_USERS.on(uow.dialect, ids=ids))) if ids else frozenset()


def too_many(items: Sequence[Item], limit: int, name: str) -> list[GradbookError]:
    """The error for a batch that is too large, in a list."""
    if len(items) <= limit:
        return []
    message = f"There are {len(items):,} items, at most {limit:,} are taken at once: send them in several requests."
    return [GradbookError(Code.LIMIT_EXCEEDED, message, (name,))]


def _answer(uow: UnitOfWork, item: Answers) -> WrittenResponse:
    viewer = uow.viewer
    find = _VISIBLE_RECORD[viewer.kind]
    found = uow.fetch(*find.on(uow.dialect, viewer_id=viewer.id, record_id=item.record_id))
    if not found:
        raise _no_record(item.record_id)
    questions = parse_questions(found[0][1])
    fields = _record_fields(uow, {item.record_id: questions})
    values, errors = check_answers(questions, item.values, item.status, fields.get(item.record_id, {}))
    raise_errors([error.below("values") for error in errors])
    written = _write(uow, [CheckedAnswers(item.record_id, viewer.id, item.status, values)])
    if not written:
        raise _no_record(item.record_id)
    return written[0]


def _check(
    uow: UnitOfWork, items: Sequence[Answers]
) -> tuple[dict[int, CheckedAnswers], dict[int, list[GradbookError]]]:
    """The good items and the errors of the others, by index."""
    viewer = uow.viewer
    questions = _questions_of_records(uow, sorted({item.record_id for item in items}))
    fields = _record_fields(uow, questions)
    good: dict[int, CheckedAnswers] = {}
    errors: dict[int, list[GradbookError]] = {}
    first: dict[int, int] = {}
    for index, item in enumerate(items):
        if item.record_id not in questions:
            errors[index] = [_no_record(item.record_id)]
            continue
        asked = questions[item.record_id]
        values, wrong = check_answers(asked, item.values, item.status, fields.get(item.record_id, {}))
        if wrong:
            errors[index] = [error.below("values") for error in wrong]
        elif item.record_id in first:
            message = f"Item {first[item.record_id]} is about record rec_{item.record_id} too: answer each record once."
            errors[index] = [GradbookError(Code.DUPLICATE_ITEM, message, ("recordId",))]
        else:
            first[item.record_id] = index
            good[index] = CheckedAnswers(item.record_id, viewer.id, item.status, values)
    return good, errors


def _questions_of_records(uow: UnitOfWork, record_ids: Sequence[int]) -> dict[int, Questions]:
    """What is asked about each record that the viewer sees."""
    if not record_ids:
        return {}
    viewer = uow.viewer
    find = _VISIBLE_RECORDS[viewer.kind]
    dataset_of = dict(uow.fetch(*find.on(uow.dialect, viewer_id=viewer.id, ids=record_ids)))
    texts = dict(uow.fetch(*_QUESTIONS.on(uow.dialect, ids=sorted(set(dataset_of.values())))))
    return {record_id: parse_questions(texts[dataset_id]) for record_id, dataset_id in dataset_of.items()}


def _record_fields(uow: UnitOfWork, questions: Mapping[int, Questions]) -> dict[int, Mapping[str, Any]]:
    """The fields of those records about which a question asks that reads them: one statement more, and only then."""
    ids = [
        record_id
        for record_id, asked in questions.items()
        if any(question.settings.reads_fields for question in asked.values())
    ]
    if not ids:
        return {}
    return {record_id: orjson.loads(fields) for record_id, fields in uow.fetch(*_FIELDS.on(uow.dialect, ids=ids))}


def _write(uow: UnitOfWork, answers: Collection[CheckedAnswers]) -> list[WrittenResponse]:
    if not answers:
        return []
    items = [
        {
            "id": new_id,
            "record_id": answer.record_id,
            "user_id": answer.user_id,
            "status": answer.status.name,
            "answers": None if answer.values is None else json_text(answer.values),
        }
        for new_id, answer in zip(uow.new_ids(len(answers)), answers, strict=True)
    ]
    written = [WrittenResponse(*row) for row in response_sql.upsert(uow, items)]
    for dataset_id in {response.dataset_id for response in written}:
        uow.publish(dataset_topic(dataset_id))
    return written


def _no_record(record_id: int) -> GradbookError:
    return GradbookError(Code.NOT_FOUND, f"There is no record rec_{record_id} that you can see.", ("recordId",))


def _visible_records(kind: str, column: ColumnElement[Any], which: ColumnElement[bool]) -> Statement:
    record, dataset = Record.__table__, Dataset.__table__
    joined = record.join(dataset, record.c.dataset_id == dataset.c.id)
    visible = scope.dataset(dataset, kind)
    return Statement(select(record.c.id, column).select_from(joined).where(which, visible, scope.active_viewer()))


def _visible_response(kind: str) -> Statement:
    response, dataset = Response.__table__, Dataset.__table__
    return Statement(
        select(response.c.id, response.c.record_id, response.c.dataset_id, response.c.user_id)
        .select_from(response.join(dataset, response.c.dataset_id == dataset.c.id))
        .where(
            response.c.id == bindparam("response_id", type_=Snowflake),
            scope.dataset(dataset, kind),
            scope.response(response, kind),
            scope.active_viewer(),
        )
    )


_record = Record.__table__
_THIS_RECORD = _record.c.id == bindparam("record_id", type_=Snowflake)
_VISIBLE_RECORD = {role.name: _visible_records(role.name, questions_text(), _THIS_RECORD) for role in Role}
_VISIBLE_RECORDS = {
    role.name: _visible_records(role.name, _record.c.dataset_id, among_ids(_record.c.id)) for role in Role
}
_VISIBLE_RESPONSE = {role.name: _visible_response(role.name) for role in Role}
_QUESTIONS = Statement(select(Dataset.id, questions_text()).where(among_ids(Dataset.__table__.c.id)))
# Locked as the write will lock them: what was checked against these fields is written while they are so.
_FIELDS = Statement(
    select(Record.id, Record.fields)
    .where(among_ids(_record.c.id))
    .order_by(_record.c.id)
    .with_for_update(key_share=True)
)
_LOCK_USER = Statement(select(User.id).where(User.id == bindparam("user_id", type_=Snowflake)).with_for_update())
_LOCK_USERS = Statement(
    select(User.id).where(among_ids(User.__table__.c.id)).order_by(User.id).with_for_update(read=True, key_share=True)
)
