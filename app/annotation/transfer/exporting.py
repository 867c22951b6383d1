"""A dataset as lines, as an import takes them: the same records give the same bytes, in the order of their ids."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
from sqlalchemy import select

from app.accounts.tables import User
from app.annotation.sql import among_ids, statement
from app.annotation.tables import Response, Suggestion
from app.db import Database
from app.db.statement import Statement

PAGE_RECORDS = 500
PAGE_CHARACTERS = 8_000_000  # of what is read at once; a page has one record at least


async def count_records(database: Database, dataset_id: int) -> int:
    """How many lines there will be, if nothing is added meanwhile."""
    [(count,)] = await database.read(*_COUNT.on(database.dialect, dataset_id=dataset_id))
    return int(count)


async def export_records(database: Database, dataset_id: int) -> AsyncIterator[list[bytes]]:
    """The records as lines, their ends included, some at a time. Memory does not grow with the dataset."""
    after = 0
    while rows := await database.read(*_PAGE.on(database.dialect, dataset_id=dataset_id, after_id=after)):
        ids = [row[0] for row in rows]
        suggestions = _by_record(await database.read(*_SUGGESTIONS.on(database.dialect, ids=ids)), _suggestion)
        responses = _by_record(await database.read(*_RESPONSES.on(database.dialect, ids=ids)), _response)
        yield [_line(row, suggestions.get(row[0]), responses.get(row[0])) for row in rows]
        after = ids[-1]


def _line(row: tuple[Any, ...], suggestions: list[Any] | None, responses: list[Any] | None) -> bytes:
    _, external_id, fields, metadata = row
    line: dict[str, Any] = {} if external_id is None else {"externalId": external_id}
    line["fields"] = orjson.Fragment(fields)
    if metadata is not None:
        line["metadata"] = orjson.Fragment(metadata)
    if suggestions:
        line["suggestions"] = suggestions
    if responses:
        line["responses"] = responses
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _suggestion(question: str, value: str, score: float | None, agent: str | None) -> dict[str, Any]:
    item: dict[str, Any] = {"question": question, "value": orjson.Fragment(value)}
    if score is not None:
        item["score"] = score
    if agent is not None:
        item["agent"] = agent
    return item


def _response(username: str, values: str | None, status: str) -> dict[str, Any]:
    return {"user": username, "values": None if values is None else orjson.Fragment(values), "status": status}


def _by_record(rows: Iterable[tuple[Any, ...]], item: Any) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for record_id, *columns in rows:
        found.setdefault(record_id, []).append(item(*columns))
    return found


# A page ends where its records, with all that belongs to them, would be too much to hold at once.
_PAGE = statement(f"""
    WITH page AS (
        SELECT record.id, length(CAST(fields AS text)) + coalesce(length(CAST(metadata AS text)), 0)
            + coalesce((SELECT sum(length(CAST("values" AS text))) FROM response WHERE record_id = record.id), 0)
            + coalesce((SELECT sum(length(CAST(value AS text))) FROM suggestion WHERE record_id = record.id), 0)
            AS characters
        FROM record WHERE dataset_id = :dataset_id AND record.id > :after_id ORDER BY record.id LIMIT {PAGE_RECORDS}
    ), summed AS (
        SELECT id, sum(characters) OVER (ORDER BY id) - characters AS before FROM page
    )
    SELECT record.id, external_id, fields, metadata FROM summed JOIN record ON record.id = summed.id
    WHERE summed.before < {PAGE_CHARACTERS} ORDER BY record.id""")
_COUNT = statement("SELECT count(*) FROM record WHERE dataset_id = :dataset_id")
_SUGGESTIONS = Statement(
    select(Suggestion.record_id, Suggestion.question, Suggestion.value, Suggestion.score, Suggestion.agent)
    .where(among_ids(Suggestion.__table__.c.record_id))
    .order_by(Suggestion.id)
)
_RESPONSES = Statement(
    select(Response.record_id, User.username, Response.values, Response.status)
    .join_from(Response, User, Response.user_id == User.id)
    .where(among_ids(Response.__table__.c.record_id))
    .order_by(Response.id)
)
