"""Reports of 1,000 points, to Gradbook and to other trackers, on SQLite with the same durability on both sides."""

from __future__ import annotations

import random
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path

import numpy as np
import orjson

from bench.measure import Plan, Target, measure, serving
from bench.peers import MLFLOW, TRACKIO, Peer, mlflow, trackio
from bench.scenarios import OURS, Asked, Result
from bench.sides import BEGAN, REPORT, Given, MlflowSide, OurSide, Side, Stored, TrackioSide
from bench.training_book import training_book

WRITERS = (1, 8)

_FACTORIES = {"FULL": "bench.ours:serve", "NORMAL": "bench.ours:serve_normal"}
_PEERS = {"FULL": MLFLOW, "NORMAL": TRACKIO}
"""Who commits like that: MLflow with SQLite's own defaults, Trackio with the write-ahead log."""

_GOALS = {MLFLOW.name: 20.0, TRACKIO.name: 6.0}


_DIFFERENT = 50  # reports' values, which come again and again at other steps
_STEP_MS = 250


async def ingest(plan: Plan, writers: Sequence[int] = WRITERS) -> list[Result]:
    """Both durabilities, each with so many writers at once; afterwards every acknowledged point has to be there."""
    return [result for synchronous in _FACTORIES for result in await _ingest(synchronous, plan, writers)]


async def _ingest(synchronous: str, plan: Plan, writers: Sequence[int]) -> list[Result]:
    peer = _PEERS[synchronous]
    results = []
    for count in writers:
        with ExitStack() as stack:
            sides = [await _ours(stack, synchronous, count)]
            if peer.is_installed:
                sides.append(_theirs(stack, peer))
            targets, logs = await _measured(sides, plan, count)
            notes = {name: f"{await log.check():,} points acknowledged, all there" for name, log in logs.items()}
        operation = f"1,000 points, {count} writer{'s' if count > 1 else ''}, {synchronous}"
        absent = () if peer.is_installed else (peer.label,)
        results.append(Result(operation, "sqlite", targets, notes, {peer.label: _GOALS[peer.name]}, absent))
    return results


async def _measured(sides: Sequence[Side], plan: Plan, writers: int) -> tuple[list[Target], dict[str, Log]]:
    targets = [side.target for side in sides]
    logs = {side.target.name: Log(side, writers) for side in sides}

    def asking(target: Target) -> Asked:
        return logs[target.name].requests(), logs[target.name].accept

    with serving(targets):
        for side in sides:
            side.begin(writers)
        await measure(targets, asking, plan, connections=writers)
    return targets, logs


class Log:
    """What the writers of one side sent. Each waits for an answer before it sends its next report."""

    def __init__(self, side: Side, writers: int) -> None:
        self._side = side
        self._sent = [0] * writers
        self._waiting = deque(range(writers))

    def requests(self) -> Iterator[tuple[int, bytes]]:
        """Reports of writers who have nothing on its way."""
        while True:
            writer = self._waiting.popleft()
            yield writer, self._side.request(writer, self._sent[writer], _report(self._sent[writer]))

    def accept(self, writer: int, status: int, answer: bytes) -> None:
        """A report was taken; raises if not."""
        if not self._side.is_good(status, answer):
            raise AssertionError(f"{self._side.target.name} answered {status}: {answer[:300]!r}")
        self._sent[writer] += 1
        self._waiting.append(writer)

    async def check(self) -> int:
        """How many points were acknowledged, all of which are stored as they were sent, and none besides."""
        for writer, count in enumerate(self._sent):
            steps, values = await self._side.stored(writer)
            wanted_steps, wanted_values = _expected(count)
            if not (np.array_equal(steps, wanted_steps) and np.array_equal(values, wanted_values)):
                raise AssertionError(
                    f"{self._side.target.name}: of writer {writer} {len(wanted_steps):,} points were acknowledged, and "
                    f"{len(steps):,} are stored, or others."
                )
        return sum(self._sent) * REPORT


async def _ours(stack: ExitStack, synchronous: str, writers: int) -> Side:
    url = f"sqlite:///{_folder(stack)}/book.db"
    return OurSide(Target(OURS, _FACTORIES[synchronous], url), await training_book(url, writers))


def _theirs(stack: ExitStack, peer: Peer) -> Side:
    folder = _folder(stack)
    if peer is MLFLOW:
        return MlflowSide(Target(peer.label, start=partial(mlflow, folder)), folder)
    return TrackioSide(Target(peer.label, start=partial(trackio, folder)), folder)


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gradbook-bench-")))


@cache
def _values(which: int) -> list[float]:
    """Of a report: between 0 and 1, with all their digits."""
    chance = random.Random(which)
    return [chance.random() for _ in range(REPORT)]


@cache
def _value_texts(which: int) -> list[bytes]:
    return [orjson.dumps(value) for value in _values(which)]


def _report(number: int) -> Given:
    """A writer's report of this number."""
    steps = range(number * REPORT, (number + 1) * REPORT)
    return Given(list(steps), _value_texts(number % _DIFFERENT), [BEGAN + step * _STEP_MS for step in steps])


def _expected(reports: int) -> Stored:
    """What is stored of a writer of whom so many reports were acknowledged."""
    said = [_values(number % _DIFFERENT) for number in range(reports)]
    return np.arange(reports * REPORT), np.array(said, np.float64).reshape(-1)
