"""Compaction loses and doubles nothing: not beside readers and reports, and not when it is killed."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from app.db import Database
from app.training import compactor
from app.training.compactor import compact_task, compact_waiting, compacting, find_due
from app.training.curves import Asked, load_curves
from app.training.metrics import compaction
from tests.training.tasks import Run, series

ROOT = Path(__file__).parents[2]
NAN = "NaN"


@pytest.fixture
async def run(database: Database) -> Run:
    return await Run.make(database)


async def fill(run: Run, reports: int, points: int, start: int = 0) -> None:
    """Reports with random points of two metrics, the second one now and then."""
    chance = random.Random(start)
    for sequence in range(start, start + reports):
        steps = [sequence * points + chance.randint(-3, 3) + n for n in range(points)]
        values: list[Any] = [chance.choice([chance.random(), NAN]) for _ in steps]
        parts = [series("loss", steps, values)]
        if sequence % 3 == 0:
            parts.append(series("lr", steps[:2], values[:2]))
        await run.report(sequence, *parts)


async def end(run: Run) -> None:
    ended = f"UPDATE train_task SET end_time = created_at, status = 'SUCCESS' WHERE id = {run.task}"
    await run.database.transact(lambda uow: uow.fetch(ended))


def exact(points: dict[str, list[tuple[int, float, int, int]]]) -> dict[str, list[str]]:
    """By which one NaN equals another."""
    return {name: [repr(row) for row in rows] for name, rows in points.items()}


async def test_small_chunks_wait_until_there_are_enough(run: Run) -> None:
    await fill(run, 9, 500)
    before = exact(await run.points())
    [due] = await find_due(run.database)
    assert (due.task_id, len(due.metric_ids)) == (run.task, 1)
    assert await compact_waiting(run.database, set()) == 1
    assert exact(await run.points()) == before
    chunks = await run.chunks()
    assert [(chunk.count, chunk.pyramid is not None) for chunk in chunks["loss"]] == [(4_500, True)]
    assert [chunk.pyramid for chunk in chunks["lr"]] == [None] * 3
    assert await find_due(run.database) == []


async def test_many_tiny_reports_do_not_stay_small(run: Run) -> None:
    await fill(run, 64, 1)
    assert await compact_waiting(run.database, set()) == 1
    await fill(run, 64, 1, start=64)
    assert await compact_waiting(run.database, set()) == 1
    assert [chunk.count for chunk in (await run.chunks())["loss"]] == [128]
    assert len((await run.points())["loss"]) == 128


async def test_what_waits_of_an_ended_task_is_compacted(run: Run) -> None:
    await fill(run, 4, 3)
    assert await find_due(run.database) == []
    await end(run)
    before = exact(await run.points())
    assert await compact_waiting(run.database, set()) == 1
    assert {name: len(chunks) for name, chunks in (await run.chunks()).items()} == {"loss": 1, "lr": 1}
    await run.report(4, series("lr", [5], [1]))  # it comes late
    assert await compact_waiting(run.database, set()) == 1
    after = exact(await run.points())
    assert after["lr"].pop() == repr((5, 1.0, 1_700_000_000_000, 4))
    assert after == before


async def test_a_transaction_has_a_bound_of_work(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compactor, "_POINTS", 6_000)
    compactor._waiting.cache_clear()
    await fill(run, 30, 500)
    before = exact(await run.points())
    assert await compact_waiting(run.database, set()) >= 2
    compactor._waiting.cache_clear()
    assert exact(await run.points()) == before


def test_a_transaction_takes_enough_to_get_on() -> None:
    """A rest of almost FULL points comes first: what waits must still fill a chunk."""
    assert compactor._POINTS >= 2 * compactor.FULL
    assert compactor.FULL == compaction.FULL


async def test_of_two_at_once_one_does_it(run: Run, database_url: str) -> None:
    await fill(run, 9, 500)
    before = exact(await run.points())
    [due] = await find_due(run.database)
    async with await Database.open(database_url) as other:
        done = await asyncio.gather(*(compact_task(database, due) for database in (run.database, other) * 2))
    assert any(done)
    assert exact(await run.points()) == before
    assert [chunk.count for chunk in (await run.chunks())["loss"]] == [4_500]


async def test_reads_are_right_while_it_compacts(run: Run) -> None:
    """Chunks are exchanged between and beside the reads; reports go on."""
    await fill(run, 9, 500)
    known = 9 * 500
    reporting = asyncio.create_task(fill(run, 30, 500, start=9))
    asked = Asked(["loss"], 50)
    async with compacting(run.database, 0.001):
        while not reporting.done():
            [curve] = await load_curves(run.database, run.viewer, [run.task], asked)
            points = await run.points()
            assert curve.points >= known
            assert [row[3] for row in points["loss"]] == [
                n for n in range(len(points["loss"]) // 500) for _ in range(500)
            ]
            assert len(points["loss"]) >= known
            known = len(points["loss"])
        await reporting
    while await find_due(run.database):
        await compact_waiting(run.database, set())
    assert len((await run.points())["loss"]) == 39 * 500
    assert len((await run.chunks())["loss"]) < 39


async def test_damaged_chunks_are_left_as_they_are(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    await fill(run, 2, 2_100)
    damage = "x''" if run.database.dialect_name == "sqlite" else "''"
    await run.database.transact(lambda uow: uow.fetch(f"UPDATE metric_chunk SET times = {damage}"))
    damaged: set[int] = set()
    with caplog.at_level(logging.ERROR):
        assert await compact_waiting(run.database, damaged) == 0
    assert damaged == {run.task}
    assert f"tsk_{run.task} cannot be compacted" in caplog.text
    assert [chunk.pyramid for chunk in (await run.chunks())["loss"]] == [None, None]


DIES = """
import asyncio, os, signal, sys
from app.db import Database, UnitOfWork
from app.training import chunk_rows
from app.training.compactor import compact_waiting

url, steps = sys.argv[1], int(sys.argv[2])
fetch, finish = UnitOfWork.fetch, UnitOfWork.finish

def step(uow):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def dying_fetch(uow, *args):
    step(uow)
    found = fetch(uow, *args)
    step(uow)
    return found

def dying_finish(uow):
    step(uow)
    finish(uow)

UnitOfWork.fetch, UnitOfWork.finish = dying_fetch, dying_finish

async def main():
    async with await Database.open(url) as database:
        await compact_waiting(database, set())

asyncio.run(main())
"""


async def test_killed_at_any_step_it_loses_and_doubles_nothing(run: Run, database_url: str) -> None:
    await fill(run, 9, 500)
    before = exact(await run.points())
    steps = 0
    while True:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DIES, database_url, str(steps), cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert exact(await run.points()) == before
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, said.decode()
        steps += 1
    assert steps == 7  # three statements, before and after each, and before the commit
    assert [chunk.count for chunk in (await run.chunks())["loss"]] == [4_500]
