"""A dataset made from a file without a schema."""

import io
from typing import Any

import orjson
import pytest

from app.annotation.datasets import CreateDatasetInput
from app.annotation.tables import FieldType, QuestionType
from app.annotation.transfer.inferring import infer_dataset
from app.annotation.transfer.line_format import read_record
from app.annotation.transfer.lines import read_lines
from app.errors import GradbookError

CHAT = [{"role": "user", "content": "Hello"}]


def infer(*lines: Any) -> CreateDatasetInput:
    file = io.BytesIO(b"".join(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines))
    return infer_dataset("made", 7, map(read_record, read_lines(file)))


def refused(*lines: Any) -> str:
    with pytest.raises(GradbookError) as error:
        infer(*lines)
    assert error.value.code == "INVALID_INPUT"
    return error.value.message


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["text"], FieldType.TEXT),
        (["text", None, "more"], FieldType.TEXT),
        ([None], FieldType.TEXT),
        ([1, 2.5], FieldType.CUSTOM),
        (["text", 1], FieldType.CUSTOM),
        ([{"a": 1}], FieldType.CUSTOM),
        ([CHAT], FieldType.CHAT),
        ([CHAT, []], FieldType.CUSTOM),
        ([CHAT, "text"], FieldType.CUSTOM),
        ([[{"role": "user", "content": 1}]], FieldType.CUSTOM),
        (["https://example.com/a.png", "data:image/png;base64,AA"], FieldType.IMAGE),
        (["https://example.com/a.png", "text"], FieldType.TEXT),
        (["https://example.com/a.html"], FieldType.TEXT),
    ],
)
def test_a_fields_type_is_what_all_its_values_are(values: list[Any], expected: FieldType) -> None:
    made = infer(*({"fields": {"it": value}} for value in values))
    assert [(field.name, field.type, field.required) for field in made.fields] == [("it", expected, False)]


def test_the_fields_are_those_of_all_lines_and_the_question_is_a_comment() -> None:
    made = infer({"fields": {"b": "1", "a": "2"}}, b"bad\n", {"fields": 3}, {"fields": {"c": 1, "a": "3"}})
    assert (made.name, made.workspace_id) == ("made", 7)
    assert [field.name for field in made.fields] == ["b", "a", "c"]
    assert [(question.name, question.settings.type) for question in made.questions] == [("comment", QuestionType.TEXT)]


def test_what_answers_answer_only_a_schema_can_say() -> None:
    answered = {"fields": {"a": "1"}, "responses": [{"user": "ann", "values": {"tone": 1, "comment": "ok"}}]}
    assert refused({"fields": {"a": "1"}}, answered).startswith('Line 2 answers "tone": say by --schema FILE')
    suggested = {"fields": {"a": "1"}, "suggestions": [{"question": "topic", "value": 1}]}
    assert 'Line 1 answers "topic"' in refused(suggested)
    assert infer({"fields": {"a": "1"}, "responses": [{"user": "ann", "values": {"comment": "ok"}}]}).fields


def test_a_file_without_fields_or_with_too_many_makes_no_dataset() -> None:
    assert "has no record with fields" in refused()
    assert "has no record with fields" in refused({"fields": {}})
    assert "no dataset was made. Line 2: " in refused({"fields": {}}, b"bad\n", b"worse\n")
    assert "more than 50 different fields" in refused(*({"fields": {f"field{n}": 1}} for n in range(51)))
