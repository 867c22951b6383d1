"""Records: added in batches, with what models suggest and, by imports, with what people answered."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select

from app.annotation.checks import raise_errors
from app.annotation.datasets import lock_dataset
from app.annotation.fields import parse_fields
from app.annotation.marked_texts import marked_texts
from app.annotation.questions import Questions, parse_questions
from app.annotation.record_items import CheckedRecord, RecordInput, Shape, check_record
from app.annotation.responses import MAX_BATCH, CheckedAnswers, import_responses, lock_users, too_many
from app.annotation.search_text import search_text
from app.annotation.sql import CHANGE, JOIN, LOCK, as_json, fields_text, questions_text, rows, rows_json, statement
from app.annotation.tables import Dataset
from app.annotation.topics import dataset_topic
from app.db import UnitOfWork
from app.db.statement import Statement
from app.db.types import Snowflake, json_text
from app.errors import Code, GradbookError

Key = tuple[str | None, str | None]


class OnConflict(enum.Enum):
    """What becomes of a record whose key the dataset has already."""

    ERROR = "It is answered with DUPLICATE; the stored one stays as it is."
    SKIP = "It is left out; the stored one stays as it is."
    UPDATE = (
        "It replaces the fields; metadata, suggestions and responses that it has replace the stored ones. It is "
        "answered with CONFLICT if a text would change in which spans are marked that it does not replace."
    )


class Outcome(enum.Enum):
    """What became of one record."""

    ADDED = "ADDED"
    UPDATED = "UPDATED"
    SKIPPED = "SKIPPED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class AddRecordsInput:
    """Records for a dataset."""

    dataset_id: int
    records: Sequence[RecordInput]
    on_conflict: OnConflict = OnConflict.ERROR


@dataclass(frozen=True, slots=True)
class RecordResult:
    """What became of one item; REFUSED has errors, the others have the id of the record in the dataset."""

    index: int
    outcome: Outcome
    record_id: int | None
    errors: tuple[GradbookError, ...] = ()


def add_records(uow: UnitOfWork, batch: AddRecordsInput, limit: int = MAX_BATCH) -> list[RecordResult]:
    """Add records to a dataset and answer item by item; the good ones are kept.

    Wrong items have errors: INVALID_INPUT, DUPLICATE for a key that the dataset has, CONFLICT for a text in which spans
    are marked (`marked_texts`), NOT_FOUND for a user of `responses`, DUPLICATE_ITEM for the later of two good items
    with one key. The number of statements does not depend on the number of items. Raises NOT_FOUND for the dataset,
    FORBIDDEN for an ANNOTATOR, LIMIT_EXCEEDED.
    """
    raise_errors(too_many(batch.records, limit, "records"))
    # The threshold stays while this lasts, and is read by a later statement: the lock may have waited for a new one.
    lock_dataset(uow, batch.dataset_id, "datasetId", share=True)
    shape = read_shape(uow, batch.dataset_id)
    good, results = _check(uow, batch, shape)
    for result in _Batch(uow, batch.dataset_id, batch.on_conflict, shape.questions).write(good):
        results[result.index] = result
    answered = [results[index] for index in sorted(results)]
    if any(result.outcome in {Outcome.ADDED, Outcome.UPDATED} for result in answered):
        uow.publish(dataset_topic(batch.dataset_id))
    return answered


def _check(
    uow: UnitOfWork, batch: AddRecordsInput, shape: Shape
) -> tuple[list[CheckedRecord], dict[int, RecordResult]]:
    """The good items and the answers to the others, by index."""
    users = lock_users(uow, (response.user_id for item in batch.records for response in item.responses))
    good: list[CheckedRecord] = []
    refused: dict[int, RecordResult] = {}
    first: dict[Key, int] = {}
    for index, item in enumerate(batch.records):
        record, errors = check_record(item, index, shape)
        errors += _user_problems(item, users)
        if not errors and item.key != (None, None) and item.key in first:
            message = f"Item {first[item.key]} has {_named(item.key)} too: give each record once."
            errors = [GradbookError(Code.DUPLICATE_ITEM, message, _key_path(item.key))]
        if errors or record is None:
            refused[index] = _refused(index, *errors)
        else:
            first[item.key] = index
            good.append(record)
    return good, refused


def read_shape(uow: UnitOfWork, dataset_id: int) -> Shape:
    """What the records of an existing dataset are checked against."""
    required, fields, questions = uow.fetch(*_SHAPE.on(uow.dialect, dataset_id=dataset_id))[0]
    return Shape(required, parse_fields(fields), parse_questions(questions))


class _Batch:
    """One batch of good items on its way into the dataset, whose row is locked."""

    def __init__(self, uow: UnitOfWork, dataset_id: int, on_conflict: OnConflict, questions: Questions) -> None:
        self._uow = uow
        self._dataset_id = dataset_id
        self._on_conflict = on_conflict
        self._questions = questions
        self._statements = _statements(uow.dialect_name)

    def write(self, items: Sequence[CheckedRecord]) -> list[RecordResult]:
        results: list[RecordResult] = []
        written: dict[int, CheckedRecord] = {}
        waiting = list(items)
        while waiting:
            found = self._find([item.key for item in waiting])
            stored = {found[item.key]: item for item in waiting if item.key in found}
            if stored and self._on_conflict is OnConflict.UPDATE:
                marked = marked_texts(self._uow, self._questions, stored)
                results += [_refused(stored.pop(record_id).index, error) for record_id, error in marked.items()]
                written |= stored
                self._update(stored)
            results += [self._answer(item, record_id) for record_id, item in stored.items()]
            added = self._insert([item for item in waiting if item.key not in found])
            written |= added
            results += [RecordResult(item.index, Outcome.ADDED, record_id) for record_id, item in added.items()]
            # What is left was added by another transaction a moment ago: now it is found.
            answered = {result.index for result in results}
            waiting = [item for item in waiting if item.index not in answered]
        self._index(written)
        self._suggest(written)
        self._respond(written)
        return results

    def _find(self, keys: Sequence[Key]) -> dict[Key, int]:
        """The ids of the stored records; they are locked if they will be written."""
        known = [{"external_id": key[0], "content_hash": key[1]} for key in keys if key != (None, None)]
        if not known:
            return {}
        find = self._statements["lock" if self._on_conflict is OnConflict.UPDATE else "find"]
        found = self._fetch(find, rows=rows_json(known), dataset_id=self._dataset_id)
        return {
            (external_id, None if external_id is not None else hash_): record_id
            for record_id, external_id, hash_ in found
        }

    def _insert(self, items: Sequence[CheckedRecord]) -> dict[int, CheckedRecord]:
        """Those that were inserted, by their new ids, which follow the order of the items."""
        if not items:
            return {}
        new = dict(zip(self._uow.new_ids(len(items)), items, strict=True))
        # In the order of their keys: two batches wait for one another's keys, but never in a circle.
        in_order = sorted(new.items(), key=lambda pair: [part or "" for part in pair[1].key])
        given = [_row(record_id, item) for record_id, item in in_order]
        with self._uow.marked("record"):
            inserted = self._fetch(
                self._statements["insert"], rows=rows_json(given), dataset_id=self._dataset_id, now=self._uow.now
            )
        return {record_id: new[record_id] for (record_id,) in inserted}

    def _update(self, items: Mapping[int, CheckedRecord]) -> None:
        if not items:
            return
        given = [_row(record_id, item) for record_id, item in items.items()]
        self._fetch(self._statements["update"], rows=rows_json(given), now=self._uow.now)

    def _answer(self, item: CheckedRecord, record_id: int) -> RecordResult:
        if self._on_conflict is OnConflict.UPDATE:
            return RecordResult(item.index, Outcome.UPDATED, record_id)
        if self._on_conflict is OnConflict.SKIP:
            return RecordResult(item.index, Outcome.SKIPPED, record_id)
        message = f"The dataset has a record with {_named(item.key)} already; {_advice(item.key)}."
        return _refused(item.index, GradbookError(Code.DUPLICATE, message, _key_path(item.key)))

    def _index(self, written: Mapping[int, CheckedRecord]) -> None:
        if written:
            given = [
                {"record_id": record_id, "search_text": search_text(self._dataset_id, item.texts)}
                for record_id, item in written.items()
            ]
            self._fetch(self._statements["index"], rows=rows_json(given))

    def _suggest(self, written: Mapping[int, CheckedRecord]) -> None:
        pairs = [(record_id, suggestion) for record_id, item in written.items() for suggestion in item.suggestions]
        if not pairs:
            return
        given = [
            {
                "id": new_id,
                "record_id": record_id,
                "question": suggestion.question,
                "answer": json_text(suggestion.value),
                "score": suggestion.score,
                "agent": suggestion.agent,
            }
            for new_id, (record_id, suggestion) in zip(self._uow.new_ids(len(pairs)), pairs, strict=True)
        ]
        self._fetch(self._statements["suggest"], rows=rows_json(given), dataset_id=self._dataset_id)

    def _respond(self, written: Mapping[int, CheckedRecord]) -> None:
        import_responses(
            self._uow,
            [
                CheckedAnswers(record_id, response.user_id, response.status, response.values)
                for record_id, item in written.items()
                for response in item.responses
            ],
        )

    def _fetch(self, sql: Statement, **values: Any) -> list[tuple[Any, ...]]:
        return self._uow.fetch(*sql.on(self._uow.dialect, **values))


def _row(record_id: int, item: CheckedRecord) -> dict[str, Any]:
    external_id, content_hash = item.key
    return {
        "id": record_id,
        "external_id": external_id,
        "content_hash": content_hash,
        "fields": item.fields,
        "metadata": item.metadata,
    }


def _user_problems(item: RecordInput, users: frozenset[int]) -> Iterable[GradbookError]:
    for index, response in enumerate(item.responses):
        if response.user_id not in users:
            message = f"There is no user usr_{response.user_id}."
            yield GradbookError(Code.NOT_FOUND, message, ("responses", index, "user"))


def _named(key: Key) -> str:
    return f"the external id {key[0]!r}" if key[0] is not None else "the same content"


def _advice(key: Key) -> str:
    advice = "onConflict SKIP or UPDATE allows that"
    return advice if key[0] is not None else f"{advice}, an externalId makes it another record"


def _key_path(key: Key) -> tuple[str, ...]:
    return () if key[0] is None else ("externalId",)


def _refused(index: int, *errors: GradbookError) -> RecordResult:
    return RecordResult(index, Outcome.REFUSED, None, tuple(error.below("records", index) for error in errors))


_SHAPE = Statement(
    select(Dataset.min_submitted, fields_text(), questions_text()).where(
        Dataset.id == bindparam("dataset_id", type_=Snowflake)
    )
)
_KEYS = {"external_id": "text", "content_hash": "text"}
_COLUMNS = {"id": "bigint", **_KEYS, "fields": "text", "metadata": "text"}
_SEARCH = {"record_id": "bigint", "search_text": "text"}
_SUGGESTION = {
    "id": "bigint",
    "record_id": "bigint",
    "question": "text",
    "answer": "text",
    "score": "double precision",
    "agent": "text",
}


@cache
def _statements(dialect_name: str) -> Mapping[str, Statement]:
    keys, given = rows(dialect_name, _KEYS), rows(dialect_name, _COLUMNS)
    fields, metadata = as_json(dialect_name, "rows.fields"), as_json(dialect_name, "rows.metadata")
    change = CHANGE[dialect_name]
    join = JOIN[dialect_name]
    find = f"""
        SELECT id, external_id, content_hash FROM record WHERE id IN (
            SELECT stored.id FROM {keys} {join} record AS stored
                ON stored.dataset_id = :dataset_id AND stored.external_id = rows.external_id
            UNION ALL
            SELECT stored.id FROM {keys} {join} record AS stored
                ON stored.dataset_id = :dataset_id AND stored.content_hash = rows.content_hash
        ) ORDER BY id"""
    insert = f"""
        INSERT INTO record (id, dataset_id, external_id, content_hash, fields, metadata, status, submitted_count,
            required, inserted_at, updated_at, changed)
        SELECT rows.id, :dataset_id, rows.external_id, rows.content_hash, {fields}, {metadata}, 'PENDING', 0,
            (SELECT min_submitted FROM dataset WHERE dataset.id = :dataset_id), :now, :now, {change}
        FROM {given} WHERE true
        ON CONFLICT DO NOTHING RETURNING id"""
    update = f"""
        UPDATE record SET fields = {fields}, metadata = coalesce({metadata}, record.metadata),
            updated_at = :now, changed = {change}
        FROM {given} WHERE record.id = rows.id"""
    index = f"""
        INSERT INTO record_search (record_id, search_text)
        SELECT rows.record_id, rows.search_text FROM {rows(dialect_name, _SEARCH)} WHERE true
        ON CONFLICT (record_id) DO UPDATE SET search_text = excluded.search_text
        WHERE record_search.search_text <> excluded.search_text"""
    suggest = f"""
        INSERT INTO suggestion (id, dataset_id, record_id, question, value, score, agent)
        SELECT rows.id, :dataset_id, rows.record_id, rows.question, {as_json(dialect_name, "rows.answer")},
            rows.score, rows.agent
        FROM {rows(dialect_name, _SUGGESTION)} WHERE true
        ON CONFLICT (record_id, question) DO UPDATE
        SET value = excluded.value, score = excluded.score, agent = excluded.agent"""
    texts = {
        "find": find,
        "lock": f"{find} {LOCK[dialect_name]}",
        "insert": insert,
        "update": update,
        "index": index,
        "suggest": suggest,
    }
    return {name: statement(sql) for name, sql in texts.items()}
