"""What every type of question is: settings, which answers they take, and what makes an answer complete."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from app.annotation.checks import invalid, shown
from app.annotation.tables import FieldType, QuestionType
from app.errors import GradbookError


class AnswerError(ValueError):
    """An answer that its question does not take; the message names what is wrong and what is allowed.

    `path` leads into the answer: (2, "end") is the end of its third span.
    """

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


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

    def field_problems(self, fields: Mapping[str, FieldType]) -> Iterator[GradbookError]:
        """What is wrong with them among the fields of their dataset; paths lead into the settings."""
        yield from ()

    @abstractmethod
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> Any:
        """The answer in its normal form: equal answers are equal bytes. Raises AnswerError.

        `record_fields` are empty unless the type says `reads_fields`.
        """

    def missing(self, value: Any) -> str | None:
        """What a checked value lacks to be submitted or suggested, or None. A draft may lack it."""
        return None

    def is_answered(self, value: Any) -> bool:
        """Whether a checked value answers a required question."""
        return value is not None


def flag_problems(value: Any, name: str) -> Iterator[GradbookError]:
    """What is wrong with a setting that is either on or off."""
    if not isinstance(value, bool):
        yield invalid(f"{shown(value)} is neither true nor false.", name)


def is_int(value: Any) -> bool:
    """Whether the value is a whole number; Python's booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether the value is a number; Python's booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(value: Any) -> int | None:
    """The whole number that a JSON number is, 3.0 as well as 3; None for anything else."""
    return int(value) if is_number(value) and value % 1 == 0 else None
