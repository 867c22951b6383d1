"""Every change is read at least once, whoever commits when."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Column, MetaData, Table, bindparam, false

from app.db import Database
from app.db.changes import POSTGRESQL_CHANGE_NUMBER, SQLITE_CHANGE_NUMBER
from app.db.types import Snowflake
from app.errors import GradbookError
from app.live import Bus
from app.live.changes import ChangedRows
from app.live.cursors import Position
from app.live.feeds import Batch, feed
from tests.live.processes import OtherProcess, Sql, execute
from tests.support.postgres import PostgresServer

TOPIC = "items"
ITEM = Table("live_item", MetaData(), *(Column(name, Snowflake) for name in ("id", "value", "changed")))
CHANGED = ChangedRows(ITEM)


def save(dialect_name: str, values: dict[int, int]) -> list[tuple[str, Sequence[Any]]]:
    """Statements that insert or update items, in id order."""
    number = POSTGRESQL_CHANGE_NUMBER if dialect_name == "postgresql" else SQLITE_CHANGE_NUMBER
    insert = "INSERT INTO live_item (id, value, changed) VALUES"
    or_update = "ON CONFLICT (id) DO UPDATE SET value = excluded.value, changed = excluded.changed"
    return [(f"{insert} ({id_}, {value}, {number}) {or_update}", ()) for id_, value in sorted(values.items())]


async def save_here(database: Database, values: dict[int, int], topics: Sequence[str] = ()) -> None:
    await database.transact(execute, save(database.dialect_name, values), topics)


async def now(database: Database) -> Position:
    return (await CHANGED.after(database, None, 10)).cursor


@pytest.mark.usefixtures("items")
class TestChangedRows:
    async def test_nothing_but_the_cursor_without_a_position(self, database: Database) -> None:
        await save_here(database, {1: 1})
        changes = await CHANGED.after(database, None, 10)
        assert (changes.ids, changes.more, changes.unsettled, changes.visible) == ((), False, False, True)
        assert (await CHANGED.after(database, changes.cursor, 10)).ids == ()

    async def test_what_changed_after_a_position_in_the_order_of_changes(self, database: Database) -> None:
        await save_here(database, {1: 1, 2: 1, 3: 1})
        begin = await now(database)
        await save_here(database, {3: 2})
        await save_here(database, {5: 1, 4: 1})
        await save_here(database, {1: 2})
        changes = await CHANGED.after(database, begin, 10)
        assert changes.ids == (3, 4, 5, 1)
        assert changes.cursor == await now(database)

    async def test_one_transaction_may_fill_many_pages(self, database: Database) -> None:
        begin = await now(database)
        await save_here(database, dict.fromkeys(range(1, 26), 1))
        position, sizes = begin, list[int]()
        seen = list[int]()
        while True:
            changes = await CHANGED.after(database, position, 10)
            position = changes.cursor
            sizes.append(len(changes.ids))
            seen += changes.ids
            if not changes.more:
                break
        assert sizes == [10, 10, 5]
        assert seen == list(range(1, 26))

    async def test_a_full_last_page_is_the_last(self, database: Database) -> None:
        begin = await now(database)
        await save_here(database, dict.fromkeys(range(1, 11), 1))
        changes = await CHANGED.after(database, begin, 10)
        assert (len(changes.ids), changes.more) == (10, False)

    async def test_conditions(self, database: Database) -> None:
        begin = await now(database)
        await save_here(database, {1: 7, 2: 8, 3: 7})
        sevens = ChangedRows(ITEM, ITEM.c.value == bindparam("value", type_=Snowflake))
        assert (await sevens.after(database, begin, 10, value=7)).ids == (1, 3)
        assert (await sevens.after(database, begin, 10, value=9)).ids == ()

    async def test_a_position_from_the_future_is_refused(self, database: Database) -> None:
        """The database was restored from a backup: what the subscriber has may never have been."""
        await save_here(database, {1: 1})
        present = await now(database)
        await CHANGED.after(database, present, 10)
        with pytest.raises(GradbookError, match="is ahead of this database") as caught:
            await CHANGED.after(database, Position(present.change + 1), 10)
        assert caught.value.code == "INVALID_CURSOR"

    async def test_it_says_whether_what_the_rows_belong_to_is_visible(self, database: Database) -> None:
        hidden = ChangedRows(ITEM, visible=false())
        assert not (await hidden.after(database, await now(database), 10)).visible
        assert not (await hidden.after(database, None, 10)).visible


class Subscriber:
    """Follows the items, and knows of each the value that it was told last."""

    def __init__(self, database: Database, bus: Bus, begin: Position, limit: int = 7) -> None:
        self._database = database
        self._bus = bus
        self._limit = limit
        self.cursor: tuple[int, ...] = begin
        self.told: dict[int, int] = {}

    async def _read(self, after: Position | None) -> Batch[tuple[tuple[int, ...], list[tuple[Any, ...]]]]:
        changes = await CHANGED.after(self._database, after, self._limit)
        ids = ", ".join(map(str, changes.ids)) or "0"
        rows = await self._database.read(f"SELECT id, value FROM live_item WHERE id IN ({ids})")
        return Batch((changes.cursor, rows) if rows else None, changes.cursor, changes.more, changes.unsettled)

    async def follow(self, messages: int) -> None:
        """Take so many messages, then leave; the next time goes on after the last."""
        following = aiter(feed(self._bus, (TOPIC,), self.cursor, self._read))
        try:
            for _ in range(messages):
                self.cursor, rows = await anext(following)
                self.told.update(rows)
        finally:
            await following.aclose()

    async def follow_until_told(self, values: dict[int, int]) -> None:
        async with asyncio.timeout(20):
            while not values.items() <= self.told.items():
                await self.follow(1)


def transactions(dialect_name: str, chance: random.Random, count: int) -> list[tuple[Sql, Sequence[str]]]:
    """Random transactions on 40 items. On PostgreSQL some stay open for 20 ms, so that older ones commit later."""
    made: list[tuple[Sql, Sequence[str]]] = []
    for _ in range(count):
        items = chance.sample(range(1, 41), chance.randint(1, 3))
        statements = save(dialect_name, {item: chance.randrange(2**40) for item in items})
        if dialect_name == "postgresql":
            statements.append((f"SELECT pg_sleep({chance.choice([0, 0, 0.002, 0.02])})", ()))
        made.append((statements, [TOPIC]))
    return made


async def test_nothing_is_missed_among_concurrent_writers_of_two_processes(
    database: Database, bus: Bus, other: OtherProcess
) -> None:
    """Subscribers, one of which leaves and comes back all the time, end with the rows as they are."""
    chance = random.Random(7312)
    begin = await now(database)
    steady, restless = Subscriber(database, bus, begin), Subscriber(database, bus, begin, limit=2)
    here = transactions(database.dialect_name, chance, 200)
    elsewhere = transactions(database.dialect_name, chance, 200)

    async def write_here() -> None:
        while here:
            await database.transact(execute, *here.pop())

    async def come_and_go() -> None:
        while True:
            await restless.follow(chance.randint(1, 5))

    followers = [asyncio.create_task(steady.follow(10**9)), asyncio.create_task(come_and_go())]
    await asyncio.gather(other.write_all(elsewhere, 4), *(write_here() for _ in range(4)))
    values: dict[int, int] = dict(await database.read("SELECT id, value FROM live_item"))
    assert len(values) == 40
    try:
        async with asyncio.timeout(20):
            while steady.told != values or restless.told != values:
                await asyncio.sleep(0.01)
    except TimeoutError:
        assert steady.told == values
        assert restless.told == values
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.wait(followers)


class TestLateCommits:
    @pytest.fixture
    def backend(self) -> str:
        return "postgresql"

    async def test_a_late_commit_of_a_lower_number_is_not_missed(
        self, database: Database, database_url: str, bus: Bus, postgres: PostgresServer
    ) -> None:
        """Though nobody says that it was committed."""
        subscriber = Subscriber(database, bus, await now(database))
        early = await postgres.connect(database_url.rsplit("/", 1)[1])
        await early.execute("BEGIN")
        await early.execute(save("postgresql", {1: 1})[0][0])
        await save_here(database, {2: 2}, [TOPIC])
        changes = await CHANGED.after(database, await now(database), 10)
        assert changes.unsettled
        assert changes.ids == ()
        following = asyncio.create_task(subscriber.follow_until_told({1: 1, 2: 2}))
        await asyncio.sleep(0.3)
        assert subscriber.told == {}, "what is told now would be skipped for good"
        await early.execute("COMMIT")
        await following
        await early.close()

    async def test_an_open_transaction_of_another_table_delays_but_loses_nothing(
        self, database: Database, database_url: str, bus: Bus, postgres: PostgresServer
    ) -> None:
        subscriber = Subscriber(database, bus, await now(database))
        early = await postgres.connect(database_url.rsplit("/", 1)[1])
        await early.execute("BEGIN; SELECT pg_current_xact_id()")
        await save_here(database, {2: 2}, [TOPIC])
        following = asyncio.create_task(subscriber.follow_until_told({2: 2}))
        await asyncio.sleep(0.1)
        await early.execute("ROLLBACK")
        await following
        await early.close()
