"""The search index of records: filled by its migration, kept by its triggers, looked through by `verify`."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from app.annotation.datasets import FieldInput, delete_dataset
from app.annotation.record_items import RecordInput
from app.annotation.records import OnConflict
from app.annotation.search_index import Unsearchable
from app.annotation.search_text import search_text
from app.db import UnitOfWork, migrate, revisions
from app.db.batch import batch_alter_table
from app.db.migrate import downgrade, drift, upgrade
from app.graphql.schema import Built
from app.schema import build_schema
from tests.annotation.actors import open_database
from tests.annotation.book import Book
from tests.annotation.test_search import Searcher, make_dataset, wrong
from tests.graphql.asking import SECRET

sqlite_only = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture(scope="session")
def built() -> Built:
    return build_schema(SECRET)


def said(*texts: str) -> list[RecordInput]:
    return [RecordInput({"text": text}, f"r{number}") for number, text in enumerate(texts)]


async def indexed(book: Book, word: str) -> list[int]:
    """The records that FTS5 itself has for a word; on PostgreSQL the index is the table's."""
    if book.database.dialect_name == "sqlite":
        found = await book.rows(f"SELECT rowid FROM record_fts WHERE record_fts MATCH '\"{word}\"' ORDER BY rowid")
    else:
        found = await book.rows(
            "SELECT record_id FROM record_search WHERE :word = ANY (string_to_array(search_text, ' ')) ORDER BY 1",
            word=word,
        )
    return [record_id for (record_id,) in found]


async def test_the_migration_fills_the_index_for_what_is_there(database_url: str, built: Built) -> None:
    async with await open_database(database_url) as database:
        book = await Book.make(database)
        ids = await book.add(said("War and peace", "世界和平", "café 🎉", *["much of the same"] * 450))
    await asyncio.to_thread(downgrade, database_url, "0001")
    await asyncio.to_thread(upgrade, database_url)
    async with await open_database(database_url) as database:
        book = Book.read(database, book.tell())
        search = Searcher(built, book)
        expected = {"peace WAR": ["r0"], "和平": ["r1"], "cafe": ["r2"], "🎉": ["r2"], "none": []}
        assert {text: await search(text) for text in expected} == expected
        assert len(await search("much same")) == 450
        assert await indexed(book, "war") == [ids[0]]
        assert await wrong(book) == []
        await book.add([RecordInput({"text": "love"}, "r0")], OnConflict.UPDATE)
        assert (await search("war"), await search("love")) == ([], ["r0"])


@sqlite_only
@pytest.mark.parametrize("table", ["record_search", "record"])
async def test_the_index_survives_that_a_table_is_rebuilt(database_url: str, built: Built, table: str) -> None:
    async with await open_database(database_url) as database:
        book = await Book.make(database)
        await book.add(said("one word", "two words"))
        before = await triggers(book)
    assert [table for _, table, _ in before].count("record_search") == 3

    def rebuild(_: Any, connection: Connection) -> None:
        with Operations.context(MigrationContext.configure(connection)):
            with batch_alter_table(table, recreate="always") as batch:
                batch.add_column(sa.Column("extra", sa.Integer()))
            with batch_alter_table(table, recreate="always") as batch:
                batch.drop_column("extra")

    await asyncio.to_thread(migrate._run, database_url, rebuild)
    assert await asyncio.to_thread(drift, database_url) == []
    async with await open_database(database_url) as database:
        book = Book.read(database, book.tell())
        search = Searcher(built, book)
        assert await triggers(book) == before
        assert await search("word") == ["r0"]
        await book.add([RecordInput({"text": "three more"}, "r2")])
        await book.add([RecordInput({"text": "changed"}, "r0")], OnConflict.UPDATE)
        await book.rows("DELETE FROM record WHERE external_id = 'r1' RETURNING id")
        found = {word: await search(word) for word in ("word", "words", "three", "changed")}
        assert found == {"word": [], "words": [], "three": ["r2"], "changed": ["r0"]}
        assert [len(await indexed(book, word)) for word in ("word", "words", "three", "changed")] == [0, 0, 1, 1]
        assert await wrong(book) == []


async def triggers(book: Book) -> list[tuple[Any, ...]]:
    return await book.rows("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")


def test_migrations_rebuild_tables_so_that_triggers_stay() -> None:
    for path in Path(revisions.folder(), "versions").glob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert "batch_alter_table" not in names, f"{path.name}: use app.db.batch.batch_alter_table, not op's."


async def test_a_deleted_dataset_leaves_nothing_in_the_index(book: Book, built: Built) -> None:
    await book.add(said("gone with the wind", "the wind"))
    gone = book.dataset
    other = await book.act("admin", make_dataset, book.workspace, [FieldInput("text")])
    stays = Book(book.database, book.workspace, book.elsewhere, other, book.users)
    (kept,) = await stays.add(said("the wind rises"))
    assert len(await indexed(book, "wind")) == 3
    await book.act("admin", delete_dataset, gone)
    assert await book.rows("SELECT record_id FROM record_search") == [(kept,)]
    assert await indexed(book, "wind") == await indexed(book, f"@{other}") == [kept]
    assert await indexed(book, f"@{gone}") == []
    assert await Searcher(built, stays)("wind") == ["r0"]


async def test_verify_notices_a_record_that_differs_or_is_missing(book: Book) -> None:
    ids = await book.add(said("one", "two", "three", "four"))
    assert await wrong(book) == []
    await book.rows("DELETE FROM record_search WHERE record_id = :id RETURNING 1", id=ids[0])
    text = search_text(book.dataset, ["too"])
    await book.rows(
        "UPDATE record_search SET search_text = :text WHERE record_id = :id RETURNING 1", id=ids[1], text=text
    )
    assert await wrong(book) == [
        Unsearchable(ids[0], book.dataset, "r0", "has no search text"),
        Unsearchable(ids[1], book.dataset, "r1", "has a search text that is not what it says"),
    ]


@sqlite_only
async def test_verify_notices_a_record_that_fts5_lacks(book: Book) -> None:
    ids = await book.add(said("one", "two", "three"))
    stored = search_text(book.dataset, ["two"])
    sql = "INSERT INTO record_fts (record_fts, rowid, search_text) VALUES ('delete', :id, :text)"

    def drop(uow: UnitOfWork) -> None:
        uow.connection.execute(sa.text(sql), {"id": ids[1], "text": stored})

    await book.database.transact(drop)
    assert await wrong(book) == [Unsearchable(ids[1], book.dataset, "r1", "is missing in the index")]
