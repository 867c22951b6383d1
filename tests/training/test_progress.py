"""What a subscriber reads of a task is every point once, in order, whoever reports, reads and compacts meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from app.db import Database
from app.errors import GradbookError
from app.training import progress
from app.training.compactor import Due, compact_task, compact_waiting
from app.training.metrics.columns import DamagedColumnError
from app.training.metrics.wire import wire_values
from app.training.progress import Place, Progress, read_progress
from tests.training.tasks import Run, series

Points = dict[str, list[tuple[int, float | str, int]]]

METRICS = ["loss", "lr", "accuracy", "norm"]


@pytest.fixture
async def run(database: Database) -> Run:
    return await Run.make(database)


class Reader:
    """A subscriber, and what it has got."""

    def __init__(self, run: Run, metrics: Sequence[str] | None = None) -> None:
        self.run = run
        self.metrics = metrics
        self.place = Place()
        self.points: Points = {}
        self.sizes: list[int] = []

    async def read(self) -> Progress:
        """One message."""
        found = await read_progress(self.run.database, self.run.viewer, self.run.task, self.metrics, self.place)
        assert found is not None
        self.sizes.append(0)
        for one in found.series:
            columns = [orjson.loads(orjson.dumps(column)) for column in (one.steps, one.values, one.times)]
            rows = list(zip(*columns, strict=True))
            assert rows, "a series has points"
            self.points.setdefault(one.metric, []).extend(rows)
            self.sizes[-1] += len(rows)
        assert not found.more or self.place != found.place, "it goes on"
        self.place = found.place
        return found

    async def read_all(self) -> None:
        """Up to the present."""
        while (await self.read()).more:
            pass


async def stored(run: Run, metrics: Sequence[str] | None = None) -> Points:
    """All points of a task as they were reported."""
    return {
        name: [
            (step, value, time)
            for (step, _, time, _), value in zip(rows, _shown([row[1] for row in rows]), strict=True)
        ]
        for name, rows in (await run.points()).items()
        if metrics is None or name in metrics
    }


def _shown(values: list[float]) -> list[float | str]:
    return wire_values(np.array(values))


class Reporters:
    """Two sources that report random points of some metrics."""

    def __init__(self, run: Run, chance: random.Random) -> None:
        self.run = run
        self.chance = chance
        self.sequences = {"a": 0, "b": 0}

    async def report(self, source: str, most: int = 5) -> None:
        chance, sequence = self.chance, self.sequences[source]
        self.sequences[source] += 1
        parts = []
        for metric in METRICS[: chance.randint(0, len(METRICS))]:
            steps = [chance.randint(0, 50) for _ in range(chance.randint(1, most))]
            values: list[Any] = [chance.choice([chance.random(), "NaN", "-Infinity"]) for _ in steps]
            parts.append(series(metric, steps, values, [sequence * 100 + n for n in range(len(steps))]))
        await self.run.report(sequence, *parts, source=source, step=sequence)


async def compact_some(run: Run) -> None:
    """Put together what waits, however little it is."""
    metrics = await run.database.read(f"SELECT id FROM metric WHERE task_id = {run.task}")
    await compact_task(run.database, Due(run.task, tuple(row[0] for row in metrics)))


@pytest.mark.parametrize("seed", range(4))
async def test_every_point_once_in_order_however_reads_reports_and_compactions_alternate(
    run: Run, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(progress, "MESSAGE_POINTS", 12)
    monkeypatch.setattr("app.training.compactor.FULL", 20)
    chance = random.Random(seed)
    reporters = Reporters(run, chance)
    readers = [Reader(run), Reader(run), Reader(run, ["lr", "none", "loss"])]
    for _ in range(150):
        action = chance.random()
        if action < 0.5:
            await reporters.report(chance.choice("ab"))
        elif action < 0.6:
            await compact_some(run)
        else:
            await chance.choice(readers[1:]).read()
    for reader in readers:
        await reader.read_all()
        assert reader.points == await stored(run, reader.metrics)
    assert len(readers[0].sizes) > 10, "the history took several messages"


async def test_a_message_is_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for sequence in range(30):
        await run.report(sequence, *(series(name, range(400), [sequence] * 400) for name in METRICS))
        if sequence == 20:
            assert await compact_waiting(run.database, set())
    reader = Reader(run)
    await reader.read_all()
    assert reader.points == await stored(run)
    largest = max(chunk.count for chunks in (await run.chunks()).values() for chunk in chunks)
    assert max(reader.sizes) < progress.MESSAGE_POINTS + largest
    assert len(reader.sizes) > 2
    monkeypatch.setattr(progress, "MESSAGE_CHUNKS", 3)
    few = Reader(run)
    await few.read_all()
    assert few.points == reader.points
    assert len(few.sizes) > len(reader.sizes)


async def test_the_largest_report_is_one_message(run: Run) -> None:
    await run.report(0, series("loss", range(10_000), range(10_000)))
    await run.report(1, series("loss", [1], [1]))
    reader = Reader(run)
    await reader.read_all()
    assert reader.sizes == [10_000, 1]


async def test_a_history_that_is_being_read_is_not_overtaken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives meanwhile comes after it, also of a metric whose history was told already."""
    monkeypatch.setattr(progress, "MESSAGE_POINTS", 4)
    for sequence in range(3):
        await run.report(sequence, *(series(name, range(4), range(4)) for name in METRICS))
    reader = Reader(run)
    while reader.place.metric == 0 or len(reader.points) < 2:
        assert (await reader.read()).more
    await run.report(3, *(series(name, [9], [9]) for name in ["first", *METRICS]))
    await compact_some(run)
    await reader.read_all()
    assert reader.points == await stored(run)


