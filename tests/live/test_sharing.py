"""Following a feed together: on reads that the test answers, and members that take what they are sent or do not."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Any

import pytest

from app.errors import Code, GradbookError
from app.graphql.sharing import BURST, Message, Shared, follow
from app.live.bus import MemoryBus
from app.live.cursors import Position
from app.live.feeds import Batch, feed
from tests.graphql_socket.client import until
from tests.live.processes import NEVER

TOPIC = "task:1"


class Log:
    """A history of numbers that grows, and those who follow it. Without a cursor all of it is told."""

    def __init__(self) -> None:
        self.bus = MemoryBus(heal_seconds=NEVER)
        self.entries: list[int] = []
        self.reads: list[Position | None] = []
        self.encodings = 0
        self.reading = 0
        self.page = 1000
        self.fails: Callable[[Position | None], Exception | None] = lambda _: None
        self.cohorts: dict[Any, Any] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    def append(self, *entries: int) -> None:
        self.entries += entries
        self.bus.publish([TOPIC])

    async def read(self, after: Position | None) -> Batch[list[int]]:
        self.reads.append(after)
        self.reading += 1
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            await self.gate.wait()
            if error := self.fails(after):
                raise error
            begin = 0 if after is None else after.change
            found = self.entries[begin:][: self.page]
            end = Position(begin + len(found))
            return Batch(found or None, end, more=end.change < len(self.entries))
        finally:
            self.reading -= 1

    async def encode(self, event: list[int]) -> Message:
        self.encodings += 1
        await asyncio.sleep(0)
        return Message(" ".join(map(str, event)))

    def shared(self, after: int | None = None, key: Hashable = "all") -> Shared:
        start = None if after is None else Position(after)
        return Shared(self.cohorts, key, feed(self.bus, (TOPIC,), start, self.read), self.encode)


class Member:
    """A subscriber whose socket takes what it is sent, or does not."""

    def __init__(self, log: Log, after: int | None = None, key: Hashable = "all") -> None:
        self.begin = after or 0
        self.got: list[int] = []
        self.messages = 0
        self.held = 0
        self.most_held = 0
        self.writable = asyncio.Event()
        self.writable.set()
        self.task = asyncio.create_task(follow(log.shared(after, key), self.send))

    async def send(self, message: Message) -> None:
        self.held += 1
        self.most_held = max(self.held, self.most_held)
        try:
            await self.writable.wait()
        finally:
            self.held -= 1
        self.messages += 1
        self.got += map(int, message.text.split())

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.held == 0

    def has(self, log: Log) -> bool:
        return self.got == log.entries[self.begin :]


@pytest.fixture
async def log() -> AsyncIterator[Log]:
    """At the end nobody works or waits any more."""
    log = Log()
    yield log
    await until(lambda: not log.bus._wakeups)
    assert log.cohorts == {}
    assert log.reading == 0


@contextlib.asynccontextmanager
async def members(log: Log, count: int, **arguments: Any) -> AsyncIterator[list[Member]]:
    made = [Member(log, **arguments) for _ in range(count)]
    try:
        yield made
    finally:
        for member in made:
            await member.leave()


async def test_all_members_share_one_read_and_one_encoding(log: Log) -> None:
    log.append(*range(5))
    async with members(log, 300) as all_of_them:
        await until(lambda: all(member.has(log) for member in all_of_them))
        assert (log.reads, log.encodings) == ([None], 1)
        for number in range(5, 8):
            log.append(number)
            await until(lambda: all(member.has(log) for member in all_of_them))
        assert len(log.reads) == log.encodings == 4
        assert {member.messages for member in all_of_them} == {4}


async def test_nothing_is_shared_with_another_key(log: Log) -> None:
    log.append(1)
    async with members(log, 3, key="owner") as owners, members(log, 3, key="annotator") as annotators:
        await until(lambda: all(member.has(log) for member in owners + annotators))
        assert log.encodings == 2
        assert len(log.cohorts) == 2


async def test_a_member_that_comes_late_has_all_and_joins_the_others(log: Log) -> None:
    async with members(log, 3) as early:
        log.append(*range(10))
        await until(lambda: all(member.has(log) for member in early))
        async with members(log, 1) as late, members(log, 1, after=4) as resumed:
            await until(lambda: late[0].has(log) and resumed[0].has(log))
            await until(lambda: len(log.cohorts) == 1)
            reads = len(log.reads)
            log.append(10)
            await until(lambda: all(member.has(log) for member in early + late + resumed))
            assert len(log.reads) == reads + 1


async def test_what_happens_while_a_history_is_read_is_neither_lost_nor_doubled(log: Log) -> None:
    log.page = 7
    log.append(*range(100))
    async with members(log, 5) as some, members(log, 5, after=50) as others:
        number = 100
        while len(log.reads) < 20:
            log.append(number)
            number += 1
            await asyncio.sleep(0)
        await until(lambda: all(member.has(log) for member in some + others))
        await until(lambda: len(log.cohorts) == 1)


async def test_a_member_that_does_not_take_holds_one_message_and_nobody_else(log: Log) -> None:
    async with members(log, 5) as quick, members(log, 1) as [slow]:
        log.append(0)
        await until(lambda: slow.has(log))
        slow.writable.clear()
        for number in range(1, 30):
            log.append(number)
            await until(lambda: all(member.has(log) for member in quick))
        assert (slow.got, slow.held, slow.most_held) == ([0], 1, 1)
        slow.writable.set()
        await until(lambda: slow.has(log))
        assert slow.messages <= 4  # one that was held, and the rest merged
        await until(lambda: len(log.cohorts) == 1)
        encodings = log.encodings
        log.append(30)
        await until(lambda: slow.has(log) and all(member.has(log) for member in quick))
        assert log.encodings == encodings + 1


async def test_a_member_alone_that_is_often_slow_reads_at_its_pace(log: Log) -> None:
    """Each message falls out of its cohort; that must not make it read without a pause."""
    async with members(log, 1) as [slow]:
        for number in range(400):
            slow.writable.clear()
            log.append(number)
            await asyncio.sleep(0.001)
            slow.writable.set()
            await asyncio.sleep(0)
        await until(lambda: slow.has(log))
        assert slow.messages < 200


@pytest.mark.parametrize("when", ["reading", "sending", "waiting"])
async def test_the_work_ends_with_the_last_member(log: Log, when: str) -> None:
    log.append(1)
    async with members(log, 2) as [one, two]:
        match when:
            case "reading":
                log.gate.clear()
                await until(lambda: log.reading)
            case "sending":
                two.writable.clear()
                await until(lambda: two.held)
            case "waiting":
                await until(lambda: one.has(log) and two.has(log))
        await one.leave()
        await two.leave()
        await until(lambda: not log.bus._wakeups)
        assert log.reading == 0
        assert log.cohorts == {}


async def test_an_error_of_the_read_ends_all_who_are_there(log: Log) -> None:
    gone = GradbookError(Code.NOT_FOUND, "There is no task tsk_1 that you can see.")
    log.append(1)
    async with members(log, 3, key="hidden") as hidden:
        await until(lambda: all(member.has(log) for member in hidden))
        log.fails = lambda _: gone
        log.append(2)
        await until(lambda: all(member.task.done() for member in hidden))
        assert {member.task.exception() for member in hidden} == {gone}
        log.fails = lambda _: None
    async with members(log, 1, key="hidden") as [again]:
        await until(lambda: again.has(log))


async def test_a_send_that_fails_ends_that_member_alone(log: Log) -> None:
    async def vanished(_message: Message) -> None:
        raise ConnectionResetError

    async def vanishes(_message: Message) -> None:
        await asyncio.sleep(0)
        raise ConnectionResetError

    async def cancelled(_message: Message) -> None:
        raise asyncio.CancelledError

    async with members(log, 2) as [one, other]:
        lost = [asyncio.create_task(follow(log.shared(), send)) for send in (vanished, vanishes, cancelled)]
        log.append(1)
        await until(lambda: all(task.done() for task in lost))
        assert [type(task.exception()) for task in lost[:2]] == [ConnectionResetError] * 2
        assert lost[2].cancelled()
        log.append(2)
        await until(lambda: one.has(log) and other.has(log))


@pytest.mark.parametrize("when", ["reading", "sending"])
async def test_nobody_waits_for_a_cohort_that_was_cancelled(log: Log, when: str) -> None:
    async def send(message: Message) -> None:
        if message.text == "2":
            [cohort] = log.cohorts.values()
            cohort._task.cancel()  # it notices after so many as get their message in one turn

    log.append(1)
    breaking = asyncio.create_task(follow(log.shared(), send))
    async with members(log, 3 * BURST) as all_of_them:
        await until(lambda: all(member.has(log) for member in all_of_them))
        if when == "reading":
            log.gate.clear()
        log.append(2)
        if when == "reading":
            await until(lambda: log.reading)
            [cohort] = log.cohorts.values()
            cohort._task.cancel()
        await until(lambda: breaking.done() and all(member.task.done() for member in all_of_them))
        assert sum(member.has(log) for member in all_of_them) == (0 if when == "reading" else BURST - 1)
        tasks = {breaking, *(member.task for member in all_of_them)}
        assert {type(task.exception()) for task in tasks} == {RuntimeError}


async def test_a_member_that_leaves_with_its_turn_at_a_lock_leaves_it_to_the_next(log: Log) -> None:
    """Its send has just been handed the lock that all of a socket's share, and has not gone on yet."""
    lock = asyncio.Lock()
    await lock.acquire()
    next_one: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait_behind() -> None:
        async with lock:
            next_one.set_result(None)

    def leave() -> None:
        lock.release()
        member.cancel()

    async def send(_message: Message) -> None:
        waiting.append(asyncio.create_task(wait_behind()))
        asyncio.get_running_loop().call_soon(leave)
        async with lock:
            raise AssertionError("it has left")

    waiting: list[asyncio.Task[None]] = []
    log.append(1)
    member = asyncio.create_task(follow(log.shared(), send))
    await until(member.done)
    assert member.cancelled()
    await until(next_one.done)


