"""Settings of questions, and the answers they take."""

from typing import Any

import orjson
import pytest

from app.annotation.answers import check_answers
from app.annotation.questions import (
    SETTINGS,
    AnswerError,
    LabelSettings,
    MultiLabelSettings,
    Option,
    Questions,
    QuestionSettings,
    RankingSettings,
    RatingSettings,
    SpanSettings,
    TextSettings,
    parse_questions,
)
from app.annotation.tables import QuestionType, ResponseStatus

DRAFT, SUBMITTED, DISCARDED = ResponseStatus.DRAFT, ResponseStatus.SUBMITTED, ResponseStatus.DISCARDED
TOPICS = (Option("economy", "Economy"), Option("war"), Option("health"))


def questions() -> Questions:
    return parse_questions(
        orjson.dumps(
            [
                [1, "tone", False, "RATING", {"min": 1, "max": 5}],
                [0, "topic", True, "LABEL", {"options": [{"value": "economy", "text": "Economy"}, {"value": "war"}]}],
                [2, "mentions", 0, "MULTI_LABEL", {"options": [{"value": "taxes"}, {"value": "peace"}]}],
                [3, "note", 1, "TEXT", {"maxLength": 20}],
            ]
        ).decode()
    )


@pytest.mark.parametrize(
    ("settings", "value", "normal"),
    [
        (TextSettings(), " as it is ", " as it is "),
        (TextSettings(3), "äöü", "äöü"),
        (RatingSettings(1, 5), 5, 5),
        (RatingSettings(-1, 1), -1.0, -1),
        (LabelSettings(TOPICS), "war", "war"),
        (MultiLabelSettings(TOPICS), ["health", "economy"], ["economy", "health"]),
        (MultiLabelSettings(TOPICS), [], []),
    ],
)
def test_an_answer_comes_back_in_its_normal_form(settings: QuestionSettings, value: Any, normal: Any) -> None:
    answer = settings.check(value, {})
    assert (answer, type(answer)) == (normal, type(normal))


@pytest.mark.parametrize(
    ("settings", "value", "message"),
    [
        (TextSettings(), 7, "7 is not a string."),
        (TextSettings(5), "longer than five", '"longer than five" has 16 characters: at most 5 are allowed.'),
        (TextSettings(), "a\0b", "NUL"),
        (TextSettings(), "a\ud800", r"'\\ud800' at position 1 is half a character"),
        (RatingSettings(1, 5), 6, "6 is not a whole number from 1 to 5."),
        (RatingSettings(1, 5), 2.5, "2.5 is not a whole number from 1 to 5."),
        (RatingSettings(0, 1), True, "true is not a whole number from 0 to 1."),
        (RatingSettings(1, 5), "3", '"3" is not a whole number'),
        (RatingSettings(1, 5), float("nan"), '"NaN" is not a whole number'),
        (LabelSettings(TOPICS), "peace", '"peace" is not an option: allowed are "economy", "war", "health".$'),
        (LabelSettings(TOPICS), "econmy", 'Is "economy" meant?'),
        (LabelSettings(TOPICS), ["war"], r'\["war"\] is not an option'),
        (LabelSettings([Option(str(n)) for n in range(500)]), "x" * 10_000, '"x{59}… is not an option.* and 490 more'),
        (MultiLabelSettings(TOPICS), "war", r'"war" is not a list of options, such as \["economy"\]'),
        (MultiLabelSettings(TOPICS), ["war", "peace"], '"peace" is not an option'),
        (MultiLabelSettings(TOPICS), ["war", "war"], '"war" is chosen twice'),
    ],
)
def test_a_wrong_answer_is_named_with_what_is_allowed(settings: QuestionSettings, value: Any, message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        settings.check(value, {})


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        (TextSettings(0), ("maxLength",), "0 is not a whole number from 1 to 100,000"),
        (TextSettings(True), ("maxLength",), "true is not"),
        (RatingSettings(5, 5), ("max",), "From 5 to 5 are 1 ratings: choose min and max so that there are 2 to 101"),
        (RatingSettings(5, 1), ("max",), "are 0 ratings"),
        (RatingSettings(0, 101), ("max",), "are 102 ratings"),
        (RatingSettings(-2000, 5), ("min",), "-2000 is not a whole number from -1,000 to 1,000"),
        (RatingSettings.from_json({"min": 1}), ("max",), "null is not"),
        (LabelSettings([Option("a")]), ("options",), "There are 1 options: give 2 to 500"),
        (LabelSettings([Option(str(n)) for n in range(501)]), ("options",), "There are 501 options"),
        (LabelSettings([Option("a"), Option("a")]), ("options", 1, "value"), '"a" is also the value of option 0'),
        (LabelSettings([Option("a"), Option("")]), ("options", 1, "value"), '"" has 0 characters: use 1 to 200'),
        (LabelSettings([Option("a"), Option("b", "")]), ("options", 1, "text"), "use 1 to 500"),
        (LabelSettings.from_json({"options": "ab"}), ("options",), '"ab" is not a list'),
        (LabelSettings.from_json({"options": [{"value": "a"}, "b"]}), ("options", 1), '"b" is no option'),
        (MultiLabelSettings.from_json({"options": [{"value": "a"}, {"text": "b"}]}), ("options", 1), "is no option"),
        (RankingSettings([Option("a")]), ("options",), "There are 1 options: give 2 to 50"),
        (RankingSettings([Option(str(n)) for n in range(51)]), ("options",), "There are 51 options: give 2 to 50"),
        (RankingSettings(TOPICS, "yes"), ("allowTies",), '"yes" is neither true nor false'),  # type: ignore[arg-type]
        (SpanSettings("text", []), ("labels",), "There are 0 labels: give 1 to 500"),
        (SpanSettings("text", [Option("a"), Option("a")]), ("labels", 1, "value"), '"a" is also the value of label 0'),
        (SpanSettings("text", TOPICS, 1), ("allowOverlap",), "1 is neither true nor false"),  # type: ignore[arg-type]
        (SpanSettings.from_json({"labels": [{"value": "a"}]}), ("field",), "null is not a string"),
        (SpanSettings.from_json({"field": "text"}), ("labels",), "null is not a list of labels"),
        (SpanSettings.from_json({"field": "text", "labels": ["a"]}), ("labels", 0), '"a" is no label'),
    ],
)
def test_wrong_settings_are_named_by_path(settings: QuestionSettings, path: tuple[Any, ...], message: str) -> None:
    (error,) = settings.problems()
    assert (error.code, error.path) == ("INVALID_INPUT", path)
    assert message in error.message


