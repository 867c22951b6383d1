"""A workspace with people who train, in every database test of training."""

import pytest

from app.db import Database
from tests.annotation.book import Book


@pytest.fixture
async def book(database: Database) -> Book:
    """ada, ben, cyd (ANNOTATORs) and admin of one workspace, stranger (ADMIN) of another, and an owner."""
    return await Book.make(database)
