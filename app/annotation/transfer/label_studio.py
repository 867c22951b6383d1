"""Label Studio's exports: JSON, with every annotation of a task, and JSON_MIN, with one annotation an item.

A task is a record, known by its id. Of its data what the dataset has as fields are fields (in a new dataset all texts),
the rest is metadata. An annotation is the response of whoever completed it, the last one of theirs; a cancelled one is
DISCARDED. Predictions are suggestions, the last one of each question. A control's name (`from_name`) is the question's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.annotation.checks import listed, shown
from app.annotation.datasets import QuestionInput
from app.annotation.questions import SETTINGS
from app.annotation.record_items import Shape
from app.annotation.tables import QuestionType
from app.annotation.transfer.line_format import BadLineError

_MIN_KEYS = frozenset(
    {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "history"}
)
_MIN_MARKS = frozenset({"annotator", "annotation_id"})
_RESULTS = ("choices", "rating", "textarea", "labels", "ranker", "number")


def looks_like_label_studio(item: Mapping[str, Any]) -> bool:
    """Whether an item of a list is a task of Label Studio's."""
    return isinstance(item.get("data"), dict) and "fields" not in item


def looks_like_json_min(item: Mapping[str, Any]) -> bool:
    """Whether an item of a list is an annotation in Label Studio's JSON_MIN."""
    return item.keys() >= _MIN_MARKS and "data" not in item


def read_task(item: Any, shape: Shape | None) -> dict[str, Any]:
    """A task as a line of JSON Lines has it. Raises BadLineError."""
    if not isinstance(item, dict) or not isinstance(item.get("data"), dict):
        raise BadLineError(f'{shown(item)} is no task of Label Studio\'s: such a one is {{"id": …, "data": {{…}}, …}}.')
    record = _record(item["data"], shape)
    if item.get("id") is not None:
        record["externalId"] = str(item["id"])
    if item.get("meta"):
        record["metadata"] = {**record.get("metadata", {}), "meta": item["meta"]}
    suggestions: dict[str, dict[str, Any]] = {}
    for index, one in enumerate(_objects(item.get("predictions"), "predictions")):
        for question, value in _answers(one, f"predictions[{index}]", item["data"], shape).items():
            suggestions[question] = {"question": question, "value": value} | _origin(one)
    responses: dict[str, dict[str, Any]] = {}
    for index, one in enumerate(_objects(item.get("annotations") or item.get("completions"), "annotations")):
        where = f"annotations[{index}]"
        user, values = _user(one.get("completed_by"), where), _answers(one, where, item["data"], shape)
        status = "DISCARDED" if one.get("was_cancelled") else "SUBMITTED"
        responses[user] = {"user": user, "values": values or None, "status": status}
    return record | {"suggestions": list(suggestions.values()), "responses": list(responses.values())}


def read_annotations(items: Iterable[Any], shape: Shape | None) -> dict[str, Any]:
    """The items of JSON_MIN that one task has, as a line of JSON Lines has it. Raises BadLineError."""
    if shape is None:
        raise BadLineError("JSON_MIN does not say which values are answers: say by --schema FILE what is asked.")
    record: dict[str, Any] = {}
    responses: dict[str, dict[str, Any]] = {}
    for item in items:
        data = {key: value for key, value in item.items() if key not in _MIN_KEYS}
        answers = {key: data.pop(key) for key in list(data) if key in shape.questions and key not in shape.fields}
        record = _record(data, shape)
        if item.get("id") is not None:
            record["externalId"] = str(item["id"])
        values = {name: _short(value, shape.questions[name].settings.type, data) for name, value in answers.items()}
        user = _user(item.get("annotator"), "annotator")
        responses[user] = {"user": user, "values": values}
    return record | {"responses": list(responses.values())}


