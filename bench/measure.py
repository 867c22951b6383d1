"""Servers measured side by side: in every round each is driven once, and the order turns from round to round."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.cpu import tree_seconds
from bench.load import Accept, Window, drive

CONNECTIONS = 8
STOP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Plan:
    """How long it is measured."""

    rounds: int
    seconds: float
    warm_up_seconds: float


@dataclass(slots=True)
class Target:
    """One of the servers: `factory` is module:function, called with the URL of the database, `folder` its source.

    `start` is how a server is started that is none of ours: it gives its port and its process id.
    """

    name: str
    factory: str = ""
    url: str = ""
    folder: Path | None = None
    start: Callable[[], AbstractContextManager[tuple[int, int]]] | None = None
    port: int = 0
    pid: int = 0
    rounds: list[Round] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Round:
    """One server in one round; CPU in seconds per request."""

    requests_per_second: float
    p50: float
    p99: float
    server_cpu: float
    database_cpu: float
    generator_share: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of some values."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


def ratio(one: Target, other: Target) -> Spread:
    """The requests per second of one server in those of the other, round by round."""
    return Spread.of(
        mine.requests_per_second / theirs.requests_per_second
        for mine, theirs in zip(one.rounds, other.rounds, strict=True)
    )


@contextmanager
def serving(targets: Sequence[Target]) -> Iterator[None]:
    """The servers run, one process each, for the length of the block."""
    with ExitStack() as stack:
        for target in targets:
            start = target.start or partial(_process, target)
            target.port, target.pid = stack.enter_context(start())
        yield


@contextmanager
def _process(target: Target) -> Iterator[tuple[int, int]]:
    command = [sys.executable, "-m", "bench.server", target.factory, target.url]
    with subprocess.Popen(
        command, cwd=target.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            raise RuntimeError(f"The server {target.name} did not start; see above.")
        try:
            yield int(said), process.pid
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


async def measure(
    targets: Sequence[Target],
    asked: Callable[[Target], tuple[Iterator[tuple[Any, bytes]], Accept[Any]]],
    plan: Plan,
    database_pid: int | None = None,
    connections: int = CONNECTIONS,
) -> None:
    """Drive each target in each round; what was measured is added to the targets.

    `asked` gives a target's requests, which go on from round to round, and how its answers are checked.
    """
    asking = {target.name: asked(target) for target in targets}

    async def go(target: Target, seconds: float) -> Window:
        return await drive(target.port, *asking[target.name], connections=connections, seconds=seconds)

    for target in targets:
        await go(target, plan.warm_up_seconds)
    for number in range(plan.rounds):
        for target in targets if number % 2 == 0 else reversed(targets):
            server, database = tree_seconds(target.pid), tree_seconds(database_pid) if database_pid else 0.0
            window = await go(target, plan.seconds)
            server = tree_seconds(target.pid) - server
            database = (tree_seconds(database_pid) if database_pid else 0.0) - database
            target.rounds.append(
                Round(
                    window.count / window.seconds,
                    window.latencies[window.count // 2],
                    window.latencies[window.count * 99 // 100],
                    server / window.count,
                    database / window.count,
                    window.own_cpu_seconds / window.seconds,
                )
            )
