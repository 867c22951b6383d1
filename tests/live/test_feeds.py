"""The loop of a feed, on reads that the test answers."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from app.errors import Code, GradbookError
from app.live.bus import MemoryBus
from app.live.cursors import Position
from app.live.feeds import MAX_SETTLE_SECONDS, PACE_SECONDS, Batch, feed
from tests.live.processes import NEVER

TOPIC = "dataset:1"


class Log:
    """A history of numbers that grows, read as a feed reads: the payload is what came after the cursor."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.entries: list[int] = []
        self.reads: list[Position | None] = []
        self.settled: int | None = None  # how many entries can be read yet
        self.page = 1000

    def append(self, *entries: int) -> None:
        self.entries += entries
        self.bus.publish([TOPIC])

    async def read(self, after: Position | None) -> Batch[list[int]]:
        self.reads.append(after)
        await asyncio.sleep(0)
        until = len(self.entries) if self.settled is None else self.settled
        begin = until if after is None else after.change
        found = self.entries[begin:until][: self.page]
        return Batch(
            payload=found if found or after is None else None,
            cursor=Position(begin + len(found)) if begin <= until else Position(until),
            more=begin + len(found) < until,
            unsettled=until < len(self.entries),
        )

    def feed(self, after: int | None = None) -> AsyncGenerator[list[int], None]:
        return aiter(feed(self.bus, (TOPIC, "access"), None if after is None else Position(after), self.read))


@pytest.fixture
def log() -> Log:
    return Log(MemoryBus(heal_seconds=NEVER))


async def following(messages: AsyncGenerator[list[int], None]) -> list[int]:
    async with asyncio.timeout(5):
        return await anext(messages)


async def nothing(messages: AsyncGenerator[list[int], None], seconds: float = 0.1) -> asyncio.Task[list[int]]:
    """The task that waits for the next message, which does not come for now."""
    waiting = asyncio.create_task(following(messages))
    done, _ = await asyncio.wait([waiting], timeout=seconds)
    assert not done, waiting.result()
    return waiting


async def test_without_a_cursor_the_first_message_comes_at_once_and_has_no_rows(log: Log) -> None:
    log.append(1, 2)
    messages = log.feed()
    assert await following(messages) == []
    log.append(3)
    assert await following(messages) == [3]
    await messages.aclose()


async def test_it_goes_on_after_the_cursor(log: Log) -> None:
    log.append(1, 2, 3)
    messages = log.feed(1)
    assert await following(messages) == [2, 3]
    waiting = await nothing(messages)
    log.append(4)
    assert await waiting == [4]
    await messages.aclose()


async def test_what_is_published_while_the_consumer_is_busy_comes_merged(log: Log) -> None:
    messages = log.feed()
    await following(messages)
    for number in range(100):
        log.append(number)
        await asyncio.sleep(0)
    assert await following(messages) == list(range(100))
    assert len(log.reads) <= 3
    await messages.aclose()


async def test_more_than_a_batch_holds_comes_without_another_notification(log: Log) -> None:
    log.page = 3
    log.append(*range(8))
    messages = log.feed(0)
    assert [await following(messages) for _ in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    await messages.aclose()


async def test_what_is_unsettled_is_looked_for_again_without_a_notification(log: Log) -> None:
    messages = log.feed()
    await following(messages)
    log.settled = 0
    log.append(1)
    waiting = await nothing(messages)
    log.settled = 1
    settled = time.monotonic()
    assert await waiting == [1]
    assert time.monotonic() - settled < 2
    await messages.aclose()


async def test_waiting_for_a_long_transaction_gets_rarer(log: Log) -> None:
    log.settled = 0
    log.append(1)
    messages = log.feed()
    await following(messages)
    waiting = await nothing(messages, 2.5 * MAX_SETTLE_SECONDS)
    assert 3 <= len(log.reads) <= 9
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_a_feed_reads_no_faster_than_its_pace(log: Log) -> None:
    """However fast others write and the consumer takes."""
    messages = log.feed()
    await following(messages)
    began = time.monotonic()
    until = began + 20 * PACE_SECONDS

    async def write() -> None:
        while time.monotonic() < until:
            log.append(0)
            await asyncio.sleep(0.001)

    writing = asyncio.create_task(write())
    while time.monotonic() < until:
        await following(messages)
    await writing
    paces = (time.monotonic() - began) / PACE_SECONDS  # on a busy machine it may take longer
    assert len(log.reads) <= paces + 2
    await messages.aclose()


async def test_closing_leaves_the_bus(log: Log) -> None:
    messages = log.feed()
    await following(messages)
    assert log.bus._wakeups
    await messages.aclose()
    assert not log.bus._wakeups


async def test_cancelling_leaves_the_bus(log: Log) -> None:
    messages = log.feed()
    await following(messages)
    waiting = await nothing(messages)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not log.bus._wakeups


async def test_an_error_of_the_read_ends_the_feed(log: Log) -> None:
    gone = GradbookError(Code.NOT_FOUND, "There is no dataset dst_1, or you may not see it.")

    async def read(after: Position | None) -> Batch[list[int]]:
        if after is not None:
            raise gone
        return await log.read(after)

    messages = aiter(feed(log.bus, (TOPIC,), None, read))
    await following(messages)
    log.append(1)
    with pytest.raises(GradbookError) as caught:
        await following(messages)
    assert caught.value is gone
    assert not log.bus._wakeups


async def test_every_topic_wakes_it(log: Log) -> None:
    messages = log.feed()
    await following(messages)
    for topic in (TOPIC, "access"):
        log.entries.append(1)
        waiting = await nothing(messages)
        log.bus.publish([topic])
        assert await waiting == [1]
    await messages.aclose()


async def test_a_thousand_feeds_are_cheap(log: Log) -> None:
    """The limits are about ten times what it takes on a slow machine; reads cost nothing here."""
    delivered = 0

    async def consume() -> None:
        nonlocal delivered
        async for message in log.feed(0):
            delivered += len(message)

    started = time.process_time()
    consumers = [asyncio.create_task(consume()) for _ in range(1000)]
    for number in range(10):
        log.append(number)
        while delivered < 1000 * (number + 1):
            await asyncio.sleep(0.005)
    for consumer in consumers:
        consumer.cancel()
    await asyncio.gather(*consumers, return_exceptions=True)
    spent = time.process_time() - started
    assert delivered == 10_000
    assert not log.bus._wakeups
    assert spent < 10, f"{spent / delivered * 1e6:.0f} µs a message"
