"""What measures of agreement and lists of annotators rest on: aggregated in the database, in the viewer's scope.

These are loaders of attached fields: a constant number of statements for any number of datasets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from app.accounts.tables import Role
from app.annotation import scope
from app.annotation.agreement import MEASURES, NOBODY, Answered, Measured, Pattern, answers_of, measure
from app.annotation.sql import ANSWER_VALUE, EACH_ANSWER, IDS, JOINED, statement
from app.annotation.tables import QuestionType, Response
from app.db.statement import Statement
from app.graphql.refs import ref

MAX_RECORDS = 20_000
"""Records of a dataset that agreement is measured over, the newest that have several answers."""

_Patterns = dict[QuestionType, list[tuple[int, Answered]]]


async def load_agreement(context: Any, ids: Sequence[int], _: Mapping[str, Any]) -> Mapping[int, Any]:
    """Every measure of every question, by dataset. Two statements."""
    dialect = context.database.dialect
    questions = await context.database.read(*_questions(dialect.name).on(dialect, ids=ids))
    rows = await context.database.read(
        *_patterns(dialect.name, context.viewer.kind).on(dialect, **_whose(context, ids))
    )
    measured = await asyncio.to_thread(_measure, [(row[0], QuestionType[row[2]]) for row in questions], rows)
    found: dict[int, list[Any]] = {number: [] for number in ids}
    for question_id, dataset_id, _type in questions:
        found[dataset_id] += [
            {
                "question": ref("Question", question_id),
                "measure": one.measure,
                "value": one.value,
                "records": one.records,
            }
            for one in measured[question_id]
        ]
    return found


async def load_annotators(context: Any, ids: Sequence[int], _: Mapping[str, Any]) -> Mapping[int, Any]:
    """Who answered, with how many responses of each status, by dataset. One statement."""
    dialect = context.database.dialect
    rows = await context.database.read(*_counts(dialect.name, context.viewer.kind).on(dialect, **_whose(context, ids)))
    found: dict[int, list[Any]] = {number: [] for number in ids}
    for dataset_id, user_id, submitted, draft, discarded in rows:
        counts = {"submitted": submitted, "draft": draft, "discarded": discarded}
        found[dataset_id].append({"user": ref("User", user_id), **counts})
    return found


def _measure(
    questions: Sequence[tuple[int, QuestionType]], rows: Sequence[tuple[Any, ...]]
) -> dict[int, list[Measured]]:
    types = dict(questions)
    gathered: dict[int, list[tuple[Any, ...]]] = {}
    for question_id, *row in sorted(rows):
        gathered.setdefault(question_id, []).append(tuple(row))
    answered = {
        question_id: Answered(
            [Pattern(answers_of(types[question_id], f"[{row[0]}]"), row[1]) for row in found], _is_pair(found)
        )
        for question_id, found in gathered.items()
        if question_id in types
    }
    return {number: measure(type_, answered.get(number, NOBODY)) for number, type_ in questions}


def _is_pair(rows: Sequence[tuple[Any, ...]]) -> bool:
    """Whether the first user of all records is the same, the last one too, and there are no others."""
    return len({user for row in rows for user in row[2:4]}) == 1 == len(
        {user for row in rows for user in row[4:6]}
    ) and (max(row[6] for row in rows) == 2)


def _whose(context: Any, ids: Sequence[int]) -> dict[str, Any]:
    return {"ids": ids} | ({"viewer_id": context.viewer.id} if context.viewer.kind == Role.ANNOTATOR.name else {})


def _seen(kind: str) -> str:
    return str(scope.response(Response.__table__, kind))


_MEASURED = ", ".join(f"'{type_.name}'" for type_ in MEASURES)


@cache
def _questions(dialect_name: str) -> Statement:
    return statement(f"""
        SELECT id, dataset_id, type FROM question
        WHERE dataset_id {IDS[dialect_name]} AND type IN ({_MEASURED}) ORDER BY dataset_id, position, id""")


@cache
def _counts(dialect_name: str, kind: str) -> Statement:
    counts = ", ".join(
        f"sum(CASE WHEN status = '{status}' THEN 1 ELSE 0 END)" for status in ("SUBMITTED", "DRAFT", "DISCARDED")
    )
    return statement(f"""
        SELECT dataset_id, user_id, {counts} FROM response
        WHERE dataset_id {IDS[dialect_name]} AND {_seen(kind)}
        GROUP BY dataset_id, user_id ORDER BY dataset_id, user_id""")


@cache
def _patterns(dialect_name: str, kind: str) -> Statement:
    """(question, answers as JSON in the order of the users, records with these, four bounds of the users, answers)."""
    return statement(f"""
        WITH newest AS (
            SELECT id FROM (
                SELECT id, row_number() OVER (PARTITION BY dataset_id ORDER BY id DESC) AS place
                FROM record WHERE dataset_id {IDS[dialect_name]} AND submitted_count >= 2
            ) AS answered WHERE place <= {MAX_RECORDS}
        ), answers AS (
            SELECT question.id AS question_id, response.record_id, response.user_id,
                {ANSWER_VALUE[dialect_name]} AS value
            FROM newest JOIN response ON response.record_id = newest.id
            JOIN {EACH_ANSWER[dialect_name]} ON true
            JOIN question ON question.dataset_id = response.dataset_id AND question.name = answer.key
            WHERE response.status = 'SUBMITTED' AND question.type IN ({_MEASURED}) AND {_seen(kind)}
        ), gathered AS (
            SELECT question_id, {JOINED[dialect_name]}(value, ',') OVER whole AS pattern,
                count(*) OVER whole AS size, min(user_id) OVER whole AS earliest, max(user_id) OVER whole AS latest,
                row_number() OVER (PARTITION BY question_id, record_id ORDER BY user_id) AS place
            FROM answers WINDOW whole AS (
                PARTITION BY question_id, record_id ORDER BY user_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
            )
        )
        SELECT question_id, pattern, count(*), min(earliest), max(earliest), min(latest), max(latest), max(size)
        FROM gathered WHERE place = 1 AND size >= 2 GROUP BY question_id, pattern""")
