"""Answers checked against the questions they answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.annotation.checks import invalid, listed, shown
from app.annotation.questions import AnswerError, Questions
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
    question; DRAFT and DISCARDED may be partial, or None altogether. Paths begin at the values.
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
                errors.append(invalid(f"{name}: {error}", name))
                continue
            checked[name] = value
        if status is ResponseStatus.SUBMITTED and question.required and not question.settings.is_answered(value):
            errors.append(invalid(f"{name}: the question is required, and {shown(value)} does not answer it.", name))
    return checked, errors


def _unknown(name: Any, questions: Questions) -> GradbookError:
    return invalid(f"There is no question {shown(name)}: the dataset asks {listed(questions)}.", name)


def _required(questions: Questions) -> str:
    return listed(name for name, question in questions.items() if question.required)


def _example(questions: Questions) -> str:
    return f"{{{shown(next(iter(questions)))}: …}}"
