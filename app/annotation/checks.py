"""Checks that the rules of annotation share, and how their errors show values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from app.db.types import checked_text, json_text
from app.errors import Code, GradbookError

MAX_NAME = 100
MAX_TITLE = 500

Path = tuple[str | int, ...]

_NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class InvalidInputError(GradbookError):
    """Several errors at once, in `errors`. To whoever handles only one, it is the first of them."""

    def __init__(self, errors: Sequence[GradbookError]) -> None:
        first = errors[0]
        super().__init__(Code[first.code], first.message, first.path)
        self.errors = tuple(errors)

    def below(self, *path: str | int) -> InvalidInputError:
        """The same errors seen from further out: with `path` before their own."""
        return InvalidInputError([error.below(*path) for error in self.errors])


def errors_of(error: GradbookError) -> tuple[GradbookError, ...]:
    """The single errors that a raised one stands for."""
    return error.errors if isinstance(error, InvalidInputError) else (error,)


def raise_errors(errors: Sequence[GradbookError]) -> None:
    """Nothing when there are none."""
    if errors:
        raise errors[0] if len(errors) == 1 else InvalidInputError(errors)


def invalid(message: str, *path: str | int) -> GradbookError:
    """The error for a value that does not keep the rules of its field."""
    return GradbookError(Code.INVALID_INPUT, message, path)


def shown(value: Any, limit: int = 60) -> str:
    """The value as JSON for a message, shortened."""
    if isinstance(value, str):
        value = value[: limit + 1]
    try:
        text = json_text(value)
    except TypeError:
        text = repr(value)
    except RecursionError:
        text = "a deeply nested value"
    return text if len(text) <= limit else text[:limit] + "…"


def listed(names: Iterable[str], limit: int = 10) -> str:
    """Names for a message: quoted, the first few of many."""
    all_names = list(names)
    text = ", ".join(shown(name) for name in all_names[:limit])
    return f"{text} and {len(all_names) - limit} more" if len(all_names) > limit else text or "none"


def name_problems(name: Any, what: str) -> Iterator[GradbookError]:
    """Whether something may bear this name, by which others will refer to it."""
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier() or len(name) > MAX_NAME:
        yield invalid(
            f"{what} cannot be named {shown(name)}: use a letter, then letters, digits, _ and -, "
            f"up to {MAX_NAME} characters.",
            "name",
        )
    elif unicodedata.normalize("NFC", name) != name:
        yield invalid(f"The name {shown(name)} is not in Unicode's normal form NFC: write it composed.", "name")


def text_problem(text: Any, limit: int, minimum: int = 0) -> str | None:
    """What is wrong with a text of `minimum` to `limit` characters, or None."""
    if not isinstance(text, str):
        return f"{shown(text)} is not a string."
    if not minimum <= len(text) <= limit:
        allowed = f"use {minimum:,} to {limit:,}" if minimum else f"at most {limit:,} are allowed"
        return f"{shown(text)} has {len(text):,} characters: {allowed}."
    try:
        checked_text(text).encode()
    except UnicodeEncodeError as error:
        return f"{text[error.start]!a} at position {error.start} is half a character (a lone surrogate): remove it."
    except ValueError as error:
        return str(error)
    return None


def checked_json(value: Any, limit: int) -> str:
    """The value as compact JSON of up to `limit` characters. Raises ValueError with what is wrong."""
    try:
        text = json_text(value)
    except RecursionError:
        raise ValueError("The value is nested too deeply to be stored as JSON.") from None
    except TypeError as error:
        raise ValueError(f"{shown(value)} cannot be stored as JSON: {error}.") from None
    if len(text) > limit:
        raise ValueError(f"{shown(value)} takes {len(text):,} characters as JSON: at most {limit:,} are allowed.")
    if "\\u0000" in text and _NUL_IN_JSON.search(text):
        raise ValueError(f"{shown(value)} holds a NUL character (U+0000), which text cannot: remove it.")
    return text
