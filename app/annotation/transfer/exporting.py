"""A dataset as lines, as an import takes them: the same records give the same bytes, in the order of their ids."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import cache
from typing import Any

import orjson
from sqlalchemy import case, select

from app.accounts import scope as accounts_scope
from app.accounts.access import OPERATOR
from app.accounts.tables import Role, User
from app.accounts.viewer import Viewer
from app.annotation import scope
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


async def export_records(database: Database, dataset_id: int, viewer: Viewer = OPERATOR) -> AsyncIterator[list[bytes]]:
    """The records as lines, their ends included, some at a time. Memory does not grow with the dataset.

    Of the responses there are those that the viewer sees; a user whom they do not see is called `hidden-1`, `hidden-2`
    and so on. The dataset itself must be visible to them.
    """
    after = 0
    hidden: dict[int, str] = {}
    bound = {} if viewer.role is Role.OWNER else {"viewer_id": viewer.id}

    def response(username: str | None, user_id: int, values: str | None, status: str) -> dict[str, Any]:
        user = hidden.setdefault(user_id, f"hidden-{len(hidden) + 1}") if username is None else username
        return {"user": user, "values": None if values is None else orjson.Fragment(values), "status": status}

    while rows := await database.read(*_PAGE.on(database.dialect, dataset_id=dataset_id, after_id=after)):
        ids = [row[0] for row in rows]
        suggestions = _by_record(await database.read(*_SUGGESTIONS.on(database.dialect, ids=ids)), _suggestion)
        read = _responses(viewer.kind).on(database.dialect, ids=ids, **bound)
        responses = _by_record(await database.read(*read), response)
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


@cache
def _responses(kind: str) -> Statement:
    user, response = User.__table__, Response.__table__
    username = case((accounts_scope.user(user, kind), user.c.username), else_=None)
    return Statement(
        select(response.c.record_id, username, response.c.user_id, response.c["values"], response.c.status)
        .join_from(response, user, response.c.user_id == user.c.id)
        .where(among_ids(response.c.record_id), scope.response(response, kind))
        .order_by(response.c.id)
    )
