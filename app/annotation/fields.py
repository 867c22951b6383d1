"""What the fields of a dataset hold, and a record's fields checked against them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from app.annotation.checks import invalid, listed, shown, text_problem
from app.annotation.tables import FieldType
from app.errors import GradbookError

MAX_TEXT = 5_000_000  # characters
MAX_MESSAGES = 1_000
MAX_ROLE = 100  # characters
MAX_URL = 2_048  # characters; 5,000,000 if the URL holds the image itself

_IMAGE = re.compile(r"https?://[^\s]+|data:image/[\w.+-]+(;[\w.+=-]+)*,[^\s]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class KnownField:
    """A field of a dataset as records are checked against it."""

    name: str
    required: bool
    type: FieldType


Fields = Mapping[str, KnownField]
"""A dataset's fields by name, in their order."""


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> Fields:
    """Fields from JSON: `[[position, name, required, type], ...]`, in any order. Kept by this text."""
    return {
        name: KnownField(name, bool(required), FieldType[type_])
        for _, name, required, type_ in sorted(orjson.loads(text))
    }


def field_problems(fields: Fields, values: Any) -> Iterator[GradbookError]:
    """What is wrong with a record's fields; paths begin at the fields. A null is a field that is not there."""
    if not isinstance(values, Mapping):
        yield invalid(f"{shown(values)} is no object of fields: the dataset has {listed(fields)}.")
        return
    for name in values:
        if name not in fields:
            yield invalid(f"There is no field {shown(name)}: the dataset has {listed(fields)}.", name)
    for name, field in fields.items():
        value = values.get(name)
        if value is not None:
            problem = _PROBLEMS[field.type](value)
            if problem:
                yield invalid(f"{name}: {problem}", name)
        elif field.required:
            yield invalid(f"{name}: the field is required, and there is no value.", name)


def _text(value: Any) -> str | None:
    return text_problem(value, MAX_TEXT)


def _chat(value: Any) -> str | None:
    if not isinstance(value, list | tuple):
        return f'{shown(value)} is not a list of messages {{"role": …, "content": …}}.'
    if len(value) > MAX_MESSAGES:
        return f"There are {len(value):,} messages: at most {MAX_MESSAGES:,} are allowed."
    for index, message in enumerate(value):
        if not isinstance(message, Mapping) or message.keys() != {"role", "content"}:
            return f'Message {index} is {shown(message)}: write {{"role": …, "content": …}}.'
        problem = text_problem(message["role"], MAX_ROLE, 1) or text_problem(message["content"], MAX_TEXT)
        if problem:
            return f"Message {index}: {problem}"
    return None


def _image(value: Any) -> str | None:
    holds_it = isinstance(value, str) and value.startswith("data:")
    problem = text_problem(value, MAX_TEXT if holds_it else MAX_URL, 1)
    if problem or _IMAGE.fullmatch(value):
        return problem
    return f"{shown(value)} is no image: give its URL, https://…, or the image itself as data:image/png;base64,…"


def _custom(_: Any) -> None:
    return None


_PROBLEMS: Mapping[FieldType, Callable[[Any], str | None]] = {
    FieldType.TEXT: _text,
    FieldType.CHAT: _chat,
    FieldType.IMAGE: _image,
    FieldType.CUSTOM: _custom,
}