async def test_reporters_at_once_and_a_reader_beside_them(run: Run) -> None:
    """A point that is seen was preceded by all that were there before: there is no late arrival to be missed."""
    reporters = Reporters(run, random.Random(5))
    done = asyncio.Event()
    readers = [Reader(run), Reader(run, ["loss"])]

    async def write(source: str) -> None:
        for _ in range(60):
            await reporters.report(source)

    async def compact() -> None:
        while not done.is_set():
            await compact_some(run)
            await asyncio.sleep(0.01)

    async def follow(reader: Reader) -> None:
        while not done.is_set():
            await reader.read()
            await asyncio.sleep(0)

    others = [asyncio.create_task(work) for work in (compact(), *(follow(reader) for reader in readers))]
    await asyncio.gather(write("a"), write("b"))
    done.set()
    await asyncio.gather(*others)
    for reader in readers:
        await reader.read_all()
        assert reader.points == await stored(run, reader.metrics)
        assert len(reader.sizes) > 5


async def test_chunks_before_the_place_are_not_read(run: Run) -> None:
    for sequence in range(12):
        await run.report(sequence, series("loss", range(500), [sequence] * 500))
        if sequence == 9:
            assert await compact_waiting(run.database, set())
    begun = Place(since=10, until=10)
    damage = f"UPDATE metric_chunk SET steps = times WHERE task_id = {run.task} AND compacted"
    await run.database.transact(lambda uow: uow.fetch(damage))
    reader = Reader(run)
    reader.place = begun
    await reader.read_all()
    assert [row[:2] for row in reader.points["loss"]] == [(n, value) for value in (10, 11) for n in range(500)]
    with pytest.raises(DamagedColumnError):
        await Reader(run).read_all()


async def test_a_change_without_points_is_news_and_nothing_else_is(run: Run) -> None:
    reader = Reader(run)
    first = await reader.read()
    assert (first.series, first.is_news, first.more) == ([], True, False), "the first message has the task as it is"
    assert not (await reader.read()).is_news
    await run.report(0, step=7)
    assert (await reader.read()).is_news
    await run.report(0, step=7)
    again = await reader.read()
    assert (again.series, again.is_news) == ([], True), "the same report again is a sign of life, and no point"
    assert not (await reader.read()).is_news
    await run.report(1, series("loss", [1], [0.5]))
    await compact_some(run)
    only_others = Reader(run, [])
    await only_others.read()
    assert only_others.points == {}
    assert (await reader.read()).is_news
    await compact_some(run)
    assert not (await reader.read()).is_news


async def test_what_the_viewer_does_not_see_is_not_there(run: Run) -> None:
    other = await run.make_another()
    assert await read_progress(run.database, other, run.task, None, Place()) is None
    assert await read_progress(run.database, run.viewer, 7, None, Place()) is None


async def test_a_place_ahead_of_the_database_is_refused(run: Run) -> None:
    await run.report(0, series("loss", [1], [0.5]))
    reader = Reader(run)
    reader.place = Place(2, 2)
    with pytest.raises(GradbookError, match="is ahead of this database") as refused:
        await reader.read()
    assert refused.value.code == "INVALID_CURSOR"
