"""The formats: told apart by what files hold, and each read as records."""

import io
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet

from app.annotation.fields import KnownField
from app.annotation.questions import (
    AskedQuestion,
    LabelSettings,
    MultiLabelSettings,
    Option,
    RankingSettings,
    RatingSettings,
    SpanSettings,
    TextSettings,
)
from app.annotation.record_items import Shape
from app.annotation.tables import FieldType
from app.annotation.transfer.formats import Format, Source, open_folder, open_source, recognise
from app.annotation.transfer.inferring import infer_dataset
from app.annotation.transfer.line_format import BadLine, RecordLine
from app.errors import GradbookError

FILES = Path(__file__).parent / "files"
OPTIONS = (Option("war"), Option("peace"))
SETTINGS = {
    "topic": LabelSettings(OPTIONS),
    "tags": MultiLabelSettings(OPTIONS),
    "tone": RatingSettings(1, 5),
    "comment": TextSettings(),
    "order": RankingSettings(OPTIONS),
    "parts": SpanSettings("text", (Option("PER"), Option("LOC"))),
}
SHAPE = Shape(
    1,
    {
        "text": KnownField("text", True, FieldType.TEXT),
        "chat": KnownField("chat", False, FieldType.CHAT),
        "any": KnownField("any", False, FieldType.CUSTOM),
    },
    {name: AskedQuestion(name, False, settings) for name, settings in SETTINGS.items()},
)


def source_of(content: bytes, format: Format | None = None) -> Source:
    source = open_source(io.BytesIO(content), format)
    source.check()
    return source


def read(source: Source | bytes, shape: Shape | None = SHAPE) -> list[dict[str, Any]]:
    """The records as lines of JSON Lines; there are no bad ones."""
    opened = source_of(source) if isinstance(source, bytes) else source
    found = []
    for item in opened.records(shape):
        assert isinstance(item, RecordLine), item
        line: dict[str, Any] = {"id": item.record.external_id, "fields": item.record.fields}
        if item.record.metadata is not None:
            line["metadata"] = item.record.metadata
        if item.record.suggestions:
            line["suggestions"] = [(one.question, one.value, one.score, one.agent) for one in item.record.suggestions]
        if item.answers:
            line["responses"] = [(one.username, one.values, one.status.name) for one in item.answers]
        found.append(line)
    return found


def bad(content: bytes, shape: Shape | None = SHAPE) -> list[tuple[int, str]]:
    return [(item.number, item.reason) for item in source_of(content).records(shape) if isinstance(item, BadLine)]


def refused(content: bytes, shape: Shape | None = SHAPE) -> str:
    """What is said of a file that is refused before its first record is stored."""
    with pytest.raises(GradbookError) as error:
        next(iter(source_of(content).records(shape)), None)
    return error.value.message


def table(**columns: Any) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("beginning", "format"),
    [
        (b"", Format.JSONL),
        (b'\xef\xbb\xbf \n{"fields": {}}', Format.JSONL),
        (b"[1]", Format.JSON),
        (b"text\nhello\n", Format.CSV),
        (b'"text"\n', Format.CSV),
        (b"PAR1\0\0", Format.PARQUET),
    ],
)
def test_a_beginning_says_what_a_file_is(beginning: bytes, format: Format) -> None:
    assert recognise(beginning) is format


@pytest.mark.parametrize("beginning", [b"ARROW1\0\0", b"\xff\xff\xff\xff\x10"])
def test_a_file_of_arrow_is_told_of_its_folder(beginning: bytes) -> None:
    with pytest.raises(GradbookError, match="is imported by its folder"):
        recognise(beginning)


