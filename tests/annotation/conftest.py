"""A dataset with people who answer it, in every database test of annotation."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.annotation.datasets import CreateDatasetInput, FieldInput, QuestionInput, create_dataset
from app.annotation.questions import Option, RankingSettings, SpanSettings
from app.annotation.status import PROTECTED, StatusSession
from app.db import Database
from tests.annotation.book import Book


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """As the product opens it: guarded, with the session that keeps the rule."""
    async with await Database.open(database_url, protect=PROTECTED, session_class=StatusSession) as database:
        yield database


@pytest.fixture
async def book(database: Database) -> Book:
    """A new dataset in a fresh database of either kind."""
    return await Book.make(database)


@pytest.fixture
async def marking(book: Book) -> Book:
    """The book, its dataset one that asks for spans, and for an order if one likes."""
    questions = [
        QuestionInput("names", SpanSettings("text", (Option("PERSON"), Option("PLACE")))),
        QuestionInput("appeal", RankingSettings((Option("duty"), Option("fear"))), required=False),
    ]
    fields = [FieldInput("text"), FieldInput("note", required=False)]
    new = CreateDatasetInput("marked", fields, questions, book.workspace)
    return replace(book, dataset=await book.act("admin", create_dataset, new))
