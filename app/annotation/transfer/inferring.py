"""A dataset made from a file: its fields are those of the file's records, and it asks for a comment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.annotation.checks import invalid, listed
from app.annotation.datasets import MAX_FIELDS, CreateDatasetInput, FieldInput, QuestionInput
from app.annotation.questions import TextSettings
from app.annotation.tables import FieldType
from app.annotation.transfer.line_format import BadLine, Read, RecordLine

COMMENT = QuestionInput("comment", TextSettings(), title="Comment")

_IMAGE = re.compile(r"data:image/|https?://\S+\.(?:png|jpe?g|gif|webp|svg|avif)$", re.IGNORECASE)


def infer_dataset(
    name: str,
    workspace_id: int,
    records: Iterable[Read],
    unit: str = "line",
    questions: Sequence[QuestionInput] = (),
) -> CreateDatasetInput:
    """A dataset with the fields of all records, none of them required. Bad ones are passed over.

    It asks the questions that the file itself brings; without any, for a comment.

    Raises INVALID_INPUT when there are no fields or too many, or when the records have answers: what they answer only
    a schema can say.
    """
    questions = questions or [COMMENT]
    known = {question.name for question in questions}
    types: dict[str, FieldType | None] = {}
    asked: set[str] = set()
    bad: BadLine | None = None
    for item in records:
        if not isinstance(item, RecordLine):
            bad = bad or item
            continue
        if isinstance(item.record.fields, Mapping):
            for field, value in item.record.fields.items():
                types[field] = _merged(types.get(field), _type_of(value))
        asked |= {str(suggestion.question) for suggestion in item.record.suggestions}
        asked |= {question for answers in item.answers for question in answers.values or ()}
        if len(types) > MAX_FIELDS:
            raise invalid(
                f"The records have more than {MAX_FIELDS} different fields ({listed(types)}): say by --schema FILE "
                "which a record has."
            )
        if asked - known:
            raise invalid(
                f"{unit.capitalize()} {item.number} answers {listed(sorted(asked - known))}: say by --schema "
                "FILE what the dataset asks. Nothing was imported."
            )
    if not types:
        example = 'The file has no record with fields, such as {"fields": {"text": "…"}}: no dataset was made.'
        raise invalid(example if bad is None else f"{example} {unit.capitalize()} {bad.number}: {bad.reason}")
    fields = [FieldInput(field, type_ or FieldType.TEXT, required=False) for field, type_ in types.items()]
    return CreateDatasetInput(name, fields, questions, workspace_id)


def _type_of(value: Any) -> FieldType | None:
    """What a value looks like; nothing can be told from null."""
    if value is None:
        return None
    if isinstance(value, str):
        return FieldType.IMAGE if _IMAGE.match(value) else FieldType.TEXT
    if isinstance(value, list) and value and all(_is_message(item) for item in value):
        return FieldType.CHAT
    return FieldType.CUSTOM


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"role", "content"}
        and all(isinstance(part, str) for part in value.values())
    )


def _merged(known: FieldType | None, other: FieldType | None) -> FieldType | None:
    """The type that both are."""
    if known is None or other is None or known is other:
        return known or other
    return FieldType.TEXT if {known, other} == {FieldType.TEXT, FieldType.IMAGE} else FieldType.CUSTOM