class Asked:
    """What is asked in tasks, gathered from their results: the options are those that occur."""

    def __init__(self) -> None:
        self._options: dict[str, dict[str, None]] = {}
        self._types: dict[str, str] = {}
        self._several: set[str] = set()
        self._highest: dict[str, int] = {}
        self._field: str | None = None

    def see(self, item: Any) -> None:
        """Look at one task; what is wrong with it is told when it is read."""
        if not isinstance(item, dict) or not isinstance(item.get("data"), dict):
            return
        if self._field is None:
            self._field = next((key for key, value in item["data"].items() if isinstance(value, str)), None)
        for one in [*(item.get("annotations") or []), *(item.get("predictions") or [])]:
            for result in (one.get("result") or []) if isinstance(one, dict) else []:
                if isinstance(result, dict) and isinstance(result.get("value"), dict):
                    self._see_result(str(result.get("from_name")), result.get("type"), result["value"])

    def questions(self) -> list[QuestionInput]:
        """Not required, for an annotation need not have them all."""
        return [
            QuestionInput(name, SETTINGS[type_].from_json(settings), required=False)
            for name, kind in self._types.items()
            for type_, settings in [self._settings(name, kind)]
        ]

    def _see_result(self, name: str, kind: Any, value: Mapping[str, Any]) -> None:
        if kind not in _RESULTS:
            return
        self._types[name] = kind
        chosen = value.get(kind)
        if kind in {"choices", "labels", "ranker"} and isinstance(chosen, list):
            self._options.setdefault(name, {}).update(dict.fromkeys(map(str, chosen)))
            if kind == "choices" and len(chosen) > 1:
                self._several.add(name)
        if kind in {"rating", "number"} and isinstance(chosen, int):
            self._highest[name] = max(chosen, self._highest.get(name, 5))

    def _settings(self, name: str, kind: str) -> tuple[QuestionType, dict[str, Any]]:
        options = [{"value": option} for option in self._options.get(name, {})]
        if kind == "choices":
            return (QuestionType.MULTI_LABEL if name in self._several else QuestionType.LABEL), {"options": options}
        if kind == "labels":
            return QuestionType.SPAN, {"field": self._field, "labels": options, "allowOverlap": True}
        if kind == "ranker":
            return QuestionType.RANKING, {"options": options}
        if kind == "textarea":
            return QuestionType.TEXT, {}
        return QuestionType.RATING, {"min": 0 if kind == "number" else 1, "max": self._highest.get(name, 5)}


def _record(data: Mapping[str, Any], shape: Shape | None) -> dict[str, Any]:
    fields = {key: value for key, value in data.items() if (key in shape.fields if shape else isinstance(value, str))}
    metadata = {key: value for key, value in data.items() if key not in fields}
    return {"fields": fields, "metadata": metadata} if metadata else {"fields": fields}


def _answers(one: Mapping[str, Any], where: str, data: Mapping[str, Any], shape: Shape | None) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for index, result in enumerate(_objects(one.get("result"), f"{where}.result")):
        kind, name, value = result.get("type"), result.get("from_name"), result.get("value")
        if kind not in _RESULTS or not isinstance(name, str) or not isinstance(value, dict):
            raise BadLineError(
                f"{where}.result[{index}]: {shown(kind)} is not taken: results are of type {listed(_RESULTS)}."
            )
        asked = shape.questions.get(name) if shape else None
        if kind == "labels":
            answers.setdefault(name, []).extend(_spans(value, data))
        else:
            answers[name] = _value(
                value.get("text" if kind == "textarea" else kind), None if asked is None else asked.settings.type
            )
    return answers


def _short(value: Any, type_: QuestionType, data: Mapping[str, Any]) -> Any:
    """An answer as JSON_MIN shortens it."""
    if isinstance(value, dict):
        value = value.get("choices", value)
    if type_ is QuestionType.SPAN and isinstance(value, list):
        return [span for part in value if isinstance(part, dict) for span in _spans(part, data)]
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        value = next((value[0][kind] for kind in _RESULTS if kind in value[0]), value)
    return _value(value, type_)


def _value(value: Any, type_: QuestionType | None) -> Any:
    if type_ is QuestionType.RANKING and isinstance(value, list):
        return [{"value": option, "rank": rank} for rank, option in enumerate(value, 1)]
    if type_ is QuestionType.MULTI_LABEL:
        return value if isinstance(value, list) else [value]
    if type_ is QuestionType.TEXT and isinstance(value, list):
        return "\n".join(map(str, value))
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _spans(value: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    start, end = _code_points(value, data)
    for label in value.get("labels") or []:
        yield {"start": start, "end": end, "label": label}


def _code_points(value: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[Any, Any]:
    """Where a span is. Label Studio counts as JavaScript does, and emoji twice; the text that it repeats tells."""
    start, end, said = value.get("start"), value.get("end"), value.get("text")
    texts = [text for text in data.values() if isinstance(text, str)]
    if not (isinstance(start, int) and isinstance(end, int) and isinstance(said, str)):
        return start, end
    if any(text[start:end] == said for text in texts):
        return start, end
    for text in texts:
        wide = text.encode("utf-16-le", "surrogatepass")
        if wide[2 * start : 2 * end] == said.encode("utf-16-le", "surrogatepass"):
            before = len(wide[: 2 * start].decode("utf-16-le", "surrogatepass"))
            return before, before + len(said)
    return start, end


def _origin(one: Mapping[str, Any]) -> dict[str, Any]:
    origin: dict[str, Any] = {}
    if isinstance(one.get("score"), int | float):
        origin["score"] = one["score"]
    if one.get("model_version"):
        origin["agent"] = str(one["model_version"])
    return origin


def _user(value: Any, where: str) -> str:
    """The e-mail address if there is one, else the number."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    if value is None:
        raise BadLineError(f"{where}: There is no completed_by: who answered?")
    return str(value)


def _objects(value: Any, where: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadLineError(f"{where} is {shown(value)}, expected a list of objects [{{…}}, …].")
    return value
