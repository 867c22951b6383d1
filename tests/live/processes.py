"""Another server process on the same database, as far as the live room is concerned: it writes, and it waits."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from app import logs
from app.db import Database, UnitOfWork
from app.live import Bus, open_bus

NEVER = 1e6  # seconds: the clock must not rescue what the bus has lost
POLL_SECONDS = 0.025

Sql = Sequence[tuple[str, Sequence[Any]]]


def execute(uow: UnitOfWork, statements: Sql, topics: Iterable[str]) -> None:
    for sql, params in statements:
        uow.fetch(sql, params)
    for topic in topics:
        uow.publish(topic)


class OtherProcess:
    """A Python process with a Database and a bus of its own; one command at a time.

    Times are of CLOCK_MONOTONIC, which all processes of a machine share.
    """

    async def start(self) -> None:
        """Start the process, which takes a second."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.live.processes"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )

    async def end(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert await self._process.wait() == 0

    async def open(self, url: str) -> None:
        """Open a database and its bus there."""
        await self._ask("open", url)

    async def close(self) -> None:
        """Close the bus and the database there, as a process does that ends; closing twice does nothing."""
        await self._ask("close")

    async def write(self, statements: Sql, topics: Iterable[str] = ()) -> float:
        """Run the statements in one transaction and publish the topics; the time right after the commit."""
        at: float = await self._ask("write", list(statements), list(topics))
        return at

    async def write_all(self, transactions: Sequence[tuple[Sql, Sequence[str]]], at_once: int) -> None:
        """Run many transactions, up to `at_once` side by side."""
        await self._ask("write_all", list(transactions), at_once)

    async def wait(self, topic: str, seconds: float) -> float | None:
        """The time of the next wake-up for `topic` there, at most `seconds` away. The first call only subscribes."""
        at: float | None = await self._ask("wait", topic, seconds)
        return at

    async def _ask(self, *command: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 120)
        assert line, "the other process ended"
        return json.loads(line)


class _Commands:
    """What the other process can do."""

    _database: Database
    _bus: Bus

    def __init__(self) -> None:
        self._opened = contextlib.AsyncExitStack()
        self._rings: dict[str, asyncio.Queue[float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, url: str) -> None:
        self._database = await self._opened.enter_async_context(await Database.open(url))
        self._bus = await self._opened.enter_async_context(
            open_bus(self._database, poll_seconds=POLL_SECONDS, heal_seconds=NEVER)
        )

    async def close(self) -> None:
        while self._tasks:
            task = self._tasks.pop()
            task.cancel()
            await asyncio.wait([task])
        self._rings.clear()
        await self._opened.aclose()

    async def write(self, statements: Sql, topics: list[str]) -> float:
        await self._database.transact(execute, statements, topics)
        return time.monotonic()

    async def write_all(self, transactions: list[tuple[Sql, list[str]]], at_once: int) -> None:
        async def writer() -> None:
            while transactions:
                await self._database.transact(execute, *transactions.pop(0))

        await asyncio.gather(*(writer() for _ in range(at_once)))

    async def wait(self, topic: str, seconds: float) -> float | None:
        if topic not in self._rings:
            self._rings[topic] = asyncio.Queue()
            subscribed = asyncio.Event()
            self._tasks.add(asyncio.create_task(self._follow(topic, subscribed)))
            await subscribed.wait()
            return None
        try:
            return await asyncio.wait_for(self._rings[topic].get(), seconds)
        except TimeoutError:
            return None

    async def _follow(self, topic: str, subscribed: asyncio.Event) -> None:
        async with self._bus.subscribe(topic) as wakeup:
            subscribed.set()
            while True:
                await wakeup.wait()
                self._rings[topic].put_nowait(time.monotonic())


async def serve() -> None:
    logs.configure("info", "console")  # to standard error: standard output is for answers
    commands = _Commands()
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, *arguments = json.loads(line)
        sys.stdout.write(json.dumps(await getattr(commands, name)(*arguments)) + "\n")
        sys.stdout.flush()
    await commands.close()


if __name__ == "__main__":
    asyncio.run(serve())
