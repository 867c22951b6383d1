"""The bus between two real processes, on both databases. The clock heals nothing here: what is heard was said."""

import asyncio
import sqlite3
import statistics
import threading
import time

import pytest

from app.db import Database
from app.db.notify import NotifyConnection
from app.db.url import parse_url
from app.live import Bus
from app.live.bus import Wakeup
from app.live.postgres import EVERYTHING, payload
from app.live.sqlite import SqliteBus
from tests.live.processes import POLL_SECONDS, OtherProcess, execute

PROMPT = 5.0  # seconds; what is said arrives in 0.03, and this machine is busy


def insert(item: int) -> list[tuple[str, list[object]]]:
    return [(f"INSERT INTO live_item VALUES ({item}, 1, 1)", [])]


async def settled(wakeup: Wakeup) -> None:
    """Let everything arrive that is under way: the first wake-up of a listener, of a poll that begins."""
    while await wakeup.wait(0.3):
        pass


async def test_a_commit_elsewhere_wakes_a_subscriber_here(bus: Bus, other: OtherProcess) -> None:
    delays = []
    async with bus.subscribe("dataset:1") as wakeup:
        await settled(wakeup)
        for item in range(20):
            committed = await other.write(insert(item), ["dataset:1"])
            assert await wakeup.wait(PROMPT), "the commit was not heard"
            delays.append(time.monotonic() - committed)
            await asyncio.sleep(0.005 * (item % 5))
    assert statistics.median(delays) < 0.5, f"median {statistics.median(delays) * 1000:.0f} ms"


async def test_a_commit_here_wakes_a_subscriber_elsewhere(database: Database, bus: Bus, other: OtherProcess) -> None:
    await other.wait("dataset:1", 0)
    while await other.wait("dataset:1", 0.3):
        pass
    delays = []
    for item in range(20):
        await database.transact(execute, insert(item), ["dataset:1"])
        committed = time.monotonic()
        woken = await other.wait("dataset:1", PROMPT)
        assert woken, "the commit was not heard"
        delays.append(woken - committed)
    assert statistics.median(delays) < 0.5, f"median {statistics.median(delays) * 1000:.0f} ms"


async def test_own_commits_wake_their_topics_at_once_and_no_others(database: Database, bus: Bus) -> None:
    async with bus.subscribe("dataset:1") as one, bus.subscribe("dataset:2") as other:
        await settled(one)
        await settled(other)
        for item in range(10):
            await database.transact(execute, insert(item), ["dataset:1"])
            assert await one.wait(0), "own commits are not waited for"
        assert not await other.wait(10 * POLL_SECONDS)
        assert not await one.wait(0), "one's own notification came back"


async def test_a_foreign_commit_among_own_ones_is_heard(database: Database, bus: Bus, other: OtherProcess) -> None:
    """Own commits change SQLite's data_version too; they must not hide another process's."""
    async with bus.subscribe("dataset:2") as wakeup:
        await settled(wakeup)
        for round_ in range(10):
            own = [database.transact(execute, insert(100 * round_ + n), ["dataset:1"]) for n in range(20)]
            await asyncio.gather(*own, other.write(insert(100 * round_ + 50), ["dataset:2"]))
            assert await wakeup.wait(PROMPT), "the commit was not heard"


async def test_what_is_committed_before_the_first_subscription_is_no_secret(bus: Bus, other: OtherProcess) -> None:
    await other.write(insert(1), ["dataset:1"])
    async with bus.subscribe("dataset:1") as wakeup:
        subscribed = time.monotonic()
        await other.write(insert(2), ["dataset:1"])
        assert await wakeup.wait(PROMPT)
        assert time.monotonic() - subscribed < PROMPT


async def test_a_process_that_leaves_says_the_last_word_first(bus: Bus, other: OtherProcess) -> None:
    async with bus.subscribe("dataset:1") as wakeup:
        await settled(wakeup)
        await other.write(insert(1), ["dataset:1"])
        await other.close()
        assert await wakeup.wait(PROMPT)


async def test_topics_that_do_not_fit_into_one_notification_wake_everybody(bus: Bus, other: OtherProcess) -> None:
    async with bus.subscribe("dataset:999") as fits, bus.subscribe("dataset:x") as named_by_nobody:
        await settled(fits)
        await settled(named_by_nobody)
        await other.write(insert(1), [f"dataset:{number}" for number in range(1000)])
        assert await fits.wait(PROMPT)
        assert await named_by_nobody.wait(PROMPT)


class TestOnSqlite:
    @pytest.fixture
    def backend(self) -> str:
        return "sqlite"

    async def test_nothing_is_asked_without_subscribers(self, bus: SqliteBus) -> None:
        asked = threading.Semaphore(0)
        bus._watch._connection.set_trace_callback(lambda _: asked.release())
        async with bus.subscribe("dataset:1"):
            assert await asyncio.to_thread(asked.acquire, timeout=PROMPT)
        await asyncio.sleep(2 * POLL_SECONDS)
        while asked.acquire(blocking=False):
            pass
        await asyncio.sleep(10 * POLL_SECONDS)
        assert not asked.acquire(blocking=False)

    async def test_polling_costs_less_than_a_hundredth_of_a_core(self, bus: SqliteBus) -> None:
        clock = time.pthread_getcpuclockid(bus._thread.ident or 0)
        async with bus.subscribe("dataset:1"):
            began, started = time.clock_gettime(clock), time.monotonic()
            await asyncio.sleep(2)
            used = (time.clock_gettime(clock) - began) / (time.monotonic() - started)
        assert used < 0.01, f"{used:.2%}"

    async def test_a_busy_writer_does_not_keep_others_unheard(
        self, database: Database, database_url: str, bus: Bus
    ) -> None:
        """The writer, which would know who committed, waits for another's lock, who commits and takes it again."""
        another = sqlite3.connect(parse_url(database_url).database or "", isolation_level=None)
        async with bus.subscribe("dataset:1") as wakeup:
            await settled(wakeup)
            another.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(database.transact(execute, insert(1), []))
            await asyncio.sleep(0.2)
            another.execute(insert(2)[0][0])
            another.execute("COMMIT")
            another.execute("BEGIN IMMEDIATE")
            assert await wakeup.wait(2)
            assert not waiting.done()
            another.close()
            await waiting


class TestOnPostgres:
    @pytest.fixture
    def backend(self) -> str:
        return "postgresql"

    async def test_a_foreign_commit_wakes_its_topics_alone(self, bus: Bus, other: OtherProcess) -> None:
        async with bus.subscribe("dataset:1") as one, bus.subscribe("dataset:2") as two:
            await settled(one)
            await settled(two)
            await other.write(insert(1), ["dataset:1"])
            assert await one.wait(PROMPT)
            assert not await two.wait(0.1)

    async def test_a_payload_is_as_long_as_postgresql_takes(self, database: Database) -> None:
        def of_length(length: int) -> str:
            return payload("sender", ["x" * (length - len("sender\n"))])

        heard: asyncio.Queue[str] = asyncio.Queue()
        connection = await NotifyConnection.open(database, "test")
        await connection.listen("test", heard.put_nowait)
        await connection.notify("test", of_length(7_999))
        assert await asyncio.wait_for(heard.get(), PROMPT) == of_length(7_999)
        assert of_length(7_999).endswith("x")
        assert of_length(8_000) == payload("sender", ["dataset:1", EVERYTHING]) == f"sender\n{EVERYTHING}"
        await connection.close()
