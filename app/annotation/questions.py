"""The types of questions: what settings each has and which answers it takes.

One class per type, in one frame: to add a type is to add a class.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar, Self

import orjson
from typing_extensions import override

from app.annotation.checks import MAX_TITLE, invalid, listed, shown, text_problem
from app.annotation.tables import QuestionType
from app.errors import GradbookError

MAX_TEXT_ANSWER = 100_000  # characters
MAX_OPTIONS = 500
MAX_OPTION_VALUE = 200  # characters
RATING_BOUND = 1_000
MAX_RATINGS = 101  # 0 to 100


class AnswerError(ValueError):
    """An answer that its question does not take; the message names it and what is allowed."""


class QuestionSettings(ABC):
    """The settings of a question of one type, as a client gives them and as they are stored.

    `key` names the type in GraphQL's one-of input and in schema files. An instance may hold anything until
    `problems` found none.
    """

    type: ClassVar[QuestionType]
    key: ClassVar[str]
    reads_fields: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        """From settings as JSON, stored or in a schema file."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """As they are stored and shown, keys as in GraphQL."""

    @abstractmethod
    def problems(self) -> Iterator[GradbookError]:
        """What is wrong with the settings; paths lead into them."""

    @abstractmethod
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> Any:
        """The answer in its normal form: equal answers are equal bytes. Raises AnswerError.

        `record_fields` are empty unless the type says `reads_fields`.
        """

    def is_answered(self, value: Any) -> bool:
        """Whether a checked value answers a required question."""
        return value is not None


@dataclass(frozen=True, slots=True)
class TextSettings(QuestionSettings):
    """Free text of up to `max_length` characters."""

    max_length: int | None = None

    type = QuestionType.TEXT
    key = "text"

    @classmethod
    @override
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        return cls(settings.get("maxLength"))

    @override
    def to_json(self) -> dict[str, Any]:
        return {} if self.max_length is None else {"maxLength": self.max_length}

    @override
    def problems(self) -> Iterator[GradbookError]:
        if self.max_length is not None and not (is_int(self.max_length) and 1 <= self.max_length <= MAX_TEXT_ANSWER):
            yield invalid(f"{shown(self.max_length)} is not a whole number from 1 to {MAX_TEXT_ANSWER:,}.", "maxLength")

    @override
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> str:
        problem = text_problem(value, self.max_length or MAX_TEXT_ANSWER)
        if problem:
            raise AnswerError(problem)
        return str(value)

    @override
    def is_answered(self, value: Any) -> bool:
        return value is not None and not value.isspace() and value != ""


@dataclass(frozen=True, slots=True)
class RatingSettings(QuestionSettings):
    """A whole number from `min` to `max`."""

    min: int
    max: int

    type = QuestionType.RATING
    key = "rating"

    @classmethod
    @override
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        return cls(settings.get("min"), settings.get("max"))  # type: ignore[arg-type]  # `problems` tells

    @override
    def to_json(self) -> dict[str, Any]:
        return {"min": self.min, "max": self.max}

    @override
    def problems(self) -> Iterator[GradbookError]:
        wrong = [name for name in ("min", "max") if not _is_bounded(getattr(self, name))]
        for name in wrong:
            yield invalid(
                f"{shown(getattr(self, name))} is not a whole number from {-RATING_BOUND:,} to {RATING_BOUND:,}.", name
            )
        if not wrong and not 1 <= self.max - self.min < MAX_RATINGS:
            yield invalid(
                f"From {self.min} to {self.max} are {max(self.max - self.min + 1, 0)} ratings: "
                f"choose min and max so that there are 2 to {MAX_RATINGS}.",
                "max",
            )

    @override
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> int:
        if not is_number(value) or value % 1 != 0 or not self.min <= value <= self.max:
            raise AnswerError(f"{shown(value)} is not a whole number from {self.min} to {self.max}.")
        return int(value)


@dataclass(frozen=True, slots=True)
class Option:
    """One choice: the value that an answer names, and what people read (the value itself if there is no text)."""

    value: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class LabelSettings(QuestionSettings):
    """One of several options."""

    options: Sequence[Option]

    type = QuestionType.LABEL
    key = "label"

    @classmethod
    @override
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        return cls(_options_from_json(settings.get("options")))

    @override
    def to_json(self) -> dict[str, Any]:
        return {"options": [_option_to_json(option) for option in self.options]}

    @override
    def problems(self) -> Iterator[GradbookError]:
        return _option_problems(self.options)

    @override
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> Any:
        return _checked_option(self.options, value)


@dataclass(frozen=True, slots=True)
class MultiLabelSettings(LabelSettings):
    """Any number of several options, each once."""

    type = QuestionType.MULTI_LABEL
    key = "multiLabel"

    @override
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> list[str]:
        if not isinstance(value, list | tuple):
            raise AnswerError(f"{shown(value)} is not a list of options, such as [{shown(self.options[0].value)}].")
        chosen: set[str] = set()
        for item in value:
            option = _checked_option(self.options, item)
            if option in chosen:
                raise AnswerError(f"{shown(option)} is chosen twice: name each option once.")
            chosen.add(option)
        return [option.value for option in self.options if option.value in chosen]

    @override
    def is_answered(self, value: Any) -> bool:
        return bool(value)


@dataclass(frozen=True, slots=True)
class _NotYet(QuestionSettings):
    """A type that has its place, but cannot be asked yet."""

    settings: Mapping[str, Any]

    @classmethod
    @override
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        return cls(settings)

    @override
    def to_json(self) -> dict[str, Any]:
        return dict(self.settings)

    @override
    def problems(self) -> Iterator[GradbookError]:
        available = [kind.type.name for kind in SETTINGS.values() if not issubclass(kind, _NotYet)]
        yield invalid(f"Questions of type {self.type.name} are not available yet: use {', '.join(available)}.")

    @override
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> Any:
        raise AnswerError(f"Questions of type {self.type.name} take no answers yet.")


class RankingSettings(_NotYet):
    """An order of several options."""

    type = QuestionType.RANKING
    key = "ranking"


class SpanSettings(_NotYet):
    """Labelled parts of a field's text."""

    type = QuestionType.SPAN
    key = "span"
    reads_fields = True


