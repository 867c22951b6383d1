"""A dataset with people who answer it, in every database test of annotation."""

from collections.abc import AsyncIterator

import pytest

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