@pytest.mark.parametrize(
    "settings",
    [
        TextSettings(),
        TextSettings(9),
        RatingSettings(0, 100),
        LabelSettings(TOPICS),
        MultiLabelSettings(TOPICS),
        RankingSettings(TOPICS),
        RankingSettings(TOPICS, allow_ties=True),
        SpanSettings("text", TOPICS[:1]),
        SpanSettings("text", TOPICS, allow_overlap=True),
    ],
)
def test_settings_survive_storing(settings: QuestionSettings) -> None:
    assert list(settings.problems()) == []
    assert SETTINGS[settings.type].from_json(orjson.loads(orjson.dumps(settings.to_json()))) == settings


def test_every_type_has_its_class() -> None:
    assert set(SETTINGS) == set(QuestionType)
    assert len({kind.key for kind in SETTINGS.values()}) == len(SETTINGS)


def test_answers_are_put_in_the_order_of_the_questions() -> None:
    values, errors = check_answers(questions(), {"note": "x", "tone": 3.0, "topic": "war", "mentions": None}, SUBMITTED)
    assert errors == []
    assert list((values or {}).items()) == [("topic", "war"), ("tone", 3), ("note", "x")]


@pytest.mark.parametrize("missing", [{}, {"topic": None, "note": None}, {"note": "  "}])
def test_submitting_needs_every_required_question(missing: dict[str, Any]) -> None:
    _, errors = check_answers(questions(), missing, SUBMITTED)
    assert [error.path for error in errors] == [("topic",), ("note",)]
    assert errors[0].message == "topic: the question is required, and null does not answer it."


@pytest.mark.parametrize("status", [DRAFT, DISCARDED])
@pytest.mark.parametrize("values", [None, {}, {"tone": 2}])
def test_drafts_and_discards_may_be_partial(status: ResponseStatus, values: Any) -> None:
    assert check_answers(questions(), values, status) == (values, [])


def test_a_draft_is_checked_too() -> None:
    _, errors = check_answers(questions(), {"tone": 9, "topic": "sports"}, DRAFT)
    assert [error.path for error in errors] == [("topic",), ("tone",)]


def test_an_unknown_question_is_answered_with_the_known_ones() -> None:
    _, errors = check_answers(questions(), {"topc": "war"}, DRAFT)
    assert errors[0].path == ("topc",)
    assert errors[0].message == ('There is no question "topc": the dataset asks "topic", "tone", "mentions", "note".')


@pytest.mark.parametrize("values", [["war"], "war", 3])
def test_values_must_be_an_object(values: Any) -> None:
    _, errors = check_answers(questions(), values, DRAFT)
    assert 'is no object of answers by question, such as {"topic": …}' in errors[0].message


def test_submitting_nothing_names_what_is_required() -> None:
    _, errors = check_answers(questions(), None, SUBMITTED)
    assert errors[0].message == 'There are no values: answer "topic", "note".'


def test_questions_are_kept_by_their_text_and_by_nothing_else() -> None:
    one = '[[0,"topic",true,"TEXT",{}]]'
    assert parse_questions(one) is parse_questions(str(one))
    assert not parse_questions('[[0,"topic",false,"TEXT",{}]]')["topic"].required
