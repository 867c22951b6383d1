"""Records as rows of a table: what columns are called, and what their cells say.

    externalId, one column for each field, metadata, suggestions, responses, fields

The last four hold JSON, as a line of JSON Lines has it. `fields` is empty unless a cell cannot say it exactly (a null,
another order of the fields, in CSV an empty text); then it holds the whole object and wins over the cells.

Tables of others may have `id` for externalId, `metadata.KEY` for one value of the metadata, and for a question
`QUESTION.suggestion`, with `.score` and `.agent` behind it, and the lists `QUESTION.responses`, with `.users` and
`.status`, as Argilla names them. A column with the name of a question holds suggestions; any other is metadata.
"""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.annotation.checks import invalid, listed, name_problems, shown
from app.annotation.record_items import Shape
from app.annotation.tables import FieldType, QuestionType
from app.annotation.transfer.line_format import BadLineError, parse_cell

MAX_COLUMNS = 1_000

EXTERNAL_ID = "externalId"
JSON_COLUMNS = ("metadata", "suggestions", "responses", "fields")
_IDS = (EXTERNAL_ID, "external_id", "id")
_RESERVED = frozenset((*_IDS, *JSON_COLUMNS))
_JSON_FIELDS = frozenset({FieldType.CHAT, FieldType.CUSTOM})
_TEXT_ANSWERS = frozenset({QuestionType.TEXT, QuestionType.LABEL})


@dataclass(slots=True)
class Draft:
    """A row on its way to a record."""

    external_id: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    suggestions: dict[str, dict[str, Any]] = field(default_factory=dict)
    responses: dict[str, dict[str, Any]] = field(default_factory=dict)
    whole: dict[str, Any] = field(default_factory=dict)

    def item(self) -> dict[str, Any]:
        """As a line of JSON Lines has it."""
        item: dict[str, Any] = {"fields": self.whole.get("fields", self.fields)}
        if self.external_id is not None:
            item["externalId"] = self.external_id
        metadata = self.whole.get("metadata")
        if self.metadata and isinstance(metadata, dict | None):
            metadata = {**(metadata or {}), **self.metadata}
        if metadata is not None:
            item["metadata"] = metadata
        item["suggestions"] = self.whole.get("suggestions") or [
            {"question": question, **parts} for question, parts in self.suggestions.items() if "value" in parts
        ]
        item["responses"] = self.whole.get("responses") or list(_by_user(self.responses))
        return item


@dataclass(frozen=True, slots=True)
class Column:
    """What one column means: how its cells are read, and where they go."""

    name: str
    place: int
    read: Callable[[Any], Any]
    put: Callable[[Draft, Any], None]


class Columns:
    """The columns of a table, understood once from their names.

    Without a shape, for a dataset that is still to be made, every name that a field can have is one. In a `typed`
    table, as Parquet is, cells have types and may be null; else they are text, and an empty one is nothing.
    """

    def __init__(
        self,
        names: Sequence[str],
        shape: Shape | None,
        *,
        typed: bool,
        json_names: Collection[str] = (),
        asks: Collection[str] = (),
    ) -> None:
        """`json_names` are columns of text that is marked as JSON, `asks` the questions of a dataset still to be made.

        Raises INVALID_INPUT when the names do not describe records of the dataset.
        """
        self._names = names
        self._json_names = json_names
        self._asks = asks
        self._shape = shape
        self._typed = typed
        self._demand_usable()
        self._columns = [self._column(name, place) for place, name in enumerate(names)]

    def item(self, cells: Sequence[Any]) -> dict[str, Any]:
        """A row as a line of JSON Lines has it. Raises BadLineError, which names the column."""
        draft = Draft()
        for column in self._columns:
            cell = cells[column.place]
            if cell is None or (cell == "" and not self._typed):
                continue
            try:
                column.put(draft, column.read(cell))
            except BadLineError as error:
                raise BadLineError(f"column {shown(column.name)}: {error}") from None
        return draft.item()

    def _demand_usable(self) -> None:
        if len(self._names) > MAX_COLUMNS:
            raise invalid(f"The table has {len(self._names):,} columns, at most {MAX_COLUMNS:,} are taken.")
        if twice := [name for name in dict.fromkeys(self._names) if self._names.count(name) > 1]:
            raise invalid(f"There are two columns {listed(twice)}: give each its own name. Nothing was imported.")
        ids = [name for name in self._names if name in _IDS[:2]]
        if len(ids) > 1:
            raise invalid(f"The columns {listed(ids)} are the same: keep one of them. Nothing was imported.")
        if self._shape is None or "fields" in self._names:
            return
        fields = self._shape.fields
        if not any(name.removeprefix("fields.") in fields for name in self._names):
            raise invalid(
                f"No column is a field of the dataset: the table has {listed(self._names)}, the dataset "
                f"{listed(fields)}. Name the columns as the fields. Nothing was imported."
            )

    def _column(self, name: str, place: int) -> Column:
        if name in _IDS and self._is_id(name):
            return Column(name, place, _external_id, _put_external_id)
        if name in JSON_COLUMNS:
            return Column(name, place, _json, lambda draft, value: draft.whole.__setitem__(name, value))
        if (found := self._field(name)) is not None:
            key, read = found
            return Column(name, place, read, lambda draft, value: draft.fields.__setitem__(key, value))
        if (answer := self._answer(name, place)) is not None:
            return answer
        key = name.removeprefix("metadata.")
        return Column(name, place, self._value(name), lambda draft, value: draft.metadata.__setitem__(key, value))

    def _is_id(self, name: str) -> bool:
        if name != "id":
            return True
        is_field = self._shape is not None and name in self._shape.fields
        return not is_field and not any(other in self._names for other in _IDS[:2])

    def _field(self, name: str) -> tuple[str, Callable[[Any], Any]] | None:
        key = name.removeprefix("fields.")
        if self._shape is None:
            is_field = key != name or not (name in self._asks or any(True for _ in name_problems(name, "A field")))
            return (key, self._value(name)) if is_field else None
        known = self._shape.fields.get(key)
        if known is None:
            return None
        if known.type not in _JSON_FIELDS:
            return key, as_json
        return key, _json if known.type is FieldType.CHAT or not self._typed else self._value(name)

    def _answer(self, name: str, place: int) -> Column | None:
        question, _, part = name.partition(".")
        if part not in _PARTS or (self._shape is not None and question not in self._shape.questions):
            return None
        if self._shape is None and not part and question not in self._asks:
            return None
        asked = None if self._shape is None else self._shape.questions[question].settings.type
        target, key = _PARTS[part]
        if target == "suggestions" and (key != "value" or asked is None or asked in _TEXT_ANSWERS):
            read = _json if key == "score" else as_json
        else:
            read = _json

        def put(draft: Draft, value: Any) -> None:
            getattr(draft, target).setdefault(question, {})[key] = value

        return Column(name, place, read, put)

    def _value(self, name: str) -> Callable[[Any], Any]:
        return _json if name in self._json_names else as_json


