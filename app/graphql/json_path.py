"""Paths into JSON columns, as users write them: `source.pages[0]."a key"`."""

from __future__ import annotations

import re

from app.errors import Code, GradbookError

JsonPath = tuple[str | int, ...]
"""Keys of objects and indexes of arrays, from the outside in."""

JsonForm = tuple[type, ...]
"""A path without its values: `str` for a key, `int` for an index."""

MAX_STEPS = 10
"""Steps of a path."""

# What the databases cannot look up is refused: SQLite's paths have no escapes, and PostgreSQL has no NUL.
_FORBIDDEN = r'"\\\x00-\x1f'
_KEY = re.compile(rf'([^.\[\]{_FORBIDDEN}]+)|"([^{_FORBIDDEN}]+)"')
_INDEX = re.compile(r"\[([0-9]{1,9})\]")
_NAME = re.compile(rf"[^{_FORBIDDEN}]+")


def parse_path(text: str, path: tuple[str | int, ...]) -> JsonPath:
    """`a."b c"[0]` as ("a", "b c", 0)."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        if index := _INDEX.match(text, at):
            steps.append(int(index[1]))
            at = index.end()
            continue
        if steps and text[at] != ".":
            break
        key = _KEY.match(text, at + 1 if steps else at)
        if key is None:
            break
        steps.append(key[1] or key[2])
        at = key.end()
    if at < len(text) or not 0 < len(steps) <= MAX_STEPS:
        raise GradbookError(
            Code.INVALID_INPUT,
            f"{_shown(text)} is no path into JSON: write keys and indexes such as 'source.pages[0]' or '\"a key\".b', "
            f"at most {MAX_STEPS} steps. Keys with quotes, backslashes or control characters cannot be looked up.",
            path,
        )
    return tuple(steps)


def parse_name(text: str, path: tuple[str | int, ...]) -> JsonPath:
    """The path of one key that is a name."""
    if not _NAME.fullmatch(text):
        raise GradbookError(
            Code.INVALID_INPUT,
            f"{_shown(text)} cannot be a name here: a name has at least one character, and no quotes, backslashes or"
            " control characters.",
            path,
        )
    return (text,)


def form_of(steps: JsonPath) -> JsonForm:
    """The form of a path: what of it shows in the SQL text."""
    return tuple(type(step) for step in steps)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
