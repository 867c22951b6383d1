"""The bus within one process: no wake-up is lost, and none is queued."""

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.live.bus import MemoryBus

NEVER = 1e6  # seconds: the clock must not rescue what the bus has lost


async def test_a_publication_between_subscribing_and_waiting_is_not_lost() -> None:
    bus = MemoryBus(heal_seconds=NEVER)
    async with bus.subscribe("dataset:1") as wakeup:
        bus.publish(["dataset:1"])
        assert await wakeup.wait(5)


async def test_publications_are_merged() -> None:
    bus = MemoryBus(heal_seconds=NEVER)
    async with bus.subscribe("dataset:1") as wakeup:
        for _ in range(100):
            bus.publish(["dataset:1", "dataset:2"])
        assert await wakeup.wait(5)
        assert not await wakeup.wait(0.01)


async def test_other_topics_wake_nobody() -> None:
    bus = MemoryBus(heal_seconds=NEVER)
    async with bus.subscribe("dataset:1") as one, bus.subscribe("dataset:12") as other:
        bus.publish(["dataset:12"])
        assert not await one.wait(0.01)
        assert await other.wait(0.01)


async def test_who_left_is_forgotten() -> None:
    bus = MemoryBus(heal_seconds=NEVER)
    async with bus.subscribe("dataset:1") as left:
        pass
    async with bus.subscribe("dataset:1") as stayed:
        bus.publish(["dataset:1"])
        assert await stayed.wait(5)
        assert not await left.wait(0.01)


async def test_everybody_looks_after_the_heal_time() -> None:
    bus = MemoryBus(heal_seconds=0.05)
    async with bus.subscribe("dataset:1") as wakeup:
        started = time.monotonic()
        assert await wakeup.wait()
        assert await wakeup.wait(1000)
        assert 0.08 < time.monotonic() - started < 5


async def test_a_cancelled_wait_leaves_the_ring_to_the_next() -> None:
    bus = MemoryBus(heal_seconds=NEVER)
    async with bus.subscribe("dataset:1") as wakeup:
        waiting = asyncio.create_task(wakeup.wait())
        await asyncio.sleep(0)
        bus.publish(["dataset:1"])
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await wakeup.wait(5)


async def test_a_ring_in_the_moment_of_the_timeout_is_kept() -> None:
    """Whether this wait or the next sees it, one does."""
    bus = MemoryBus(heal_seconds=NEVER)
    loop = asyncio.get_running_loop()
    async with bus.subscribe("dataset:1") as wakeup:
        for _ in range(40):
            loop.call_later(0.001, bus.publish, ["dataset:1"])
            seen = [await wakeup.wait(0.001), await wakeup.wait(0.05)]
            assert seen.count(True) == 1


TOPICS = ["a", "b", "c"]
publishing = st.tuples(st.just("publish"), st.lists(st.sampled_from(TOPICS), max_size=3))
subscribing = st.tuples(st.sampled_from(["subscribe", "leave"]), st.sampled_from(TOPICS))
yielding = st.tuples(st.just("yield"), st.integers(1, 4))


@given(steps=st.lists(st.one_of(publishing, subscribing, yielding), max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_wakeup_is_lost(steps: list[tuple[str, list[str] | str | int]]) -> None:
    """Whoever subscribes, reads, and reads again whenever woken ends with what was last published."""
    asyncio.run(interleave(steps))


async def interleave(steps: list[tuple[str, list[str] | str | int]]) -> None:
    bus = MemoryBus(heal_seconds=NEVER)
    versions = dict.fromkeys(TOPICS, 0)
    read: dict[asyncio.Task[None], tuple[str, int]] = {}

    async def follow(topic: str) -> None:
        me = asyncio.current_task()
        assert me is not None
        async with bus.subscribe(topic) as wakeup:
            while True:
                seen = versions[topic]
                await asyncio.sleep(0)  # a read takes time, in which others publish
                read[me] = topic, seen
                await wakeup.wait()

    tasks: list[tuple[str, asyncio.Task[None]]] = []
    for step, what in steps:
        if step == "publish":
            assert isinstance(what, list)
            for topic in what:
                versions[topic] += 1
            bus.publish(what)
        elif step == "subscribe":
            assert isinstance(what, str)
            tasks.append((what, asyncio.create_task(follow(what))))
        elif step == "leave":
            leaving = [task for topic, task in tasks if topic == what][:1]
            for task in leaving:
                task.cancel()
                tasks.remove((str(what), task))
        else:
            assert isinstance(what, int)
            for _ in range(what):
                await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    for topic, task in tasks:
        assert read[task] == (topic, versions[topic])
        task.cancel()
    await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)


async def test_a_thousand_subscribers_are_cheap() -> None:
    """Set up, woken 20 times each, and gone; the limits are about ten times what it takes on a slow machine."""
    bus = MemoryBus(heal_seconds=NEVER)
    rings = 0

    async def follow() -> None:
        nonlocal rings
        async with bus.subscribe("dataset:1") as wakeup:
            while True:
                await wakeup.wait()
                rings += 1

    started = time.process_time()
    tasks = [asyncio.create_task(follow()) for _ in range(1000)]
    await asyncio.sleep(0)
    for round_ in range(1, 21):
        bus.publish(["dataset:1"])
        while rings < 1000 * round_:
            await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    spent = time.process_time() - started
    assert rings == 20_000
    assert spent < 6, f"{spent / rings * 1e6:.0f} µs a wake-up"