_PARTS = {
    "": ("suggestions", "value"),
    "suggestion": ("suggestions", "value"),
    "suggestion.score": ("suggestions", "score"),
    "suggestion.agent": ("suggestions", "agent"),
    "responses": ("responses", "values"),
    "responses.users": ("responses", "users"),
    "responses.status": ("responses", "status"),
}


def column_names(shape: Shape) -> list[str]:
    """The columns of an exported table."""
    fields = [f"fields.{name}" if name in _RESERVED else name for name in shape.fields]
    return [EXTERNAL_ID, *fields, *JSON_COLUMNS]


def holds_json(shape: Shape) -> list[bool]:
    """For each column of an exported table whether its cells are JSON."""
    return [False, *(known.type in _JSON_FIELDS for known in shape.fields.values()), *(True for _ in JSON_COLUMNS)]


def row_of(item: Mapping[str, Any], shape: Shape, *, typed: bool) -> list[str | None]:
    """A record, as a line of JSON Lines has it, as the cells of an exported table; None is nothing."""
    fields = item["fields"]
    cells: list[str | None] = [item.get(EXTERNAL_ID)]
    for name, known in shape.fields.items():
        value = fields.get(name)
        if value is None or known.type not in _JSON_FIELDS:
            cells.append(value)
        else:
            cells.append(_json_text(value))
    cells += [None if item.get(name) is None else _json_text(item[name]) for name in JSON_COLUMNS[:-1]]
    cells.append(None if _says_all(fields, shape, typed=typed) else _json_text(fields))
    return cells


def as_json(value: Any) -> Any:
    """A value of a typed table as JSON has it; text stays, instants are ISO 8601. Raises BadLineError for bytes."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta | uuid.UUID):
        return str(value)
    raise BadLineError(f"A value of type {type(value).__name__} is no JSON: make it text, a number or a list of those.")


def _says_all(fields: Mapping[str, Any], shape: Shape, *, typed: bool) -> bool:
    in_order = [name for name in shape.fields if name in fields]
    nothing = (None,) if typed else (None, "")
    return list(fields) == in_order and not any(
        value in nothing for value in fields.values() if not isinstance(value, list | dict)
    )


def _json(cell: Any) -> Any:
    return parse_cell(cell) if isinstance(cell, str) else as_json(cell)


def _json_text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _external_id(cell: Any) -> str:
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)
    if not isinstance(cell, str):
        raise BadLineError(f"{shown(as_json(cell))} is no id: use text or whole numbers.")
    return cell


def _put_external_id(draft: Draft, value: str) -> None:
    draft.external_id = value


def _by_user(responses: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Lists of answers, users and statuses by question as responses by user."""
    found: dict[str, dict[str, Any]] = {}
    for question, parts in responses.items():
        values, users = parts.get("values"), parts.get("users")
        if not isinstance(values, list):
            continue
        if not isinstance(users, list) or len(users) != len(values):
            raise BadLineError(
                f"{question}.responses has {len(values)} answers, {question}.responses.users "
                f"{len(users) if isinstance(users, list) else 'no'} users: each answer needs its user."
            )
        statuses = parts.get("status") or [None] * len(values)
        for value, user, status in zip(values, users, statuses, strict=False):
            one = found.setdefault(str(user), {"user": user, "values": {}, "status": "SUBMITTED"})
            one["values"][question] = value
            if isinstance(status, str):
                one["status"] = status.upper()
    yield from found.values()
