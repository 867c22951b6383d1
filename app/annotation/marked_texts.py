"""A text in which somebody has marked spans does not change under them: their offsets would point elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from sqlalchemy import select

from app.annotation.checks import shown
from app.annotation.questions import Questions, SpanSettings
from app.annotation.record_items import CheckedRecord
from app.annotation.sql import among_ids
from app.annotation.tables import Record, Response, Suggestion
from app.db import UnitOfWork
from app.db.statement import Statement
from app.errors import Code, GradbookError


def marked_texts(uow: UnitOfWork, questions: Questions, items: Mapping[int, CheckedRecord]) -> dict[int, GradbookError]:
    """Of stored records, locked, that are to be replaced by these items: an error for each whose marks would go astray.

    Marks are the spans of responses, drafts and discards too, and of suggestions, unless the item replaces them. Three
    statements, for any number, and none if the dataset asks for no spans.
    """
    marking = {
        name: asked.settings.field for name, asked in questions.items() if isinstance(asked.settings, SpanSettings)
    }
    if not marking or not items:
        return {}
    stored = {
        record_id: orjson.loads(fields) for record_id, fields in uow.fetch(*_FIELDS.on(uow.dialect, ids=sorted(items)))
    }
    changed: dict[int, set[str]] = {}
    for record_id, item in items.items():
        new = orjson.loads(item.fields)
        changed[record_id] = {name for name, field in marking.items() if new.get(field) != stored[record_id].get(field)}
    ids = sorted(record_id for record_id, names in changed.items() if names)
    if not ids:
        return {}
    marks: dict[int, Counter[tuple[str, str]]] = {record_id: Counter() for record_id in ids}
    for record_id, what, name in _marks(uow, ids, items):
        if name in changed[record_id]:
            marks[record_id][what, name] += 1
    return {record_id: _conflict(found, marking) for record_id, found in marks.items() if found}


def _marks(uow: UnitOfWork, ids: list[int], items: Mapping[int, CheckedRecord]) -> Iterator[tuple[int, str, str]]:
    """The answers that stay, and hold something: (record, what, question)."""
    for record_id, user_id, values in uow.fetch(*_RESPONSES.on(uow.dialect, ids=ids)):
        replaced = {response.user_id for response in items[record_id].responses if response.values is not None}
        if user_id not in replaced:
            yield from ((record_id, "response", name) for name, value in _held(values).items() if value)
    for record_id, name, value in uow.fetch(*_SUGGESTIONS.on(uow.dialect, ids=ids)):
        if orjson.loads(value) and name not in {suggestion.question for suggestion in items[record_id].suggestions}:
            yield record_id, "suggestion", name


def _held(values: str | None) -> dict[str, Any]:
    return {} if values is None else orjson.loads(values)


def _conflict(marks: Counter[tuple[str, str]], marking: Mapping[str, str]) -> GradbookError:
    field = marking[next(iter(marks))[1]]
    by = ", ".join(
        f"{count} {what}{'' if count == 1 else 's'} to {shown(name)}" for (what, name), count in sorted(marks.items())
    )
    message = (
        f"The text of {shown(field)} would change, in which spans are marked: by {by}. Replace these in the same item, "
        "delete them, or add the new text as another record."
    )
    return GradbookError(Code.CONFLICT, message, ("fields", field))


_FIELDS = Statement(select(Record.id, Record.fields).where(among_ids(Record.__table__.c.id)))
_RESPONSES = Statement(
    select(Response.record_id, Response.user_id, Response.values).where(among_ids(Response.__table__.c.record_id))
)
_SUGGESTIONS = Statement(
    select(Suggestion.record_id, Suggestion.question, Suggestion.value).where(
        among_ids(Suggestion.__table__.c.record_id)
    )
)
