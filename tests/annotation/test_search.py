"""Searching records: the databases' indexes against the function that makes their terms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.annotation.datasets import CreateDatasetInput, FieldInput, create_dataset
from app.annotation.record_items import RecordInput
from app.annotation.records import OnConflict
from app.annotation.search_index import Unsearchable, unsearchable
from app.annotation.tables import FieldType
from app.db import UnitOfWork
from app.graphql.schema import Built
from app.schema import build_schema
from tests.annotation.book import QUESTIONS, Book
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


async def test_a_search_that_asks_for_nothing_and_searches_that_cannot_be(book: Book, search: Searcher) -> None:
    await book.add(2)
    for blank in (None, "", " \t\n"):
        assert await search(blank) == ["p0", "p1"]
    for text, words in (("?!…", "has no word"), ("x " * 6000, "10,000 characters"), (many(201), "201: leave some out")):
        code, message = await search.refused(text)
        assert code == "INVALID_INPUT"
        assert words in message
    assert await search(many(200)) == []
    assert await search("passage \0") == ["p0", "p1"]


def many(words: int) -> str:
    return " ".join(f"w{number}" for number in range(words))


@pytest.mark.parametrize(
    ("order", "where"),
    [(None, None), ("ID", {"status": {"eq": "PENDING"}}), ("INSERTED_AT", {"submittedCount": {"eq": 0}})],
)
async def test_pages_with_cursors_whether_walked_or_by_the_index(
    book: Book, search: Searcher, order: str | None, where: Any
) -> None:
    await book.add(
        [
            RecordInput({"text": f"common{' rare' if number % 100 == 0 else ''}"}, f"p{number:04}")
            for number in range(1_000)
        ]
    )
    await book.add([RecordInput({"text": "common other"}, f"q{number:04}") for number in range(200)])
    given: dict[str, Any] = {"where": where}
    if order is not None:
        given["orderBy"] = [{"field": order, "direction": "DESC"}]
    for word, count in (("rare", 10), ("common", 1_200), ("other", 200), ("rare other", 0)):
        every = await paged(search, word, 7 if count < 100 else 450, **given)
        assert len(every) == count
        assert sorted(set(every), reverse=order is not None) == every
        last = await search.page(word, last=3, **given)
        assert [node["externalId"] for node in last["nodes"]] == every[-3:]
        assert last["pageInfo"]["hasPreviousPage"] is (count > 3)


async def paged(search: Searcher, word: str, size: int, **given: Any) -> list[str]:
    """All that is found, page by page."""
    found: list[str] = []
    after = None
    while True:
        page = await search.page(word, first=size, after=after, **given)
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        found += [node["externalId"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


async def test_the_index_follows_updates_and_deletions(book: Book, search: Searcher) -> None:
    first, second = await book.add([RecordInput({"text": "old words"}, "a"), RecordInput({"text": "old words"}, "b")])
    await book.add([RecordInput({"text": "new words"}, "a")], OnConflict.UPDATE)
    assert (await search("old"), await search("new")) == (["b"], ["a"])
    await book.add([RecordInput({"text": "unseen"}, "b")], OnConflict.SKIP)
    assert await search("unseen") == []
    await book.rows("DELETE FROM record WHERE id = :id RETURNING id", id=second)
    assert await book.rows("SELECT record_id FROM record_search") == [(first,)]
    assert await search("words") == ["a"]
    assert await wrong(book) == []


async def test_nobody_finds_what_they_do_not_see(book: Book, search: Searcher) -> None:
    await book.add(1)
    assert (await search.page("passage", "ada"))["totalCount"] == 1
    assert await search.page("passage", "stranger") is None


async def test_what_chats_say_is_searched_and_what_is_no_text_is_not(book: Book, search: Searcher) -> None:
    fields = [
        FieldInput("chat", FieldType.CHAT),
        FieldInput("raw", FieldType.CUSTOM, required=False),
        FieldInput("note", required=False),
    ]
    chats = replace(book, dataset=await book.act("admin", make_dataset, book.workspace, fields))
    messages = [{"role": "user", "content": "Who wrote it?"}, {"role": "assistant", "content": "紫式部 did"}]
    await chats.add([RecordInput({"chat": messages, "raw": {"hidden": "secret"}, "note": "tale"}, "genji")])
    await chats.add([RecordInput({"chat": [{"role": "user", "content": "?!"}]}, "empty")])
    search.book = chats
    expected = {
        "wrote 紫式部 tale": ["genji"],
        "DID": ["genji"],
        "user": [],
        "assistant": [],
        "secret": [],
        "hidden": [],
    }
    assert {text: await search(text) for text in expected} == expected
    assert await wrong(chats) == []


@pytest.mark.parametrize("word", ["other ", "別字", "é"])
async def test_of_a_very_long_record_the_beginning_is_found(book: Book, search: Searcher, word: str) -> None:
    fields = [FieldInput("text"), FieldInput("note")]
    search.book = book = replace(book, dataset=await book.act("admin", make_dataset, book.workspace, fields))
    many_words = (
        " ".join(f"{word}{number % 20_000}" for number in range(900_000)).encode()[:4_900_000].decode(errors="ignore")
    )
    await book.add([RecordInput({"text": f"begin {many_words}", "note": "end " * 1_250_000}, "long")])
    assert (await search("begin"), await search(f"{word}7"), await search("end")) == (["long"], ["long"], [])
    assert await wrong(book) == []


async def test_each_dataset_finds_its_own_records(book: Book, search: Searcher) -> None:
    books = [book]
    for _ in range(3):
        fields = [FieldInput("text")]
        books.append(replace(book, dataset=await book.act("admin", make_dataset, book.workspace, fields, len(books))))
    for number, one in enumerate(books):
        await one.add([RecordInput({"text": f"shared own{number}"}, f"d{number}r{n}") for n in range(number)])
    for number, one in enumerate(books):
        search.book = one
        expected = [f"d{number}r{n}" for n in range(number)]
        assert await search("shared") == await search(f"own{number}") == expected
        assert await search("own3") == (expected if number == 3 else [])
    query = """{ datasets(orderBy: {field: ID, direction: ASC}) { nodes {
        records(search: "shared", first: 1) { totalCount nodes { externalId } } } } }"""
    found = (await search.asker.data(book.users["ada"], query))["datasets"]["nodes"]
    firsts = [[node["externalId"] for node in one["records"]["nodes"]] for one in found]
    assert [one["records"]["totalCount"] for one in found] == [0, 1, 2, 3]
    assert firsts == [[], ["d1r0"], ["d2r0"], ["d3r0"]]


async def test_an_annotator_finds_nothing_of_other_workspaces(book: Book, search: Searcher) -> None:
    await book.add(1)
    fields = [FieldInput("text")]
    there = replace(book, dataset=await book.act("owner", make_dataset, book.elsewhere, fields))
    await there.add([RecordInput({"text": "passage of others"}, "theirs")])
    query = '{ datasets { nodes { records(search: "passage") { totalCount nodes { externalId } } } } }'

    async def seen(who: str) -> set[str]:
        found = (await search.asker.data(book.users[who], query))["datasets"]["nodes"]
        assert all(one["records"]["totalCount"] == len(one["records"]["nodes"]) for one in found)
        return {node["externalId"] for one in found for node in one["records"]["nodes"]}

    assert await search.page("passage", "ada", dataset=there.dataset) is None
    assert [await seen(who) for who in ("ada", "stranger", "owner")] == [{"p0"}, {"theirs"}, {"p0", "theirs"}]


def make_dataset(uow: UnitOfWork, workspace: int, fields: list[FieldInput], number: int = 0) -> int:
    return create_dataset(uow, CreateDatasetInput(f"other {number}", fields, QUESTIONS, workspace))
