"""Argilla's records as JSON: what `Dataset.to_disk`, `records.to_json` and its API write.

Left out are vectors, the record's status, which follows from the responses, and lists of scores. A response without a
status is SUBMITTED; its user is whom `user_id` names. A list of answers by question becomes one response for each user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.annotation.checks import shown
from app.annotation.datasets import QuestionInput
from app.annotation.questions import SETTINGS
from app.annotation.tables import QuestionType
from app.annotation.transfer.line_format import BadLineError

_KEYS = {"id", "fields", "metadata", "suggestions", "responses"}
_MARKS = {"_server_id", "vectors", "status"}


def looks_like_argilla(item: Mapping[str, Any]) -> bool:
    """Whether an item of a list is Argilla's, not a line of our own."""
    by_question = any(isinstance(item.get(key), dict) for key in ("suggestions", "responses"))
    return "fields" in item and (by_question or bool(_MARKS & item.keys()) or item.keys() >= _KEYS)


def read_argilla(item: Any) -> dict[str, Any]:
    """A record of Argilla's as a line of JSON Lines has it. Raises BadLineError."""
    if not isinstance(item, dict) or not isinstance(item.get("fields"), dict):
        raise BadLineError(f'{shown(item)} is no record of Argilla\'s: such a one is {{"id": …, "fields": {{…}}, …}}.')
    external_id = item.get("external_id") or item.get("id")
    record: dict[str, Any] = {"fields": item["fields"]}
    if external_id is not None:
        record["externalId"] = str(external_id)
    if item.get("metadata"):
        record["metadata"] = item["metadata"]
    record["suggestions"] = list(_suggestions(item.get("suggestions") or {}))
    record["responses"] = list(_responses(item.get("responses") or {}).values())
    return record


def _suggestions(given: Any) -> Iterator[dict[str, Any]]:
    if isinstance(given, dict):
        given = [{"question_name": name, **_object(one, f"suggestions.{name}")} for name, one in given.items()]
    for index, one in enumerate(_listed(given, "suggestions")):
        name = _object(one, f"suggestions[{index}]").get("question_name") or one.get("question")
        suggestion = {"question": name, "value": _answer(one.get("value"))}
        if isinstance(one.get("score"), int | float):
            suggestion["score"] = one["score"]
        if one.get("agent"):
            suggestion["agent"] = one["agent"]
        yield suggestion


def _responses(given: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    if isinstance(given, dict):
        for question, answers in given.items():
            for index, one in enumerate(_listed(answers, f"responses.{question}")):
                where = f"responses.{question}[{index}]"
                user = _user(_object(one, where), where)
                response = found.setdefault(user, {"user": user, "values": {}, "status": _status(one)})
                response["values"][question] = _answer(one.get("value"))
        return found
    for index, one in enumerate(_listed(given, "responses")):
        where = f"responses[{index}]"
        user, values = _user(_object(one, where), where), one.get("values")
        if values is not None:
            values = {
                name: _answer(_object(part, f"{where}.values.{name}").get("value"))
                for name, part in _object(values, f"{where}.values").items()
            }
        found[user] = {"user": user, "values": values, "status": _status(one)}
    return found


def argilla_questions(settings: Any) -> list[QuestionInput]:
    """What is asked, by Argilla's settings.json. Raises BadLineError."""
    questions = _listed(_object(settings, "The file").get("questions") or [], "questions")
    return [_question(_object(one, f"questions[{n}]"), f"questions[{n}]") for n, one in enumerate(questions)]


def _question(one: dict[str, Any], where: str) -> QuestionInput:
    settings = _object(one.get("settings"), f"{where}.settings")
    kind, options = settings.get("type"), settings.get("options")
    made: dict[str, Any] = {}
    if kind == "text":
        type_ = QuestionType.TEXT
    elif kind == "rating":
        values = [option.get("value") for option in _listed(options, f"{where}.settings.options")]
        if not values or not all(isinstance(value, int) for value in values):
            raise BadLineError(f"{where}.settings.options: {shown(values)} are no ratings.")
        type_, made = QuestionType.RATING, {"min": min(values), "max": max(values)}
    elif kind in _CHOICES:
        type_, made = _CHOICES[kind], {"options": list(_options(options, where))}
        if type_ is QuestionType.RANKING:
            made["allowTies"] = True
    elif kind == "span":
        labels = list(_options(options, where))
        overlap = bool(settings.get("allow_overlapping"))
        type_, made = QuestionType.SPAN, {"field": settings.get("field"), "labels": labels, "allowOverlap": overlap}
    else:
        raise BadLineError(f"{where}.settings.type: {shown(kind)} is not known here: say by --schema what is asked.")
    return QuestionInput(
        str(one.get("name")),
        SETTINGS[type_].from_json(made),
        one.get("title") or None,
        one.get("description") or None,
        bool(one.get("required", True)),
    )


_CHOICES = {
    "label_selection": QuestionType.LABEL,
    "multi_label_selection": QuestionType.MULTI_LABEL,
    "ranking": QuestionType.RANKING,
}


def _options(options: Any, where: str) -> Iterator[dict[str, Any]]:
    for option in _listed(options, f"{where}.settings.options"):
        value, text = option.get("value"), option.get("text")
        yield {"value": value} if text in (None, "", value) else {"value": value, "text": text}


def _answer(value: Any) -> Any:
    """Spans carry a score or a text, which are not part of the answer."""
    if isinstance(value, list) and value and all(isinstance(part, dict) and "label" in part for part in value):
        return [{key: part.get(key) for key in ("start", "end", "label")} for part in value]
    return value


def _status(one: Mapping[str, Any]) -> str:
    return str(one.get("status") or "SUBMITTED").upper()


def _user(one: Mapping[str, Any], where: str) -> str:
    if one.get("user_id") is None:
        raise BadLineError(f"{where}: There is no user_id: who answered?")
    return str(one["user_id"])


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadLineError(f"{where} is {shown(value)}, expected an object {{…}}.")
    return value


def _listed(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise BadLineError(f"{where} is {shown(value)}, expected a list […].")
    return value
