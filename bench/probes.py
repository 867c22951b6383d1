"""`make bench-probes`: what fifty clients who mean well get done while somebody probes the server.

One server, as `gradbook serve` runs it with its default settings. Fifty clients, each from an address of its own, ask
for a page of records again and again. Meanwhile somebody else, with a key and an address of their own, sends probes of
one kind (`tests/support/probes.py`), so many a second, each on a connection of its own; and in a window beside that
somebody sends as many harmless requests. A window begins when the probes have gone on for some seconds: then what a
caller may do at once is used up, and what is measured is what goes on as long as they do. Printed is, for each kind,
the ratio of what the fifty get done in the one window and in the other: the median of the rounds. The exit code is 1
when one is below the goal.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from app.db.migrate import upgrade
from bench import load
from bench.book import Book, fill
from bench.databases import KINDS, empty_databases
from bench.load import http_request
from bench.measure import Spread
from bench.operations import RECORD_PAGE, body
from tests.support.probes import HARMLESS, HARMLESS_SOCKET, PROBES, Aim, Probe, Wire, send
from tests.support.server import Server

CLIENTS = 50
GOAL = 0.8
PASSAGES = 500
PAGE = 10

_PROBERS = 16  # annotators who probe, one after the other: who probes again has been forgotten by the limits
_LEAD_IN_SECONDS = 3.0
_MOST_MADE = 64 * 1024 * 1024  # bytes


def main() -> int:
    """Run the comparison."""
    given = _arguments()
    slow = []
    for kind in given.database or KINDS:
        print(
            f"\n{kind}: {given.rounds} rounds of two windows of {given.seconds:g} s, {given.rate:g} a second\n\n"
            "| probe | answered beside it / beside harmless requests | answered in |\n|---|---|---|"
        )
        with _server(kind) as (port, book):
            trial = Trial(port, book, given.rate, given.seconds)
            for number, probe in enumerate(PROBES):
                if given.probe is None or given.probe in probe.name:
                    ratio = uvloop.run(trial.compare(probe, number, given.rounds))
                    if ratio < GOAL:
                        slow.append(f"{probe.name} on {kind}: {ratio:.2f}, wanted {GOAL:g} or more")
    for line in slow:
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if slow else 0


@dataclass(frozen=True, slots=True)
class Window:
    """What the clients got done a second, and the seconds that probes took to be answered."""

    answers: float
    latencies: list[float]


@dataclass(frozen=True, slots=True)
class Trial:
    """A server under probes."""

    port: int
    book: Book
    rate: float
    seconds: float

    async def compare(self, probe: Probe, number: int, rounds: int) -> float:
        """Print a line about a kind of probe, the how many-th it is, and return its ratio."""
        beside = HARMLESS_SOCKET if probe.is_socket else HARMLESS
        who = {probe.name: number % _PROBERS, beside.name: _PROBERS}
        ratios, latencies = [], []
        for turn in range(rounds):
            order = (probe, beside) if turn % 2 else (beside, probe)
            lead_in = {probe.name: _LEAD_IN_SECONDS, beside.name: _LEAD_IN_SECONDS / 6}
            windows = {one.name: await self._window(one, who[one.name], lead_in[one.name]) for one in order}
            ratios.append(windows[probe.name].answers / windows[beside.name].answers)
            latencies += windows[probe.name].latencies
        spread = Spread.of(ratios)
        print(
            f"| {probe.name} | **{spread.median:.2f}** ({spread.least:.2f}–{spread.greatest:.2f}) "
            f"| {_milliseconds(latencies)} |",
            flush=True,
        )
        return spread.median

    async def _window(self, probe: Probe, who: int, lead_in: float) -> Window:
        aim = Aim(self.port, self.book.annotators[who].key, f"dst_{self.book.dataset_id}")
        wires = self._made(probe, aim, math.ceil(self.rate * (lead_in + self.seconds)))
        latencies: list[float] = []
        probing = asyncio.create_task(self._probe(aim, wires, f"127.0.2.{who + 1}", latencies))
        await self._drive(lead_in)
        clients = await self._drive(self.seconds)
        probing.cancel()
        await asyncio.wait([probing])
        await load.one_answer(self.port, self._requests()[0][1])  # it has worked off what nobody waits for any more
        return Window(clients.count / clients.seconds, latencies)

    def _made(self, probe: Probe, aim: Aim, count: int) -> list[Wire]:
        """Probes enough for a window; of large ones fewer, which are sent again and again."""
        made: list[Wire] = []
        size = 0
        while len(made) < count and size < _MOST_MADE:
            made.append(probe.make(aim, _numbers()))
            size += sum(map(len, made[-1]))
        return made

    async def _drive(self, seconds: float) -> load.Window:
        return await load.drive(
            self.port,
            itertools.cycle(self._requests()),
            _accept,
            connections=CLIENTS,
            seconds=seconds,
            address=lambda number: f"127.0.1.{number + 1}",
        )

    async def _probe(self, aim: Aim, wires: list[Wire], address: str, latencies: list[float]) -> None:
        loop = asyncio.get_running_loop()

        async def one(wire: Wire) -> None:
            began = loop.time()
            await send(aim, wire, address)
            latencies.append(loop.time() - began)

        async with asyncio.TaskGroup() as group:
            began = loop.time()
            for number in itertools.count():
                await asyncio.sleep(began + number / self.rate - loop.time())
                group.create_task(one(wires[number % len(wires)]))

    def _requests(self) -> list[tuple[None, bytes]]:
        """A page of records, by each of the clients."""
        asked = body(RECORD_PAGE, {"dataset": f"dst_{self.book.dataset_id}", "first": PAGE})
        return [(None, http_request("/graphql", person.key, asked)) for person in self.book.annotators[_PROBERS + 1 :]]


def _milliseconds(latencies: list[float]) -> str:
    return f"{1000 * Spread.of(latencies).median:.0f} ms" if latencies else "never"


def _accept(_: Any, status: int, answer: bytes) -> None:
    if status != 200 or not answer.startswith(b'{"data":{"dataset":{'):
        raise AssertionError(f"A client who means well was answered {status}: {answer[:300]!r}")


_numbers: Callable[[], int] = itertools.count(1).__next__


@contextmanager
def _server(kind: str) -> Iterator[tuple[int, Book]]:
    """A server with a book, and its port."""
    with empty_databases(kind, ("probed",)) as empty, tempfile.TemporaryDirectory(prefix="gradbook-bench-") as folder:
        upgrade(empty.urls[0])
        book = asyncio.run(fill(empty.urls[0], PASSAGES))
        with Server(empty.urls[0], Path(folder)) as server:
            yield urlsplit(server.address).port or 0, book


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-probes", description="Clients beside somebody who probes.")
    parser.add_argument("--rounds", type=int, default=3, help="3")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a window; 1.5")
    parser.add_argument("--rate", type=float, default=10.0, help="probes a second; 10")
    parser.add_argument("--database", action="append", choices=KINDS, help="this one only")
    parser.add_argument("--probe", help="those whose name has this in it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
