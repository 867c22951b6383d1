"""Answers checked against the questions they answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.annotation.checks import invalid, listed, shown
from app.annotation.questions import AnswerError, AskedQuestion, Questions
from app.annotation.tables import ResponseStatus
from app.errors import GradbookError

_NO_FIELDS: Mapping[str, Any] = {}


def check_answers(
    questions: Questions,
    values: Any,
    status: ResponseStatus,
    record_fields: Mapping[str, Any] = _NO_FIELDS,
) -> tuple[dict[str, Any] | None, list[GradbookError]]:
    """The answers in their normal form, in the order of the questions, and what is wrong with them.

    `values` maps the names of questions to answers; null is no answer. SUBMITTED needs an answer to every required
    question, and each complete; DRAFT and DISCARDED may be partial, or None altogether. Paths begin at the values.
    """
    if values is None:
        if status is ResponseStatus.SUBMITTED:
            return None, [invalid(f"There are no values: answer {_required(questions)}.")]
        return None, []
    if not isinstance(values, Mapping):
        return None, [invalid(f"{shown(values)} is no object of answers by question, such as {_example(questions)}.")]
    errors = [_unknown(name, questions) for name in values if name not in questions]
    checked: dict[str, Any] = {}
    for name, question in questions.items():
        value = values.get(name)
        if value is not None:
            try:
                value = question.settings.check(value, record_fields)
            except AnswerError as error:
                errors.append(answer_problem(error, name))
                continue
            checked[name] = value
        if status is not ResponseStatus.SUBMITTED:
            continue
        if value is not None and (missing := question.settings.missing(value)) is not None:
            errors.append(invalid(f"{name}: {missing}", name))
        elif question.required and not question.settings.is_answered(value):
            errors.append(invalid(f"{name}: the question is required, and {shown(value)} does not answer it.", name))
    return checked, errors


def check_suggestion(question: AskedQuestion, value: Any, record_fields: Mapping[str, Any]) -> Any:
    """The suggested answer in its normal form: complete, as a submitted one. Raises AnswerError."""
    checked = question.settings.check(value, record_fields)
    if (missing := question.settings.missing(checked)) is not None:
        raise AnswerError(missing)
    return checked


def answer_problem(error: AnswerError, question: str, *path: str | int) -> GradbookError:
    """The error for a wrong answer to a question, which names the item of a list; `path` leads to the answer."""
    item = f"[{error.path[0]}]" if error.path else ""
    return invalid(f"{question}{item}: {error}", *(path or (question,)), *error.path)


def _unknown(name: Any, questions: Questions) -> GradbookError:
    return invalid(f"There is no question {shown(name)}: the dataset asks {listed(questions)}.", name)


def _required(questions: Questions) -> str:
    return listed(name for name, question in questions.items() if question.required)


def _example(questions: Questions) -> str:
    return f"{{{shown(next(iter(questions)))}: …}}"