def test_a_csv_made_by_hand() -> None:
    content = "\ufeffid;text;year;topic;tone.suggestion;tone.suggestion.score\r\n1;Grüße;1900;war;4;0.5\r\n2;;;;;\r\n"
    assert read(content.encode()) == [
        {
            "id": "1",
            "fields": {"text": "Grüße"},
            "metadata": {"year": "1900"},
            "suggestions": [("topic", "war", None, None), ("tone", 4, 0.5, None)],
        },
        {"id": "2", "fields": {}},
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_cells_hold_line_ends_quotes_and_separators(delimiter: str) -> None:
    text = 'a "b"\r\nc,d;e\tf|g\nh'
    quoted = '"' + text.replace('"', '""') + '"'
    content = f"id{delimiter}text\n1{delimiter}{quoted}\n\n2{delimiter}x\n".encode()
    assert [line["fields"]["text"] for line in read(content)] == [text, "x"]
    assert [item.number for item in source_of(content).records(SHAPE)] == [2, 6]


def test_json_cells_and_answers_of_a_table() -> None:
    rows: dict[str, Any] = {
        "externalId": ["a"],
        "text": ["t"],
        "chat": ['[{"role": "user", "content": "hi"}]'],
        "any": ['{"n": 1.5}'],
        "metadata": ['{"a": 1}'],
        "metadata.b": ["2"],
        "tags.suggestion": ['["war"]'],
        "comment.suggestion": ["[1]"],
        "topic.responses": ['["war", "peace"]'],
        "topic.responses.users": ['["ann", "ben"]'],
        "topic.responses.status": ['["submitted", "draft"]'],
    }
    expected = {
        "id": "a",
        "fields": {"text": "t", "chat": [{"role": "user", "content": "hi"}], "any": {"n": 1.5}},
        "metadata": {"a": 1, "b": "2"},
        "suggestions": [("tags", ["war"], None, None), ("comment", "[1]", None, None)],
        "responses": [("ann", {"topic": "war"}, "SUBMITTED"), ("ben", {"topic": "peace"}, "DRAFT")],
    }
    cells = ['"' + cells[0].replace('"', '""') + '"' for cells in rows.values()]
    assert read(f"{','.join(rows)}\n{','.join(cells)}\n".encode()) == [expected]
    typed = {**rows, "any": [{"n": 1.5}], "chat": [[{"role": "user", "content": "hi"}]]}
    typed |= {"tags.suggestion": [["war"]], "topic.responses": [["war", "peace"]]}
    assert read(table(**typed)) == [expected]


def test_values_of_parquet_keep_their_types() -> None:
    content = table(
        id=pa.array([1, None]),
        text=["a", ""],
        n=pa.array([1.5, float("nan")]),
        day=pa.array([0, None], pa.date32()),
        any=pa.array([{"x": [1, 2]}, None]),
        words=pa.array([["a"], []]),
        yes=[True, False],
    )
    assert read(content) == [
        {
            "id": "1",
            "fields": {"text": "a", "any": {"x": [1, 2]}},
            "metadata": {"n": 1.5, "day": "1970-01-01", "words": ["a"], "yes": True},
        },
        {"id": None, "fields": {"text": ""}, "metadata": {"n": None, "words": [], "yes": False}},
    ]
    assert bad(table(text=["a"], picture=[b"\x89PNG"])) == [
        (1, 'column "picture": A value of type bytes is no JSON: make it text, a number or a list of those.')
    ]


def test_a_list_of_records_is_read_item_by_item() -> None:
    lines: list[dict[str, Any]] = [
        {"fields": {"text": 'a ] } , " \\ [ {'}},
        {"fields": {"text": "é" * 3}, "externalId": "x"},
    ]
    for text in (orjson.dumps(lines), orjson.dumps(lines, option=orjson.OPT_INDENT_2), b" \n" + orjson.dumps(lines)):
        assert [line["fields"] for line in read(text)] == [line["fields"] for line in lines]
    assert read(b"[ ]\n") == []
    assert bad(b'[{"fields": 1, "x": 2}, , 3]')[0][1].startswith('The line has "x"')


def argilla(**more: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "fields": {"text": "Ann and Ben"},
        "metadata": {"year": 1900},
        "suggestions": {
            "topic": {"value": "war", "score": 0.5, "agent": "m"},
            "tags": {"value": ["war"], "score": [0.5], "agent": None},
            "parts": {"value": [{"start": 0, "end": 3, "label": "PER", "score": 0.9}], "score": None, "agent": None},
        },
        "responses": {
            "topic": [{"value": "war", "user_id": "u1"}, {"value": "peace", "user_id": "u2"}],
            "order": [{"value": [{"value": "war", "rank": 1}, {"value": "peace", "rank": 2}], "user_id": "u1"}],
        },
        "vectors": {},
        "status": "completed",
        "_server_id": "5b2c",
    } | more


def test_argilla() -> None:
    ranks = [{"value": "war", "rank": 1}, {"value": "peace", "rank": 2}]
    assert read(orjson.dumps([argilla(), argilla(id=None, suggestions={}, responses={}, metadata={})])) == [
        {
            "id": "r1",
            "fields": {"text": "Ann and Ben"},
            "metadata": {"year": 1900},
            "suggestions": [
                ("topic", "war", 0.5, "m"),
                ("tags", ["war"], None, None),
                ("parts", [{"start": 0, "end": 3, "label": "PER"}], None, None),
            ],
            "responses": [
                ("u1", {"topic": "war", "order": ranks}, "SUBMITTED"),
                ("u2", {"topic": "peace"}, "SUBMITTED"),
            ],
        },
        {"id": None, "fields": {"text": "Ann and Ben"}},
    ]
    api = argilla(
        external_id="x",
        suggestions=[{"question_name": "topic", "value": "war"}],
        responses=[{"values": {"topic": {"value": "war"}}, "status": "draft", "user_id": "u"}],
    )
    [line] = read(orjson.dumps([api]))
    assert (line["id"], line["responses"]) == ("x", [("u", {"topic": "war"}, "DRAFT")])
    wrong = argilla(responses={"topic": [{"value": "war"}]})
    assert bad(orjson.dumps([argilla(), wrong, 5])) == [
        (2, "responses.topic[0]: There is no user_id: who answered?"),
        (3, '5 is no record of Argilla\'s: such a one is {"id": …, "fields": {…}, …}.'),
    ]


def test_argillas_folder_brings_its_questions(tmp_path: Path) -> None:
    def question(name: str, **settings: Any) -> dict[str, Any]:
        return {"name": name, "title": name.title(), "required": False, "settings": settings}

    options = [{"value": "war", "text": "War"}, {"value": "peace", "text": None}]
    settings = {
        "questions": [
            question("topic", type="label_selection", options=options),
            question("tags", type="multi_label_selection", options=options),
            question("tone", type="rating", options=[{"value": n} for n in range(1, 6)]),
            question("comment", type="text", use_markdown=False),
            question("order", type="ranking", options=options),
            question("parts", type="span", field="text", options=options, allow_overlapping=True),
        ]
    }
    (tmp_path / ".argilla").mkdir()
    (tmp_path / ".argilla" / "settings.json").write_bytes(orjson.dumps(settings))
    (tmp_path / "records.json").write_bytes(orjson.dumps([argilla()]))
    with ExitStack() as stack:
        source, size = open_folder(tmp_path, None, stack)
        source.check()
        made = infer_dataset("d", 7, source.records(None), source.unit, source.questions())
        assert size == (tmp_path / "records.json").stat().st_size
        assert len(read(source)) == 1
    assert [field.name for field in made.fields] == ["text"]
    both = [{"value": "war", "text": "War"}, {"value": "peace"}]
    assert {one.name: (one.settings.key, one.settings.to_json(), one.title) for one in made.questions} == {
        "topic": ("label", {"options": both}, "Topic"),
        "tags": ("multiLabel", {"options": both}, "Tags"),
        "tone": ("rating", {"min": 1, "max": 5}, "Tone"),
        "comment": ("text", {}, "Comment"),
        "order": ("ranking", {"options": both, "allowTies": True}, "Order"),
        "parts": ("span", {"field": "text", "labels": both, "allowOverlap": True}, "Parts"),
    }


def result(name: str, kind: str, **value: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": "t", "type": kind, "value": value, "id": name, "origin": "manual"}


TASK = {
    "id": 4,
    "data": {"text": "🎉 Ann", "year": 1900},
    "meta": {},
    "annotations": [
        {
            "id": 9,
            "completed_by": {"id": 1, "email": "ann@example.com"},
            "was_cancelled": False,
            "result": [
                result("topic", "choices", choices=["war"]),
                result("tags", "choices", choices=["war", "peace"]),
                result("tone", "rating", rating=4),
                result("comment", "textarea", text=["one", "two"]),
                result("order", "ranker", ranker=["peace", "war"]),
                result("parts", "labels", start=3, end=6, text="Ann", labels=["PER"]),
            ],
        },
        {"id": 10, "completed_by": 2, "was_cancelled": True, "result": []},
    ],
    "predictions": [{"model_version": "m", "score": 0.5, "result": [result("topic", "choices", choices=["peace"])]}],
}
ANSWERS = {
    "topic": "war",
    "tags": ["war", "peace"],
    "tone": 4,
    "comment": "one\ntwo",
    "order": [{"value": "peace", "rank": 1}, {"value": "war", "rank": 2}],
    "parts": [{"start": 2, "end": 5, "label": "PER"}],
}


def test_label_studio() -> None:
    assert read(orjson.dumps([TASK])) == [
        {
            "id": "4",
            "fields": {"text": "🎉 Ann"},
            "metadata": {"year": 1900},
            "suggestions": [("topic", "peace", 0.5, "m")],
            "responses": [("ann@example.com", ANSWERS, "SUBMITTED"), ("2", None, "DISCARDED")],
        }
    ]
    boxes = {**TASK, "annotations": [{"completed_by": 1, "result": [result("box", "rectanglelabels", x=1)]}]}
    [(number, reason)] = bad(orjson.dumps([TASK, boxes]))
    assert number == 2
    assert reason.startswith(
        'annotations[0].result[0]: "rectanglelabels" is not taken: results are of type "choices", '
    )


def test_label_studio_says_what_is_asked_as_far_as_it_occurs() -> None:
    source = source_of(orjson.dumps([TASK]))
    made = infer_dataset("d", 7, source.records(None), source.unit, source.questions())
    assert [field.name for field in made.fields] == ["text"]
    asked = {question.name: (question.settings.key, question.settings.to_json()) for question in made.questions}
    war, peace = {"value": "war"}, {"value": "peace"}
    assert asked == {
        "topic": ("label", {"options": [war, peace]}),
        "tags": ("multiLabel", {"options": [war, peace]}),
        "tone": ("rating", {"min": 1, "max": 5}),
        "comment": ("text", {}),
        "order": ("ranking", {"options": [peace, war], "allowTies": False}),
        "parts": ("span", {"field": "text", "labels": [{"value": "PER"}], "allowOverlap": True}),
    }


def test_json_min_gathers_the_annotations_of_a_task() -> None:
    def item(annotator: Any, **more: Any) -> dict[str, Any]:
        times = {"annotation_id": 1, "created_at": "x", "updated_at": "y", "lead_time": 1.5}
        return {"text": "🎉 Ann", "year": 1900, "id": 4, "annotator": annotator, **times, **more}

    full = {
        "topic": "war",
        "tags": {"choices": ["war", "peace"]},
        "tone": [{"rating": 4}],
        "comment": ["one", "two"],
        "parts": [{"start": 3, "end": 6, "text": "Ann", "labels": ["PER"]}],
    }
    content = orjson.dumps([item(1, **full), item(2, tags="war"), item(1, id=5, topic="peace")])
    answers = {name: ANSWERS[name] for name in full}
    assert read(content) == [
        {
            "id": "4",
            "fields": {"text": "🎉 Ann"},
            "metadata": {"year": 1900},
            "responses": [("1", answers, "SUBMITTED"), ("2", {"tags": ["war"]}, "SUBMITTED")],
        },
        {
            "id": "5",
            "fields": {"text": "🎉 Ann"},
            "metadata": {"year": 1900},
            "responses": [("1", {"topic": "peace"}, "SUBMITTED")],
        },
    ]
    source = source_of(content)
    assert "say by --schema FILE" in next(item.reason for item in source.records(None) if isinstance(item, BadLine))


def folder(path: Path) -> Source:
    with ExitStack() as stack:
        source, size = open_folder(path, None, stack)
        source.check()
        assert size > 1000
        return source


def test_a_folder_of_hugging_face_makes_a_dataset() -> None:
    source = folder(FILES / "hf-dataset")
    made = infer_dataset("d", 7, source.records(None), source.unit, source.questions())
    assert [(field.name, field.type.name) for field in made.fields] == [
        ("text", "TEXT"),
        ("tags", "CUSTOM"),
        ("score", "CUSTOM"),
    ]
    assert [(one.name, one.settings.to_json()) for one in made.questions] == [
        ("label", {"options": [{"value": "neg"}, {"value": "pos"}]})
    ]
    assert read(source, None) == [
        {
            "id": "1",
            "fields": {"text": "one", "tags": ["a"], "score": 0.5},
            "suggestions": [("label", "neg", None, None)],
        },
        {"id": "2", "fields": {"text": "zwö", "tags": []}, "suggestions": [("label", "pos", None, None)]},
        {"id": "3", "fields": {"tags": ["b", "c"], "score": 1.0}},
    ]


def test_splits_follow_each_other() -> None:
    lines = read(folder(FILES / "hf-splits"))
    assert [(line["id"], line["metadata"]["split"], line["metadata"].get("label")) for line in lines] == [
        ("1", "train", "neg"),
        ("2", "train", "pos"),
        ("3", "train", None),
        ("1", "test", "neg"),
    ]


def test_a_folder_that_is_not_complete(tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(GradbookError) as error:
            folder(path)
        assert error.value.message.endswith("Nothing was imported.")
        return error.value.message

    assert "is a folder without dataset_dict.json or state.json" in said(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(FILES / "hf-splits", copy)
    arrow = copy / "test" / "data-00000-of-00001.arrow"
    whole = arrow.read_bytes()
    for length in range(0, len(whole) - 16, 200):
        arrow.write_bytes(whole[:length])
        assert "is damaged" in said(copy)
    arrow.unlink()
    assert "is missing: was the folder copied completely?" in said(copy)
    (copy / "test" / "state.json").write_text("{")
    assert "does not say '_data_files'" in said(copy)
    (copy / "test" / "state.json").unlink()
    assert "state.json is missing" in said(copy)
