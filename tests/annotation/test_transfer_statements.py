"""An import takes as many statements for a batch of one as for a batch of 1,000, as the databases count them."""

from collections.abc import Awaitable, Callable

import pytest

from app.accounts.access import OPERATOR
from app.annotation.records import OnConflict
from app.annotation.transfer.importing import BATCH_LINES
from app.db import Database
from tests.annotation.book import GOOD, Book
from tests.annotation.transfer import Line, Transfer, passages
from tests.support.postgres import PostgresServer
from tests.support.traced import asked, traced

Count = Callable[[Callable[[], Awaitable[object]]], Awaitable[int]]


@pytest.fixture
async def count(database: Database, database_url: str, request: pytest.FixtureRequest) -> Count:
    """Counts the statements of what is done, those that begin and end transactions too."""
    if database.dialect_name == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")

        async def count_on_postgresql(work: Callable[[], Awaitable[object]]) -> int:
            await postgres.forget_statement_calls()
            await work()
            calls = await postgres.statement_calls(database_url.rsplit("/", 1)[1])
            return sum(calls.values())

        return count_on_postgresql

    async def count_on_sqlite(work: Callable[[], Awaitable[object]]) -> int:
        async with traced(database) as statements:
            await work()
            return len(asked(statements))

    return count_on_sqlite


def answered(lines: list[Line], user: str) -> list[Line]:
    """With suggestions and responses of two people, one of whom is unknown."""
    return [
        {
            **line,
            "suggestions": [{"question": "topic", "value": "war"}],
            "responses": [{"user": name, "values": GOOD, "status": "SUBMITTED"} for name in ("ada", f"{user}-{n % 9}")],
        }
        for n, line in enumerate(lines)
    ]


@pytest.mark.parametrize("on_conflict", [OnConflict.SKIP, OnConflict.UPDATE])
async def test_statements_do_not_grow_with_the_lines_of_a_batch(
    book: Book, count: Count, on_conflict: OnConflict
) -> None:
    transfer = Transfer(book.database, book.dataset, book.workspace)

    async def statements(first: int, size: int) -> list[int]:
        lines = answered(passages(size, first), f"new-{first}")
        new = await count(lambda: transfer.load(lines, on_conflict, create_users=True))
        again = await count(lambda: transfer.load(lines, on_conflict, create_users=True))
        assert len(transfer.batches) == 1
        return [new, again]

    await statements(10, 2)  # the drivers know all types now
    few = await statements(100, 2)
    assert await statements(1000, BATCH_LINES) == few
    assert max(few) < 25
    assert await transfer.database.transact(
        lambda uow: uow.fetch("SELECT count(*) FROM response"), viewer=OPERATOR
    ) == [(2 * (BATCH_LINES + 4),)]
