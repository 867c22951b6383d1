"""Spans on real texts in every door, and the texts under them."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson

from app.annotation.checks import errors_of
from app.annotation.record_items import RecordInput, SuggestionInput, UserAnswers
from app.annotation.records import OnConflict, Outcome, RecordResult
from app.annotation.responses import Answers, delete_response, save_draft, submit_response, submit_responses
from app.annotation.tables import ResponseStatus
from app.errors import GradbookError
from tests.annotation.book import Book

TEXTS = [
    "🎉 Theodore Roosevelt spoke in Washington 🇺🇸 today.",
    "子曰：學而時習之，不亦說乎？",
    "Ça coûte 5 €, said 👩‍🚀 Zoë.",
]
PEOPLE = ["Theodore Roosevelt", "子", "Zoë"]
ORDER = [{"value": "duty", "rank": 1}, {"value": "fear", "rank": 2}]


def span(text: str, part: str) -> dict[str, Any]:
    start = text.index(part)
    return {"start": start, "end": start + len(part), "label": "PERSON"}


NAMES = [[span(text, part)] for text, part in zip(TEXTS, PEOPLE, strict=True)]


def record(number: int, text: str | None = None, **more: Any) -> RecordInput:
    fields = {"text": TEXTS[number] if text is None else text, **more.pop("fields", {})}
    return RecordInput(fields, f"t{number}", **more)


def refused(results: list[RecordResult]) -> list[tuple[str, tuple[Any, ...]]]:
    assert all((result.outcome is Outcome.REFUSED) == bool(result.errors) for result in results)
    return [(error.code, error.path) for result in results for error in result.errors]


async def stored(book: Book, table: str) -> list[Any]:
    column = '"values"' if table == "response" else "value"
    rows = await book.rows(f"SELECT CAST({column} AS text) FROM {table} ORDER BY id")
    return [orjson.loads(value) for (value,) in rows]


async def test_a_span_is_checked_against_the_text_of_its_record(marking: Book) -> None:
    ids = await marking.add([record(n) for n in range(3)])
    for record_id, names, text in zip(ids, NAMES, TEXTS, strict=True):
        await marking.submit("ada", record_id, {"names": names, "appeal": ORDER[::-1]})
        beyond = [{**names[0], "end": len(text) + 1}]
        error = await marking.refused("ben", submit_response, record_id, {"names": beyond})
        assert error.path == ("values", "names", 0, "end")
        assert f'end {len(text) + 1} lies beyond the {len(text)} characters of "text"' in error.message
        error = await marking.refused("ben", save_draft, record_id, {"names": beyond})
        assert error.path == ("values", "names", 0, "end")
    assert await stored(marking, "response") == [{"names": names, "appeal": ORDER} for names in NAMES]


async def test_so_are_those_of_a_bulk(marking: Book) -> None:
    ids = await marking.add([record(n) for n in range(3)])
    items = [Answers(record_id, {"names": NAMES[0]}) for record_id in ids]
    results = await marking.act("ada", submit_responses, items)
    assert [bool(result.response) for result in results] == [True, False, True]
    (error,) = results[1].errors
    assert error.path == ("responses", 1, "values", "names", 0, "end")
    assert await stored(marking, "response") == [{"names": NAMES[0]}] * 2


async def test_so_are_suggestions_and_the_answers_of_imports(marking: Book) -> None:
    ada = marking.users["ada"].id
    good = [
        record(
            n,
            suggestions=[SuggestionInput("names", NAMES[n], 0.9, "m"), SuggestionInput("appeal", ORDER[::-1])],
            responses=[UserAnswers(ada, {"names": NAMES[n]})],
        )
        for n in range(3)
    ]
    await marking.add(good)
    assert await stored(marking, "suggestion") == [value for names in NAMES for value in (names, ORDER)]
    bad = [
        record(0, suggestions=[SuggestionInput("names", [{"start": 0, "end": 999, "label": "PERSON"}])]),
        record(1, suggestions=[SuggestionInput("appeal", ORDER[:1])]),
        record(2, responses=[UserAnswers(ada, {"names": NAMES[0], "appeal": ORDER[:1]})]),
    ]
    results = await marking.add_some(bad, OnConflict.UPDATE)
    assert refused(results) == [
        ("INVALID_INPUT", ("records", 0, "suggestions", 0, "value", 0, "end")),
        ("INVALID_INPUT", ("records", 1, "suggestions", 0, "value")),
        ("INVALID_INPUT", ("records", 2, "responses", 0, "values", "appeal")),
    ]
    assert results[1].errors[0].message == 'appeal: The ranking leaves out "fear": give every option a rank.'
    assert await stored(marking, "response") == [{"names": names} for names in NAMES]


async def test_a_draft_may_hold_a_begun_ranking_but_is_not_submitted_so(marking: Book) -> None:
    (record_id,) = await marking.add([record(0)])
    begun = {"names": [], "appeal": [{"value": "fear", "rank": 2}]}
    await marking.act("ada", save_draft, record_id, begun)
    assert await stored(marking, "response") == [begun]
    error = await marking.refused("ada", submit_response, record_id, begun)
    assert error.path == ("values", "appeal")


async def test_a_text_in_which_spans_are_marked_stays(marking: Book) -> None:
    suggested = [SuggestionInput("names", NAMES[1])]
    first, second, third = await marking.add([record(0), record(1, suggestions=suggested), record(2)])
    await marking.submit("ada", first, {"names": NAMES[0]})
    await marking.act("ben", save_draft, first, {"names": NAMES[0]})
    await marking.submit("ada", third, {"names": []})
    new = [record(n, text="Another text, as long as it takes.") for n in range(3)]
    results = await marking.add_some(new, OnConflict.UPDATE)
    assert refused(results) == [("CONFLICT", ("records", n, "fields", "text")) for n in (0, 1)]
    assert results[0].errors[0].message == (
        'The text of "text" would change, in which spans are marked: by 2 responses to "names". Replace these in the '
        "same item, delete them, or add the new text as another record."
    )
    assert 'by 1 suggestion to "names"' in results[1].errors[0].message
    assert results[2].outcome is Outcome.UPDATED  # what marks nothing holds no text
    texts = await marking.rows("SELECT CAST(fields AS text) FROM record ORDER BY id")
    assert [orjson.loads(fields)["text"] for (fields,) in texts] == [*TEXTS[:2], new[2].fields["text"]]
    assert second not in {result.record_id for result in results}


async def test_what_is_not_marked_may_change_under_spans(marking: Book) -> None:
    (record_id,) = await marking.add([record(0, suggestions=[SuggestionInput("names", NAMES[0])])])
    await marking.submit("ada", record_id, {"names": NAMES[0]})
    again = record(0, fields={"note": "seen"}, metadata={"year": 1906})
    assert await marking.add([again], OnConflict.UPDATE) == [record_id]


async def test_a_text_may_change_with_all_that_is_marked_in_it(marking: Book) -> None:
    ada, ben = (marking.users[name].id for name in ("ada", "ben"))
    (record_id,) = await marking.add([record(0, suggestions=[SuggestionInput("names", NAMES[0])])])
    for who in ("ada", "ben"):
        await marking.submit(who, record_id, {"names": NAMES[0]})
    text = "Zoë was here."
    names = [span(text, "Zoë")]

    def changed(*people: int) -> RecordInput:
        responses = [UserAnswers(user, {"names": names}) for user in people]
        return record(0, text=text, suggestions=[SuggestionInput("names", names)], responses=responses)

    (only_one,) = await marking.add_some([changed(ada)], OnConflict.UPDATE)
    assert only_one.errors[0].code == "CONFLICT"
    keeps = replace(changed(ada), responses=[UserAnswers(ada, None, ResponseStatus.DRAFT), UserAnswers(ben, {})])
    (kept,) = await marking.add_some([keeps], OnConflict.UPDATE)
    assert kept.outcome is Outcome.REFUSED
    assert await marking.add([changed(ada, ben)], OnConflict.UPDATE) == [record_id]
    assert await stored(marking, "response") == [{"names": names}] * 2
    assert await stored(marking, "suggestion") == [names]


async def test_a_marked_text_may_change_when_the_answers_are_gone(marking: Book) -> None:
    (record_id,) = await marking.add([record(0)])
    response = await marking.submit("ada", record_id, {"names": NAMES[0]})
    await marking.act("ada", delete_response, response.id)
    assert await marking.add([record(0, text="new")], OnConflict.UPDATE) == [record_id]


async def test_all_that_is_wrong_with_an_answer_is_said(marking: Book) -> None:
    (record_id,) = await marking.add([record(1)])
    wrong = {"names": [{"start": 0, "end": 1, "label": "persona"}], "appeal": ORDER[:1]}
    error = await marking.refused("ada", submit_response, record_id, wrong)
    assert [one.path for one in errors_of(error)] == [("values", "names", 0, "label"), ("values", "appeal")]


async def test_a_text_does_not_change_while_somebody_marks_it(marking: Book) -> None:
    count = 30
    ids = await marking.add([RecordInput({"text": TEXTS[0]}, f"t{n}") for n in range(count)])

    async def mark(record_id: int) -> None:
        with suppress(GradbookError):  # the text was changed first
            await marking.submit("ada", record_id, {"names": NAMES[0]})

    async def change(number: int) -> None:
        (result,) = await marking.add_some([RecordInput({"text": "short"}, f"t{number}")], OnConflict.UPDATE)
        assert [error.code for error in result.errors] in ([], ["CONFLICT"])

    await asyncio.gather(*(both for n, record_id in enumerate(ids) for both in (mark(record_id), change(n))))
    rows = await marking.rows(
        "SELECT CAST(fields AS text), (SELECT count(*) FROM response WHERE record_id = record.id) FROM record"
    )
    assert {(orjson.loads(fields)["text"], marked) for fields, marked in rows} <= {(TEXTS[0], 1), ("short", 0)}
