import asyncio
from dataclasses import dataclass, field

import pytest

from app.db.pool import Pool
from app.errors import GradbookError


@dataclass(eq=False)
class Connection:
    number: int
    is_closed: bool = False

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Maker:
    made: list[Connection] = field(default_factory=list)
    failures: int = 0

    async def __call__(self) -> Connection:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise OSError("refused")
        self.made.append(Connection(len(self.made)))
        return self.made[-1]


async def test_connections_are_made_when_needed_and_used_again() -> None:
    make = Maker()
    pool = Pool(make, 3, 1)
    first = await pool.acquire()
    second = await pool.acquire()
    pool.release(first)
    pool.release(second)
    assert await pool.acquire() is second, "the last one given back is warmest"
    assert len(make.made) == 2


async def test_who_waits_is_served_in_order_and_nobody_pushes_in() -> None:
    pool = Pool(Maker(), 1, 5)
    held = await pool.acquire()
    served: list[str] = []

    async def use(name: str) -> None:
        connection = await pool.acquire()
        served.append(name)
        pool.release(connection)

    waiting = [asyncio.create_task(use(name)) for name in ("first", "second", "third")]
    await asyncio.sleep(0)
    pool.release(held)
    await use("late")
    await asyncio.gather(*waiting)
    assert served == ["first", "second", "third", "late"]


async def test_waiting_ends_with_an_error_that_says_how_many_there_are() -> None:
    pool = Pool(Maker(), 2, 0.05)
    held = [await pool.acquire(), await pool.acquire()]
    with pytest.raises(GradbookError, match=r"All 2 database connections were in use for 0\.05 seconds") as raised:
        await pool.acquire()
    assert raised.value.code == "DATABASE_BUSY"
    pool.release(held[0])
    assert await pool.acquire() is held[0]


async def test_a_closed_connection_is_replaced() -> None:
    make = Maker()
    pool = Pool(make, 1, 1)
    connection = await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    connection.is_closed = True
    pool.release(connection)
    replacement = await waiting
    pool.release(replacement)
    replacement.is_closed = True  # it dies while it lies in the pool
    assert (await pool.acquire()).number == 2


async def test_a_failure_to_connect_leaves_its_place_to_the_next() -> None:
    pool = Pool(Maker(failures=1), 1, 1)
    tries = await asyncio.gather(pool.acquire(), pool.acquire(), return_exceptions=True)
    assert [type(outcome) for outcome in tries] == [OSError, Connection]


@pytest.mark.parametrize("is_served_first", [True, False])
async def test_a_waiter_that_is_cancelled_passes_its_turn_on(is_served_first: bool) -> None:
    pool = Pool(Maker(), 1, 5)
    held = await pool.acquire()
    cancelled = asyncio.create_task(pool.acquire())
    other = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    if is_served_first:
        pool.release(held)  # handed over, but the task has not run yet
        cancelled.cancel()
    else:
        cancelled.cancel()
        await asyncio.sleep(0)
        pool.release(held)
    assert await other is held
    assert cancelled.cancelled()


async def test_closing_waits_for_what_is_in_use() -> None:
    make = Maker()
    pool = Pool(make, 3, 5)
    held = await pool.acquire()
    free = await pool.acquire()
    pool.release(free)
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0.01)
    assert (free.is_closed, held.is_closed, closing.done()) == (True, False, False)
    pool.release(held)
    await closing
    assert held.is_closed
    with pytest.raises(RuntimeError, match="The database was closed"):
        await pool.acquire()
