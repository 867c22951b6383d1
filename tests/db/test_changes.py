"""The change cursor: nothing is missed, whoever commits when."""

import asyncio
import threading

import pytest
from sqlalchemy import insert, select, update

from app.db import Database, UnitOfWork
from app.db.changes import change_number, settled_horizon
from app.db.statement import Statement
from tests.db.things import Thing, names, placed

HORIZON = Statement(select(settled_horizon()))
SETTLED = Statement(select(Thing.name, Thing.change, settled_horizon()).where(Thing.change < settled_horizon()))
TOUCH = Statement(update(Thing).values(change=change_number()))


def add(uow: UnitOfWork, name: str) -> int:
    uow.connection.execute(insert(Thing).values(id=uow.new_id(), name=name, change=change_number()))
    return uow.change


async def horizon(database: Database) -> int:
    [(number,)] = await database.read(*HORIZON.on(database.dialect))
    assert isinstance(number, int)
    return number


async def test_a_committed_change_lies_below_the_horizon(things: Database) -> None:
    before = await horizon(things)
    change = await things.transact(add, "a")
    assert before <= change < await horizon(things)
    rows = await things.read(*SETTLED.on(things.dialect))
    assert [(name, number) for name, number, _ in rows] == [("a", change)]


async def test_a_later_transaction_has_a_higher_number(things: Database) -> None:
    changes = [await things.transact(add, name) for name in "abc"]
    assert changes == sorted(set(changes))


@pytest.mark.parametrize("first", ["core", "fetch", "orm", "property"])
async def test_all_of_a_transaction_has_one_number(things: Database, first: str) -> None:
    """Whichever way it is first asked for."""

    def work(uow: UnitOfWork) -> int:
        uow.fetch(placed("INSERT INTO thing (id) VALUES (?)", uow.dialect_name), (uow.new_id(),))
        if first == "fetch":
            uow.fetch(*TOUCH.on(uow.dialect))
        if first == "orm":
            uow.session.add(Thing(id=uow.new_id(), change=change_number()))
            uow.session.flush()
        if first == "property":
            assert uow.change > 0
        uow.connection.execute(update(Thing).values(change=change_number()))
        uow.fetch(*TOUCH.on(uow.dialect))
        uow.connection.execute(insert(Thing).values(id=uow.new_id(), change=uow.change))
        return uow.change

    change = await things.transact(work)
    assert set(await things.read("SELECT change FROM thing")) == {(change,)}


async def test_a_transaction_that_asks_for_no_number_takes_none(things: Database) -> None:
    before = await horizon(things)

    def work(uow: UnitOfWork) -> None:
        uow.fetch("UPDATE thing SET name = name")

    await things.transact(work)
    assert await horizon(things) == before


async def test_a_rolled_back_number_leaves_no_hole_that_anybody_waits_for(things: Database) -> None:
    def fail(uow: UnitOfWork) -> None:
        add(uow, "never")
        raise KeyError

    with pytest.raises(KeyError):
        await things.transact(fail)
    change = await things.transact(add, "a")
    assert change < await horizon(things)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)  # SQLite has one writer
async def test_a_lower_number_that_commits_later_is_not_missed(things: Database) -> None:
    """The early writer takes its number first and commits last; a reader in between must not pass it."""
    early_has_number, go_on = threading.Event(), asyncio.Event()

    def early(uow: UnitOfWork) -> int:
        change = add(uow, "early")
        early_has_number.set()
        for _ in range(1_000):
            if go_on.is_set():
                return change
            uow.fetch("SELECT pg_sleep(0.01)")
        raise AssertionError("nobody said go on")

    first = asyncio.create_task(things.transact(early))
    await asyncio.to_thread(early_has_number.wait, 10)
    late_change = await things.transact(add, "late")
    assert await names(things) == ["late"], "committed, but its place in the order is not settled"
    cursor = await horizon(things)
    assert await things.read(*SETTLED.on(things.dialect)) == []
    go_on.set()
    early_change = await first
    assert cursor <= early_change < late_change
    rows = await things.read(*SETTLED.on(things.dialect))
    assert sorted(name for name, change, _ in rows if change >= cursor) == ["early", "late"]


async def test_a_reader_that_follows_the_cursor_sees_everything_once(things: Database) -> None:
    """Many writers, each its own transactions; one reader goes from horizon to horizon."""
    seen: list[str] = []
    done = asyncio.Event()

    async def read_along() -> None:
        cursor = 0
        last = False
        while not last:
            last = done.is_set()
            upto = await horizon(things)
            rows = await things.read(*SETTLED.on(things.dialect))
            seen.extend(name for name, change, _ in rows if cursor <= change < upto)
            cursor = upto
            await asyncio.sleep(0.005)

    reader = asyncio.create_task(read_along())
    await asyncio.gather(*(things.transact(add, f"{n:03}") for n in range(120)))
    done.set()
    await reader
    assert sorted(seen) == [f"{n:03}" for n in range(120)]