async def test_others_get_their_turn_while_many_are_sent_to(log: Log) -> None:
    async with members(log, 1000) as all_of_them:
        log.append(1)
        seen: set[int] = set()
        while len(seen) < 12 and not all(member.got for member in all_of_them):
            await asyncio.sleep(0)
            seen.add(sum(1 for member in all_of_them if member.got))
        assert len(seen) >= 10


@pytest.mark.parametrize("seed", range(5))
async def test_a_storm_of_members_that_come_leave_and_are_slow(log: Log, seed: int) -> None:
    """Whoever stays has everything after its start once and in order; whoever leaves has a beginning of that."""
    chance = random.Random(seed)
    log.page = 5
    staying: list[Member] = []
    left: list[Member] = []
    for number in range(600):
        if chance.random() < 0.5:
            log.append(number)
        if chance.random() < 0.3:
            after = chance.choice([None, len(log.entries), chance.randint(0, len(log.entries))])
            staying.append(Member(log, after))
        if staying and chance.random() < 0.2:
            leaving = staying.pop(chance.randrange(len(staying)))
            await leaving.leave()
            left.append(leaving)
        for member in chance.sample(staying, min(len(staying), 3)):
            (member.writable.clear if chance.random() < 0.5 else member.writable.set)()
        if chance.random() < 0.1:
            await asyncio.sleep(0.003)
        await asyncio.sleep(0)
    for member in staying:
        member.writable.set()
    await until(lambda: all(member.has(log) for member in staying))
    for member in left:
        assert member.got == log.entries[member.begin :][: len(member.got)]
    assert {member.most_held for member in staying} <= {0, 1}
    await until(lambda: len(log.cohorts) == 1)
    for member in staying:
        await member.leave()
