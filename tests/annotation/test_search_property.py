"""Whatever records say and people search for, both databases find exactly the records that hold all the terms.

The oracle is a set of terms for each record; it knows no index and no SQL.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.annotation.datasets import CreateDatasetInput, FieldInput, create_dataset
from app.annotation.record_items import RecordInput, UserAnswers
from app.annotation.search_text import search_terms, search_text
from app.annotation.tables import ResponseStatus
from app.errors import GradbookError
from app.graphql import searching
from app.schema import build_schema
from tests.annotation.actors import open_database
from tests.annotation.book import GOOD, QUESTIONS, Book
from tests.annotation.test_search import Searcher, wrong
from tests.graphql.asking import SECRET

PLAIN = ["war", "War", "peace", "a", "GPT", "4", "don't", "x_y", "O'Neil", "e-mail", "w" * 120, "w" * 100]
CHINESE = ["战争", "和平", "和", "平和", "世界和平", "東京", "カレー", "ｶﾚｰ", "평화", "전쟁과", "สงคราม", "スﾞ"]
ODD = [
    *("café", "cafe\u0301", "ＧＰＴ", "ﬁsh", "straße", "STRASSE", "İstanbul", "ёлка", "शांति", "שָׁלוֹם", "سـلام", "𝕨ar"),
    *("🎉", "👍🏽", "👩\u200d🚀", "❤️", "🇫🇷", "Ⅷ", "²", "½", "ﷺ", "\U00020000"),
    *("\u00ad", "\u200b", "\ufeff", "\u3000", "\u2028", "\t", "\n", "\\", "%", "_", '"', "'", "*", "^", "@", ":"),
    *("@1", "NOT", "AND", "OR", "NEAR(", ")", "&", "|", "<->", "!"),
]
pieces = st.sampled_from([*PLAIN, *CHINESE, *ODD]) | st.text(max_size=4)
separators = st.sampled_from([" ", " ", "", "，", "-", "\n"])
texts = st.lists(st.tuples(pieces, separators), max_size=8).map(lambda pairs: "".join(itertools.chain(*pairs)))
# NUL no text may hold, but a search text may.
said = texts.map(lambda text: text.replace("\0", ""))


@st.composite
def searches(draw: st.DrawFn, records: list[str]) -> str:
    """Something of its own, or something of what a record says, which is found more often."""
    if not draw(st.booleans()):
        return draw(texts)
    text = draw(st.sampled_from(records))
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    return text[start:end]


@pytest.mark.parametrize("walk", [searching.WALK, 2])
def test_both_databases_find_what_holds_all_the_terms(
    database_url: str, walk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "WALK", walk)
    built = build_schema(SECRET)
    numbers = itertools.count()
    with asyncio.Runner() as runner:
        book = runner.run(opened(database_url))

        @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(st.data())
        def holds(data: st.DataObject) -> None:
            said_by = data.draw(st.lists(st.tuples(said, st.booleans()), min_size=1, max_size=8))
            asked = data.draw(st.lists(searches([text for text, _ in said_by]), min_size=1, max_size=3))
            here = runner.run(dataset(book, next(numbers)))
            runner.run(here.add([record(here, n, *one) for n, one in enumerate(said_by)]))
            search = Searcher(built, here)
            for text in asked:
                runner.run(compare(search, text, said_by))
            assert runner.run(wrong(here)) == []

        try:
            holds()
        finally:
            runner.run(book.database.close())


async def opened(url: str) -> Book:
    return await Book.make(await open_database(url))


async def dataset(book: Book, number: int) -> Book:
    """Beside those of the examples before, which say the same words."""
    new = CreateDatasetInput(f"d{number}", [FieldInput("text", required=False)], QUESTIONS, book.workspace)
    return replace(book, dataset=await book.act("admin", create_dataset, new))


def record(book: Book, number: int, text: str, done: bool) -> RecordInput:
    answers = [UserAnswers(book.users["ada"].id, GOOD, ResponseStatus.SUBMITTED)] if done else []
    return RecordInput({"text": text}, f"{number}", responses=answers)


async def compare(search: Searcher, asked: str, records: list[tuple[str, bool]]) -> None:
    terms = terms_of(asked)
    if isinstance(terms, GradbookError):
        assert await search.refused(asked) == (terms.code, terms.message)
        return
    hits = [str(n) for n, (text, _) in enumerate(records) if terms is None or holds_all(text, terms)]
    done = {str(n) for n, (_, done) in enumerate(records) if done}
    assert await search(asked) == hits
    assert await search(asked, where={"status": {"eq": "COMPLETED"}}) == [one for one in hits if one in done]
    latest = [{"field": "SUBMITTED_COUNT", "direction": "DESC"}, {"field": "ID", "direction": "DESC"}]
    assert await search(asked, orderBy=latest) == sorted(hits, key=lambda one: (one not in done, -int(one)))
    page = await search.page(asked, last=2, where={"status": {"ne": "COMPLETED"}})
    assert [node["externalId"] for node in page["nodes"]] == [one for one in hits if one not in done][-2:]


def terms_of(asked: str) -> tuple[str, ...] | GradbookError | None:
    try:
        return search_terms(asked)
    except GradbookError as error:
        return error


def holds_all(text: str, terms: tuple[str, ...]) -> bool:
    return set(terms) <= set(search_text(0, [text]).split(" ")[1:])
