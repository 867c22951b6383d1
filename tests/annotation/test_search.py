"""Searching records: the databases' indexes against the function that makes their terms."""

from __future__ import annotations

from typing import Any

import pytest

from app.annotation.record_items import RecordInput
from app.annotation.search_index import Unsearchable, unsearchable
from app.graphql.schema import Built
from app.schema import build_schema
from tests.annotation.book import Book
from tests.graphql.asking import SECRET, Asker

QUERY = """
    query ($dataset: ID!, $search: String, $first: Int, $last: Int, $after: String, $before: String,
           $where: RecordWhere, $orderBy: [RecordOrder!]) {
      dataset(id: $dataset) {
        records(search: $search, first: $first, last: $last, after: $after, before: $before, where: $where,
                orderBy: $orderBy) {
          totalCount
          pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
          nodes { externalId }
        }
      }
    }"""


@pytest.fixture(scope="session")
def built() -> Built:
    return build_schema(SECRET)


class Searcher:
    """Searches a book's dataset as somebody."""

    def __init__(self, built: Built, book: Book) -> None:
        self.book = book
        self.asker = Asker(built, book.database)

    async def page(self, search: str | None, who: str = "owner", dataset: int | None = None, **given: Any) -> Any:
        """A connection of records; None where there is no such dataset."""
        variables = {"dataset": f"dst_{dataset or self.book.dataset}", "search": search, **given}
        data = await self.asker.data(self.book.users[who], QUERY, variables)
        assert len(self.asker.statements) == 1
        return data["dataset"] and data["dataset"]["records"]

    async def __call__(self, search: str | None, **given: Any) -> list[str]:
        """The external ids of what is found, all of it."""
        page = await self.page(search, **{"first": 500, **given})
        found = [node["externalId"] for node in page["nodes"]]
        assert page["totalCount"] == len(found) or page["pageInfo"]["hasNextPage"]
        return found

    async def refused(self, search: str) -> tuple[str, str]:
        """Code and message of the error."""
        error = await self.asker.error(
            self.book.users["owner"], QUERY, {"dataset": f"dst_{self.book.dataset}", "search": search}
        )
        return error["extensions"]["code"], error["message"]


@pytest.fixture
def search(built: Built, book: Book) -> Searcher:
    return Searcher(built, book)


async def wrong(book: Book) -> list[Unsearchable]:
    return [found async for found in unsearchable(book.database)]


TEXTS = {
    "war": "The War is over; peace, well-known and long-awaited, is here.",
    "peace": "Peace be with you — café, naïve, Ångström.",
    "chinese": "他说：世界和平。GPT-4模型第3章",
    "japanese": "東京タワーでカレーを食べた。",
    "korean": "전쟁과 평화는 소설이다",
    "odd": "mail: ann@example.com, https://example.com/a_b?c=1, 3.14, C++, 🎉❤️ don't",
    "like": "100% of_them \\ 'quoted' \"double\" NOT OR AND NEAR(a b) * ^",
}


async def test_words_in_any_order_all_there_whatever_the_case(book: Book, search: Searcher) -> None:
    await book.add([RecordInput({"text": text}, name) for name, text in TEXTS.items()])
    expected = {
        "war": ["war"],
        "PEACE": ["war", "peace"],
        "over war": ["war"],
        "peace over THE": ["war"],
        "war café": [],
        "pea": [],
        "cafe NAIVE angstrom": ["peace"],
        "ÅNGSTRÖM": ["peace"],
        "well-known": ["war"],
        "known well": ["war"],
        "和": ["chinese"],
        "和平": ["chinese"],
        "世界和平": ["chinese"],
        "平和": [],
        "和平 gpt": ["chinese"],
        "ＧＰＴ": ["chinese"],
        "模型 3": ["chinese"],
        "カレー": ["japanese"],
        "ｶﾚｰ": ["japanese"],
        "東京": ["japanese"],
        "평화": ["korean"],
        "ann@example.com": ["odd"],
        "https://example.com/a_b?c=1": ["odd"],
        "3.14": ["odd"],
        "🎉": ["odd"],
        "❤": ["odd"],
        "DON’T": ["odd"],
        "100%": ["like"],
        "of_them": ["like"],
        "\"double\" 'quoted'": ["like"],
        "NOT war": [],
        "AND OR NEAR": ["like"],
        "a*": ["odd", "like"],
        f"@{book.dataset}": [],
    }
    assert {text: await search(text) for text in expected} == expected
    assert await wrong(book) == []
