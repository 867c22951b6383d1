"""The types of questions: what settings each has and which answers it takes.

One class per type, in one frame (`question_type`): to add a type is to add a class. Rankings and spans, whose rules are
longer, have files of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import orjson
from typing_extensions import override

from app.annotation.checks import invalid, shown, text_problem
from app.annotation.options import Option as Option
from app.annotation.options import checked_option, option_problems, options_from_json, options_to_json
from app.annotation.question_type import AnswerError as AnswerError
from app.annotation.question_type import QuestionSettings as QuestionSettings
from app.annotation.question_type import is_int as is_int
from app.annotation.question_type import is_number as is_number
from app.annotation.question_type import whole
from app.annotation.rankings import RankingSettings as RankingSettings
from app.annotation.spans import SpanSettings as SpanSettings
from app.annotation.tables import QuestionType
from app.errors import GradbookError

MAX_TEXT_ANSWER = 100_000  # characters
RATING_BOUND = 1_000
MAX_RATINGS = 101  # 0 to 100


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
        rating = whole(value)
        if rating is None or not self.min <= rating <= self.max:
            raise AnswerError(f"{shown(value)} is not a whole number from {self.min} to {self.max}.")
        return rating


@dataclass(frozen=True, slots=True)
class LabelSettings(QuestionSettings):
    """One of several options."""

    options: Sequence[Option]

    type = QuestionType.LABEL
    key = "label"

    @classmethod
    @override
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        return cls(options_from_json(settings.get("options")))

    @override
    def to_json(self) -> dict[str, Any]:
        return {"options": options_to_json(self.options)}

    @override
    def problems(self) -> Iterator[GradbookError]:
        return option_problems(self.options)

    @override
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> Any:
        return self.options[checked_option(self.options, value)].value


@dataclass(frozen=True, slots=True)
class MultiLabelSettings(LabelSettings):
    """Any number of several options, each once."""

    type = QuestionType.MULTI_LABEL
    key = "multiLabel"

    @override
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> list[str]:
        if not isinstance(value, list | tuple):
            raise AnswerError(f"{shown(value)} is not a list of options, such as [{shown(self.options[0].value)}].")
        chosen: set[int] = set()
        for index, item in enumerate(value):
            place = checked_option(self.options, item, index)
            if place in chosen:
                raise AnswerError(f"{shown(item)} is chosen twice: name each option once.", index)
            chosen.add(place)
        return [self.options[place].value for place in sorted(chosen)]

    @override
    def is_answered(self, value: Any) -> bool:
        return bool(value)


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


def _is_bounded(value: Any) -> bool:
    return is_int(value) and -RATING_BOUND <= value <= RATING_BOUND
