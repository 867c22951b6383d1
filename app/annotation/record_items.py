"""Records as they are given, and checked against their dataset before anything is written."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.annotation.answers import answer_problem, check_answers, check_suggestion
from app.annotation.checks import checked_json, invalid, listed, shown, text_problem
from app.annotation.fields import Fields, field_problems
from app.annotation.questions import AnswerError, Questions, is_number
from app.annotation.search_text import searchable_texts
from app.annotation.tables import ResponseStatus
from app.errors import Code, GradbookError

MAX_EXTERNAL_ID = 500  # characters
MAX_AGENT = 200  # characters
MAX_FIELDS_JSON = 10_000_000  # characters
MAX_METADATA_JSON = 100_000  # characters


@dataclass(frozen=True, slots=True)
class SuggestionInput:
    """What a model would answer to one question; `agent` names the model."""

    question: str
    value: Any
    score: float | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class UserAnswers:
    """The answers of one person to the record that they come with; for imports."""

    user_id: int
    values: Mapping[str, Any] | None
    status: ResponseStatus = ResponseStatus.SUBMITTED


@dataclass(frozen=True, slots=True)
class RecordInput:
    """One record. Its key in the dataset is the external id, or without one the content hash; it may have none.

    Every door for users gives one of them, so that what is sent again doubles nothing. `responses` are for imports.
    """

    fields: Mapping[str, Any]
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    suggestions: Sequence[SuggestionInput] = ()
    content_hash: str | None = None
    responses: Sequence[UserAnswers] = ()

    @property
    def key(self) -> tuple[str | None, str | None]:
        """External id and content hash; of the two at most one counts."""
        return self.external_id, self.content_hash if self.external_id is None else None


@dataclass(frozen=True, slots=True)
class CheckedSuggestion:
    """A suggestion as it is stored, the value as JSON."""

    question: str
    value: Any
    score: float | None
    agent: str | None


@dataclass(frozen=True, slots=True)
class CheckedRecord:
    """A record as it is stored, fields and metadata as JSON; `texts` is what is searched of it."""

    index: int
    key: tuple[str | None, str | None]
    fields: str
    metadata: str | None
    suggestions: Sequence[CheckedSuggestion]
    responses: Sequence[UserAnswers]
    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a dataset's records consist of, what is asked about them, and how many answers they need."""

    required: int
    fields: Fields
    questions: Questions


def content_hash(fields: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> str | None:
    """The key of a record without an external id: 64 hexadecimal digits of what it says, in whatever order.

    None for what cannot be stored, which `check_record` tells.
    """
    try:
        content = orjson.dumps([fields, metadata or None], option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return None
    return hashlib.sha256(content).hexdigest()


def check_record(item: RecordInput, index: int, shape: Shape) -> tuple[CheckedRecord | None, list[GradbookError]]:
    """The record as it is stored, or everything that is wrong with it; paths begin at the item.

    Suggestions and responses are looked at if the fields are good, for some questions are about the fields.
    """
    errors = list(_external_id_problems(item.external_id))
    metadata = _json_or_error(_checked_metadata, item.metadata, "metadata", errors)
    wrong_fields = [error.below("fields") for error in field_problems(shape.fields, item.fields)]
    fields = None if wrong_fields else _json_or_error(_checked_fields, item.fields, "fields", wrong_fields)
    errors += wrong_fields
    if fields is None:
        return None, errors
    suggestions = _check_suggestions(item, shape.questions, errors)
    responses = _check_responses(item, shape.questions, errors)
    if errors:
        return None, errors
    texts = searchable_texts(shape.fields, item.fields)
    return CheckedRecord(index, item.key, fields, metadata, suggestions, responses, texts), []


def _json_or_error(
    check: Callable[[Any], str | None], value: Any, name: str, errors: list[GradbookError]
) -> str | None:
    try:
        return check(value)
    except ValueError as error:
        errors.append(invalid(str(error), name))
        return None


def _external_id_problems(external_id: str | None) -> Iterator[GradbookError]:
    problem = None if external_id is None else text_problem(external_id, MAX_EXTERNAL_ID, 1)
    if problem:
        yield invalid(problem, "externalId")


def _checked_fields(fields: Any) -> str:
    return checked_json(fields, MAX_FIELDS_JSON)


def _checked_metadata(metadata: Any) -> str | None:
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise ValueError(f'{shown(metadata)} is no object: write {{"name": value, …}}.')
    return checked_json(metadata, MAX_METADATA_JSON)


def _check_suggestions(item: RecordInput, questions: Questions, errors: list[GradbookError]) -> list[CheckedSuggestion]:
    checked: dict[str, CheckedSuggestion] = {}
    for index, suggestion in enumerate(item.suggestions):
        path = ("suggestions", index)
        question = questions.get(suggestion.question)
        if question is None:
            message = f"There is no question {shown(suggestion.question)}: the dataset asks {listed(questions)}."
            errors.append(invalid(message, *path, "question"))
            continue
        if question.name in checked:
            message = f"There are two suggestions for {shown(question.name)}: give one."
            errors.append(GradbookError(Code.DUPLICATE_ITEM, message, (*path, "question")))
            continue
        try:
            value = check_suggestion(question, suggestion.value, item.fields)
        except AnswerError as error:
            errors.append(answer_problem(error, question.name, *path, "value"))
            continue
        errors += [error.below(*path) for error in _origin_problems(suggestion)]
        checked[question.name] = CheckedSuggestion(question.name, value, suggestion.score, suggestion.agent)
    return list(checked.values())


def _origin_problems(suggestion: SuggestionInput) -> Iterator[GradbookError]:
    score: Any = suggestion.score
    if score is not None and not (is_number(score) and math.isfinite(score)):
        yield invalid(f"{shown(score)} is not a finite number.", "score")
    problem = None if suggestion.agent is None else text_problem(suggestion.agent, MAX_AGENT, 1)
    if problem:
        yield invalid(problem, "agent")


def _check_responses(item: RecordInput, questions: Questions, errors: list[GradbookError]) -> list[UserAnswers]:
    checked: dict[int, UserAnswers] = {}
    for index, response in enumerate(item.responses):
        path = ("responses", index)
        values, wrong = check_answers(questions, response.values, response.status, item.fields)
        errors += [error.below(*path, "values") for error in wrong]
        if response.user_id in checked:
            message = "There are two responses of one user: a user answers a record once."
            errors.append(GradbookError(Code.DUPLICATE_ITEM, message, (*path, "user")))
        checked[response.user_id] = UserAnswers(response.user_id, values, response.status)
    return list(checked.values())
