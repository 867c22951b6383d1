"""The options of a question: what there is to choose from, to order or to label with."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from app.annotation.checks import MAX_TITLE, invalid, listed, shown, text_problem
from app.annotation.question_type import AnswerError
from app.errors import GradbookError

MAX_OPTIONS = 500
MAX_OPTION_VALUE = 200  # characters


@dataclass(frozen=True, slots=True)
class Option:
    """One choice: the value that an answer names, and what people read (the value itself if there is no text)."""

    value: str
    text: str | None = None


def options_from_json(options: Any) -> Any:
    """Options where there are any; what is none stays as it is, for `option_problems` to tell."""
    if not isinstance(options, list):
        return options
    known = {field.name for field in fields(Option)}
    return tuple(
        Option(**option) if isinstance(option, dict) and "value" in option and option.keys() <= known else option
        for option in options
    )


def options_to_json(options: Sequence[Option]) -> list[dict[str, str]]:
    """As they are stored and shown."""
    return [
        {"value": option.value} if option.text is None else {"value": option.value, "text": option.text}
        for option in options
    ]


def option_problems(
    options: Any, what: str = "option", minimum: int = 2, limit: int = MAX_OPTIONS
) -> Iterator[GradbookError]:
    """What is wrong with a list of options; paths begin with its name, the plural of `what`."""
    plural = f"{what}s"
    if not isinstance(options, list | tuple):
        yield invalid(f"{shown(options)} is not a list of {plural}.", plural)
        return
    if not minimum <= len(options) <= limit:
        yield invalid(f"There are {len(options):,} {plural}: give {minimum} to {limit}.", plural)
        return
    seen: dict[str, int] = {}
    for index, option in enumerate(options):
        if not isinstance(option, Option):
            yield invalid(f'{shown(option)} is no {what}: write {{"value": …, "text": …}}.', plural, index)
            continue
        problem = text_problem(option.value, MAX_OPTION_VALUE, 1)
        if problem:
            yield invalid(problem, plural, index, "value")
        elif option.value in seen:
            message = f"{shown(option.value)} is also the value of {what} {seen[option.value]}: values must be unique."
            yield invalid(message, plural, index, "value")
        else:
            seen[option.value] = index
        problem = None if option.text is None else text_problem(option.text, MAX_TITLE, 1)
        if problem:
            yield invalid(problem, plural, index, "text")


def checked_option(options: Sequence[Option], value: Any, *path: str | int, what: str = "option") -> int:
    """The place of the option that an answer names. Raises AnswerError, at `path`."""
    if isinstance(value, str):
        for place, option in enumerate(options):
            if value == option.value:
                return place
    values = [option.value for option in options]
    close = difflib.get_close_matches(value[:MAX_OPTION_VALUE], values, n=1) if isinstance(value, str) else []
    hint = f" Is {shown(close[0])} meant?" if close else ""
    article = "an" if what[0] in "aeiou" else "a"
    raise AnswerError(f"{shown(value)} is not {article} {what}: allowed are {listed(values)}.{hint}", *path)
