"""The inputs of a task as they are stored: without secrets, and within the rules of each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.annotation.checks import checked_json, invalid, raise_errors, shown, text_problem
from app.annotation.search_text import search_text
from app.db.types import json_text
from app.errors import Code, GradbookError
from app.training.fingerprint import INPUTS, config, fingerprint
from app.training.secrets import Path, redact

COLUMNS = {name: re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name) for name in INPUTS}
"""The column of each input."""

ALWAYS = frozenset({"tags", "notes"})
"""What can be changed whatever the state: what people say about a task."""

MAX_TAGS = 50
MAX_TAG = 100  # characters
MAX_EXTRA = 200_000  # characters of JSON
MAX_NOTES = 50_000
MAX_LOG_TAIL = 100_000
MAX_ERROR = 20_000
MAX_SUMMARY = 100_000  # characters of JSON
MAX_ATTEMPTS = 100
MAX_CHARACTERS = 500_000
"""Of all that is given at once: looking for secrets takes about a second for each million, in a transaction."""

_MOST = 2**31 - 1  # a GraphQL Int

_PATHS = ("modelPath", "trainDataDir", "metadataPath", "outputPath", "logPath")
_TEXTS = dict.fromkeys(_PATHS, 4_096) | {"modelName": 500, "command": 20_000, "launcher": 100, "notes": MAX_NOTES}
_WHOLE = {"loraRank": (1, _MOST), "batchSize": (1, _MOST), "epochs": (0, _MOST), "maxAttempts": (1, MAX_ATTEMPTS)}
_NUMBERS = ("loraAlpha", "learningRate", "hourlyCost")


@dataclass(frozen=True, slots=True)
class TaskValues:
    """Inputs that may be stored, by their names, and where secrets were in what was given."""

    values: dict[str, Any]
    redacted: list[str]

    def columns(self) -> dict[str, Any]:
        """The values by column."""
        return {COLUMNS[name]: value for name, value in self.values.items()}


def task_values(given: Mapping[str, Any], *path: str | int) -> TaskValues:
    """The inputs that are given, as they are stored; null is none. `path` is where they stand.

    A snapshot is its number. Raises INVALID_INPUT with all that is wrong.
    """
    if unknown := [name for name in given if name not in COLUMNS]:
        raise ValueError(f"{unknown} are no inputs of a training task.")
    clean, redacted = redacted_value(dict(given), path)
    raise_errors([error.below(*path) for error in _problems(clean)])
    values = {name: _normal(name, value) for name, value in clean.items()}
    return TaskValues(values, [".".join(map(str, (*path, place))) for place in redacted])


def redacted_value(value: Any, path: Path = ()) -> tuple[Any, list[str]]:
    """`secrets.redact` of what is not too long for it, its errors where the value stands."""
    if _is_too_long(value):
        message = f"This is too long: at most {MAX_CHARACTERS:,} characters are taken at once."
        raise GradbookError(Code.LIMIT_EXCEEDED, message, path)
    try:
        return redact(value)
    except GradbookError as error:
        raise error.below(*path) from None


def _is_too_long(value: Any) -> bool:
    characters, left = 0, [value]
    while left and characters <= MAX_CHARACTERS:
        one = left.pop()
        characters += len(one) if isinstance(one, str) else 1
        if isinstance(one, Mapping):
            left += (*one, *one.values())
        elif isinstance(one, list | tuple):
            left += one
    return characters > MAX_CHARACTERS


def whole(values: Mapping[str, Any]) -> dict[str, Any]:
    """All inputs, with what stands for those that are not given."""
    return {**config(values), "tags": values.get("tags") or [], "maxAttempts": values.get("maxAttempts") or 1}


def derived(values: Mapping[str, Any]) -> dict[str, str]:
    """The columns that follow from stored inputs: the fingerprint, and the terms to be found by."""
    return {"fingerprint": fingerprint(as_shown(values)), "search_text": searchable(values)}


def searchable(values: Mapping[str, Any]) -> str:
    """The terms by which stored inputs are found, as `search_text` makes them."""
    texts = [values[name] or "" for name in ("modelName", "modelPath", "trainDataDir", "metadataPath", "notes")]
    texts += [values["command"] or "", values["launcher"] or "", *values["tags"]]
    return search_text(0, [*texts, json_text(values["extraParams"] or {})])


def as_shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Stored inputs as they are answered: a snapshot by its id."""
    number = values.get("snapshotId")
    return {**values, "snapshotId": None if number is None else f"snp_{number}"}


def stored_inputs(row: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a row of `train_task`, by their names."""
    return {name: row[column] for name, column in COLUMNS.items()}


def changed_tags(tags: Iterable[str], add: Iterable[str], remove: Iterable[str]) -> list[str]:
    """The tags with some more and without others, in their order, each once. Raises LIMIT or INVALID_INPUT."""
    gone = set(remove)
    found = [tag for tag in dict.fromkeys((*tags, *add)) if tag not in gone]
    raise_errors(list(_tag_problems(found, "addTags")))
    return found


def tag_problems(tags: Any, field: str) -> list[GradbookError]:
    """What is wrong with tags that are to be added or removed."""
    return list(_tag_problems(tags, field))


def report_problem(value: Any, limit: int, field: str) -> list[GradbookError]:
    """What is wrong with a text that a script reports."""
    problem = None if value is None else text_problem(value, limit)
    return [invalid(problem, field)] if problem else []


def object_problem(value: Any, limit: int, field: str) -> list[GradbookError]:
    """What is wrong with a JSON object."""
    if value is None:
        return []
    if not isinstance(value, dict):
        return [invalid(f"{shown(value)} is no JSON object: write {{…}}.", field)]
    try:
        checked_json(value, limit)
    except ValueError as error:
        return [invalid(str(error), field)]
    return []


def _normal(name: str, value: Any) -> Any:
    if name == "tags":
        return list(dict.fromkeys(value or ()))
    if name == "maxAttempts":
        return value or 1
    return float(value) if name in _NUMBERS and value is not None else value


def _problems(given: Mapping[str, Any]) -> Iterator[GradbookError]:
    for name, value in given.items():
        if value is None:
            if name == "modelName":
                yield invalid("A task has a modelName: say what is trained.", name)
        elif name in _TEXTS:
            problem = text_problem(value, _TEXTS[name], 1 if name == "modelName" else 0)
            if problem:
                yield invalid(problem, name)
        elif name in _WHOLE:
            least, most = _WHOLE[name]
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                yield invalid(f"{shown(value)} is no whole number from {least} to {most:,}.", name)
        elif name in _NUMBERS:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                yield invalid(f"{shown(value)} is no number of 0 or more.", name)
        elif name == "tags":
            yield from _tag_problems(value, name)
        elif name == "extraParams":
            yield from object_problem(value, MAX_EXTRA, name)


def _tag_problems(tags: Any, field: str) -> Iterator[GradbookError]:
    if len(tags) > MAX_TAGS:
        yield invalid(f"These are {len(tags)} tags: a task has at most {MAX_TAGS}.", field)
    for index, tag in enumerate(tags):
        problem = text_problem(tag, MAX_TAG, 1)
        if problem:
            yield invalid(problem, field, index)
