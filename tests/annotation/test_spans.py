"""Spans: labelled parts of a text, in code points, within it, overlapping only where that is allowed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.annotation.answers import check_answers
from app.annotation.questions import AnswerError, AskedQuestion, Option, SpanSettings
from app.annotation.spans import MAX_SPANS
from app.annotation.tables import ResponseStatus
from app.db.types import json_text

LABELS = (Option("PERSON"), Option("PLACE"))
STRICT, FREE = SpanSettings("text", LABELS), SpanSettings("text", LABELS, allow_overlap=True)
TEXT = {"text": "Ann met Ben in Rome."}
MIXED = {"text": "🎉 子曰：👩‍🚀 學而時習之 é!"}


def span(start: Any, end: Any, label: Any = "PERSON", **more: Any) -> dict[str, Any]:
    return {"start": start, "end": end, "label": label, **more}


def found(fields: dict[str, str], part: str) -> dict[str, Any]:
    start = fields["text"].index(part)
    return span(start, start + len(part), text=part)


def test_spans_are_stored_in_the_order_of_the_text() -> None:
    value = [span(15, 19, "PLACE"), span(8, 11.0), span(0, 3, text="Ann")]
    assert STRICT.check(value, TEXT) == [span(0, 3), span(8, 11), span(15, 19, "PLACE")]
    several = [span(0, 3, "PLACE"), span(0, 7), span(0, 3)]
    assert FREE.check(several, TEXT) == [span(0, 3), span(0, 3, "PLACE"), span(0, 7)]


def test_offsets_count_code_points() -> None:
    assert STRICT.check([found(MIXED, "子曰")], MIXED) == [span(2, 4)]  # an emoji is one
    assert STRICT.check([found(MIXED, "學而時習之")], MIXED) == [span(9, 14)]  # of three that are joined each is one
    whole = span(0, len(MIXED["text"]))
    assert STRICT.check([whole], MIXED) == [whole]


def test_offsets_in_utf_16_units_are_told_from_others() -> None:
    with pytest.raises(AnswerError, match="UTF-16") as caught:
        STRICT.check([span(3, 5, text="子曰")], MIXED)
    assert caught.value.path == (0, "text")
    assert 'text is "子曰", but characters 3 to 5 are "曰：".' in str(caught.value)
    with pytest.raises(AnswerError, match=r"beyond the 17 characters.*UTF-16"):
        STRICT.check([span(0, 19)], MIXED)
    with pytest.raises(AnswerError, match=r"beyond the 17 characters of \"text\"\.$"):
        STRICT.check([span(0, 21)], MIXED)


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        (
            "Ann",
            (),
            '"Ann" is not a list of spans: write [{"start": 0, "end": 5, "label": "PERSON"}, …], or [] if there',
        ),
        ({}, (), "{} is not a list of spans"),
        ([span(0, 3), 7], (1,), '7 is no span: write {"start": …, "end": …, "label": …}.'),
        ([{"start": 0, "end": 3}], (0,), "is no span"),
        ([span(0, 3, score=0.5)], (0,), "is no span"),
        ([span("0", 3)], (0, "start"), 'start "0" is not a whole number of characters.'),
        ([span(0, 2.5)], (0, "end"), "end 2.5 is not a whole number"),
        ([span(False, 3)], (0, "start"), "start false is not"),
        ([span(-1, 3)], (0, "start"), "start -1 lies before the text: its first character is 0."),
        ([span(3, 3)], (0, "end"), "end 3 is not after start 3: a span holds a character at least"),
        ([span(3, 2)], (0, "end"), "end 2 is not after start 3"),
        ([span(0, 1204)], (0, "end"), 'end 1,204 lies beyond the 20 characters of "text".'),
        (
            [span(0, 3, "PERSN")],
            (0, "label"),
            '"PERSN" is not a label: allowed are "PERSON", "PLACE". Is "PERSON" meant?',
        ),
        ([span(0, 3, None)], (0, "label"), "null is not a label"),
        ([span(0, 3, text="Ben")], (0, "text"), 'text is "Ben", but characters 0 to 3 are "Ann".'),
        ([span(8, 11), span(0, 3), span(8, 11)], (2,), "It is the same as span 0: give each span once."),
        (
            [span(2, 9), span(15, 19), span(0, 3)],
            (2,),
            "0 to 3 overlaps span 0, 2 to 9: this question allows no overlap.",
        ),
        ([span(0, 3), span(0, 3, "PLACE")], (1,), "0 to 3 overlaps span 0, 0 to 3"),
        ([span(0, 1)] * (MAX_SPANS + 1), (), "There are 10,001 spans: at most 10,000 are allowed."),
    ],
)
def test_a_wrong_span_is_named(value: Any, path: tuple[Any, ...], message: str) -> None:
    with pytest.raises(AnswerError) as caught:
        STRICT.check(value, TEXT)
    assert message in str(caught.value)
    assert caught.value.path == path


def test_where_overlap_is_allowed_the_same_span_twice_is_not() -> None:
    assert FREE.check([span(0, 9), span(2, 5)], TEXT) == [span(0, 9), span(2, 5)]
    with pytest.raises(AnswerError, match="It is the same as span 0"):
        FREE.check([span(0, 9), span(0, 9)], TEXT)


def test_spans_that_touch_do_not_overlap() -> None:
    assert STRICT.check([span(0, 3), span(3, 7)], TEXT) == [span(0, 3), span(3, 7)]


@pytest.mark.parametrize("fields", [{}, {"text": None}])
def test_a_record_without_the_text_takes_no_spans(fields: dict[str, Any]) -> None:
    assert STRICT.check([], fields) == []
    with pytest.raises(AnswerError, match=r'The record has no "text" to mark spans in: answer \[\]\.'):
        STRICT.check([span(0, 1)], fields)


def test_that_there_are_none_is_an_answer() -> None:
    questions = {"names": AskedQuestion("names", True, STRICT)}
    assert check_answers(questions, {"names": []}, ResponseStatus.SUBMITTED, TEXT) == ({"names": []}, [])
    _, (error,) = check_answers(questions, {"names": None}, ResponseStatus.SUBMITTED, TEXT)
    assert "required" in error.message


def test_an_error_names_the_span_and_its_place() -> None:
    questions = {"names": AskedQuestion("names", True, STRICT)}
    _, (error,) = check_answers(questions, {"names": [span(0, 3), span(8, 1204)]}, ResponseStatus.DRAFT, TEXT)
    assert error.path == ("names", 1, "end")
    assert error.message == 'names[1]: end 1,204 lies beyond the 20 characters of "text".'


def test_as_many_as_are_allowed_are_checked_at_once() -> None:
    value = [span(n, n + 1) for n in range(MAX_SPANS)]
    assert len(STRICT.check(value[::-1], {"text": "x" * MAX_SPANS})) == MAX_SPANS


TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("🎉👩\u200d🚀道德經ée\u0301"), min_size=1, max_size=12
)


@st.composite
def marked(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    text = draw(TEXTS)
    spans = st.builds(
        lambda start, length, label: span(start, min(start + length, len(text)), label),
        st.integers(0, len(text) - 1),
        st.integers(1, 5),
        st.sampled_from(["PERSON", "PLACE"]),
    )
    return text, draw(st.lists(spans, max_size=5))


def is_good(value: list[dict[str, Any]], *, overlap: bool) -> bool:
    """The rule written the slow way: no two the same; without overlap no character that two mark."""
    if len({tuple(item.values()) for item in value}) < len(value):
        return False
    characters = [n for item in value for n in range(item["start"], item["end"])]
    return overlap or len(set(characters)) == len(characters)


@given(marked(), st.booleans(), st.randoms(use_true_random=False))
def test_the_rule_holds_and_equal_answers_are_equal_bytes(
    drawn: tuple[str, list[dict[str, Any]]], overlap: bool, random: Any
) -> None:
    text, value = drawn
    settings, fields = FREE if overlap else STRICT, {"text": text}
    with_text = [{**item, "text": text[item["start"] : item["end"]]} for item in value]
    if not is_good(value, overlap=overlap):
        with pytest.raises(AnswerError):
            settings.check(value, fields)
        return
    normal = settings.check(value, fields)
    assert sorted(map(json_text, normal)) == sorted(map(json_text, value))
    shuffled = random.sample(with_text, len(value))
    assert json_text(settings.check(shuffled, fields)) == json_text(normal) == json_text(settings.check(normal, fields))


@given(marked())
def test_utf_16_offsets_are_never_taken_for_others_unseen(drawn: tuple[str, list[dict[str, Any]]]) -> None:
    """A client that counts UTF-16 units and sends the text along is told, or is right."""
    text, value = drawn
    for item in value:
        start, end = (len(text[: item[name]].encode("utf-16-le")) // 2 for name in ("start", "end"))
        sent = span(start, end, item["label"], text=text[item["start"] : item["end"]])
        if (start, end) == (item["start"], item["end"]) or (text[start:end] == sent["text"] and end <= len(text)):
            assert STRICT.check([sent], {"text": text}) == [span(start, end, item["label"])]
        else:
            with pytest.raises(AnswerError, match="UTF-16"):
                STRICT.check([sent], {"text": text})
