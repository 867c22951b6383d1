"""The type of question that is answered by labelled parts of a field's text.

An answer is a list of spans: `[{"start": 0, "end": 5, "label": "PERSON"}]`. Offsets count Unicode code points, as
Python's strings do, from 0; `end` is the place after the last character. A code point is never split, whatever a
client's strings are made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from typing_extensions import override

from app.annotation.checks import MAX_NAME, invalid, listed, shown, text_problem
from app.annotation.options import Option, checked_option, option_problems, options_from_json, options_to_json
from app.annotation.question_type import AnswerError, QuestionSettings, flag_problems, whole
from app.annotation.tables import FieldType, QuestionType
from app.errors import GradbookError

MAX_SPANS = 10_000  # of one answer

_KEYS = {"start", "end", "label"}
_UTF_16 = " It is so in UTF-16 units, which JavaScript counts: count code points, as Array.from(text) does."

Span = tuple[int, int, int, int]
"""Start, end, the place of the label among the labels, the place in the answer."""


@dataclass(frozen=True, slots=True)
class SpanSettings(QuestionSettings):
    """Labelled parts of the text of `field`, which share no character unless `allow_overlap` says so."""

    field: str
    labels: Sequence[Option]
    allow_overlap: bool = False

    type = QuestionType.SPAN
    key = "span"
    reads_fields = True

    @classmethod
    @override
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        labels, field = options_from_json(settings.get("labels")), settings.get("field")
        return cls(field, labels, settings.get("allowOverlap", False))  # type: ignore[arg-type]  # `problems` tells

    @override
    def to_json(self) -> dict[str, Any]:
        return {"field": self.field, "labels": options_to_json(self.labels), "allowOverlap": self.allow_overlap}

    @override
    def problems(self) -> Iterator[GradbookError]:
        problem = text_problem(self.field, MAX_NAME, 1)
        if problem:
            yield invalid(problem, "field")
        yield from option_problems(self.labels, "label", minimum=1)
        yield from flag_problems(self.allow_overlap, "allowOverlap")

    @override
    def field_problems(self, fields: Mapping[str, FieldType]) -> Iterator[GradbookError]:
        if next(self.problems(), None) is not None:
            return
        texts = listed(name for name, type_ in fields.items() if type_ is FieldType.TEXT)
        advice = f"spans are marked in a TEXT field, of which there is {texts}"
        if self.field not in fields:
            yield invalid(f"There is no field {shown(self.field)}: {advice}.", "field")
        elif fields[self.field] is not FieldType.TEXT:
            yield invalid(f"The field {shown(self.field)} is {fields[self.field].name}: {advice}.", "field")

    @override
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Sorted by start, then end, then as the labels are. `text` may be given with a span: it is only compared."""
        if not isinstance(value, list | tuple):
            example = f'[{{"start": 0, "end": 5, "label": {shown(self.labels[0].value)}}}, …]'
            raise AnswerError(f"{shown(value)} is not a list of spans: write {example}, or [] if there are none.")
        if len(value) > MAX_SPANS:
            raise AnswerError(f"There are {len(value):,} spans: at most {MAX_SPANS:,} are allowed.")
        text = record_fields.get(self.field)
        if text is None and value:
            raise AnswerError(f"The record has no {shown(self.field)} to mark spans in: answer [].")
        spans = sorted(self._checked_span(item, index, text) for index, item in enumerate(value))
        for one, other in pairwise(spans):
            self._compare(one, other)
        return [{"start": start, "end": end, "label": self.labels[label].value} for start, end, label, _ in spans]

    def _checked_span(self, item: Any, index: int, text: Any) -> Span:
        if not isinstance(item, Mapping) or item.keys() - {"text"} != _KEYS:
            message = f'{shown(item)} is no span: write {{"start": …, "end": …, "label": …}}.'
            raise AnswerError(message, index)
        start, end = (_checked_offset(item, name, index) for name in ("start", "end"))
        if start < 0:
            raise AnswerError(f"start {start:,} lies before the text: its first character is 0.", index, "start")
        if end <= start:
            message = (
                f"end {end:,} is not after start {start:,}: a span holds a character at least, and its end is the "
                "place after the last."
            )
            raise AnswerError(message, index, "end")
        if end > len(text):
            hint = _UTF_16 if end <= len(text.encode("utf-16-le")) // 2 else ""
            message = f"end {end:,} lies beyond the {len(text):,} characters of {shown(self.field)}.{hint}"
            raise AnswerError(message, index, "end")
        if "text" in item:
            _compare_text(item["text"], text, start, end, index)
        return start, end, checked_option(self.labels, item["label"], index, "label", what="label"), index

    def _compare(self, one: Span, other: Span) -> None:
        earlier, later = sorted((one, other), key=lambda span: span[3])
        if one[:3] == other[:3]:
            raise AnswerError(f"It is the same as span {earlier[3]}: give each span once.", later[3])
        if not self.allow_overlap and other[0] < one[1]:
            places = f"{_place(later)} overlaps span {earlier[3]}, {_place(earlier)}"
            raise AnswerError(f"{places}: this question allows no overlap.", later[3])


def _checked_offset(item: Mapping[str, Any], name: str, index: int) -> int:
    offset = whole(item[name])
    if offset is None:
        raise AnswerError(f"{name} {shown(item[name])} is not a whole number of characters.", index, name)
    return offset


def _compare_text(given: Any, text: str, start: int, end: int, index: int) -> None:
    """Raise AnswerError unless the text that came with a span is the one that it marks."""
    marked = text[start:end]
    if given != marked:
        units = text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le", "replace")
        hint = _UTF_16 if given == units else ""
        message = f"text is {shown(given)}, but characters {start:,} to {end:,} are {shown(marked)}.{hint}"
        raise AnswerError(message, index, "text")


def _place(span: Span) -> str:
    return f"{span[0]:,} to {span[1]:,}"