SETTINGS: Mapping[QuestionType, type[QuestionSettings]] = {
    kind.type: kind
    for kind in (TextSettings, RatingSettings, LabelSettings, MultiLabelSettings, RankingSettings, SpanSettings)
}


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question of a dataset as answers are checked against it."""

    name: str
    required: bool
    settings: QuestionSettings


Questions = Mapping[str, AskedQuestion]
"""A dataset's questions by name, in their order."""


@lru_cache(maxsize=1024)
def parse_questions(text: str) -> Questions:
    """Questions from JSON: `[[position, name, required, type, settings], ...]`, in any order.

    Kept by this text and by nothing else: a cache by dataset would go on with questions that were changed.
    """
    return {
        name: AskedQuestion(name, bool(required), SETTINGS[QuestionType[type_]].from_json(settings))
        for _, name, required, type_, settings in sorted(orjson.loads(text), key=lambda question: question[0])
    }


def is_int(value: Any) -> bool:
    """Whether the value is a whole number; Python's booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether the value is a number; Python's booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_bounded(value: Any) -> bool:
    return is_int(value) and -RATING_BOUND <= value <= RATING_BOUND


def _options_from_json(options: Any) -> Any:
    if not isinstance(options, list):
        return options
    known = {field.name for field in fields(Option)}
    return tuple(
        Option(**option) if isinstance(option, dict) and "value" in option and option.keys() <= known else option
        for option in options
    )


def _option_to_json(option: Option) -> dict[str, str]:
    return {"value": option.value} if option.text is None else {"value": option.value, "text": option.text}


def _option_problems(options: Any) -> Iterator[GradbookError]:
    if not isinstance(options, list | tuple):
        yield invalid(f"{shown(options)} is not a list of options.", "options")
        return
    if not 2 <= len(options) <= MAX_OPTIONS:
        yield invalid(f"There are {len(options):,} options: give 2 to {MAX_OPTIONS}.", "options")
        return
    seen: dict[str, int] = {}
    for index, option in enumerate(options):
        if not isinstance(option, Option):
            yield invalid(f'{shown(option)} is no option: write {{"value": …, "text": …}}.', "options", index)
            continue
        problem = text_problem(option.value, MAX_OPTION_VALUE, 1)
        if problem:
            yield invalid(problem, "options", index, "value")
        elif option.value in seen:
            yield invalid(
                f"{shown(option.value)} is also the value of option {seen[option.value]}: values must be unique.",
                "options",
                index,
                "value",
            )
        else:
            seen[option.value] = index
        problem = None if option.text is None else text_problem(option.text, MAX_TITLE, 1)
        if problem:
            yield invalid(problem, "options", index, "text")


def _checked_option(options: Sequence[Option], value: Any) -> str:
    if isinstance(value, str) and any(value == option.value for option in options):
        return value
    values = [option.value for option in options]
    close = difflib.get_close_matches(value[:MAX_OPTION_VALUE], values, n=1) if isinstance(value, str) else []
    hint = f" Is {shown(close[0])} meant?" if close else ""
    raise AnswerError(f"{shown(value)} is not an option: allowed are {listed(values)}.{hint}")
