"""A chart of a long run: 1,000,000 points of one metric read as at most 2,000, and the bytes that each takes.

The values are numbers of 64 random bits, which nothing compresses; the steps are regular, the times are not.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from app.services import open_book
from app.settings import load
from app.training.lifecycle import finish_train_task
from bench.load import drive, http_request, one_answer
from bench.measure import Plan, Target, measure, serving
from bench.operations import CURVES, body
from bench.peers import MLFLOW, mlflow
from bench.scenarios import OURS, Asked, Figure, Result
from bench.sides import BEGAN, METRIC, REPORT, Given, MlflowSide, OurSide, Side
from bench.training_book import TrainingBook, training_book

POINTS = 1_000_000
MAX_POINTS = 2_000
GOAL = 10.0  # times MLflow's call, which answers up to 2,500 points
BYTES_A_POINT = 12.0  # at most, after compaction

_ROUNDS = 3  # at most: MLflow takes many seconds for one
_AFTER, _BEFORE = "after compaction", "before compaction"
_COMPACT_SECONDS = 120  # that the compactor may take
_BYTES = """
    SELECT sum(points), sum(length(steps)), sum(length("values")), sum(length(times)),
        sum(coalesce(length(arrivals), 0)), sum(coalesce(length(pyramid), 0)), sum(NOT compacted) FROM metric_chunk"""
_COLUMNS = ("steps", "values", "times", "arrivals", "pyramid")
_CHART = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={}&metric_key={}&max_results={}"


async def chart(plan: Plan, points: int = POINTS) -> list[Result]:
    """Gradbook before and after compaction, and MLflow, over HTTP on one connection."""
    given = _reports(points)
    with tempfile.TemporaryDirectory(prefix="gradbook-bench-") as name:
        folder = Path(name)
        book, urls = await _fill_ours(folder, given)
        taken = await _compact(urls[1])
        ours = [Target(_AFTER, "bench.ours:serve", urls[1]), Target(_BEFORE, "bench.ours:serve_uncompacted", urls[0])]
        theirs = [Target(MLFLOW.label, start=partial(mlflow, folder))] if MLFLOW.is_installed else []
        with serving([*ours, *theirs]):
            asked = _our_request(book)
            requests = {target.name: asked for target in ours}
            for target in theirs:
                requests[target.name] = await _fill_mlflow(target, folder, given)
            plan = replace(plan, rounds=min(plan.rounds, _ROUNDS))
            notes = await _measure([*ours, *theirs], requests, plan)
    return [
        Result(
            f"{points:,} points as {MAX_POINTS:,}, {one.name}",
            "sqlite",
            [replace(one, name=OURS), *theirs],
            {**notes, "bytes a point": taken},
            {MLFLOW.label: GOAL},
            () if theirs else (MLFLOW.label,),
            [Figure("Bytes a point after compaction", taken["all"], BYTES_A_POINT)] if one is ours[0] else [],
        )
        for one in ours
    ]


async def _measure(targets: list[Target], requests: dict[str, bytes], plan: Plan) -> dict[str, Any]:
    answers = {target.name: await one_answer(target.port, requests[target.name]) for target in targets}
    if answers[_AFTER] != answers[_BEFORE]:
        raise AssertionError("The curve is another one after compaction.")

    def asking(target: Target) -> Asked:
        def accept(_: Any, status: int, answer: bytes) -> None:
            if status != 200 or answer != answers[target.name]:
                raise AssertionError(f"{target.name} answered {status}: {answer[:300]!r}")

        return itertools.repeat((None, requests[target.name])), accept

    await measure(targets, asking, plan, connections=1)
    return {name: f"{len(answer):,} bytes for {_shown_points(answer):,} points" for name, answer in answers.items()}


def _shown_points(answer: bytes) -> int:
    content = orjson.loads(answer)
    return len(content["metrics"] if "metrics" in content else content["data"]["curves"][0]["steps"])


def _our_request(book: TrainingBook) -> bytes:
    asked = {"tasks": [f"tsk_{book.task_ids[0]}"], "metrics": [METRIC], "maxPoints": MAX_POINTS}
    return http_request("/graphql", book.admin.key, body(CURVES, asked))


def _reports(points: int) -> list[Given]:
    chance = random.Random(7)
    bits = np.frombuffer(chance.randbytes(8 * points * 2), np.float64)
    values = bits[np.isfinite(bits)][:points]
    times = BEGAN + np.cumsum(np.array(chance.choices(range(20, 2_000), k=points)))
    return [
        Given(
            list(range(first, first + REPORT)),
            [orjson.dumps(value) for value in values[first : first + REPORT].tolist()],
            times[first : first + REPORT].tolist(),
        )
        for first in range(0, points, REPORT)
    ]


async def _fill_ours(folder: Path, given: list[Given]) -> tuple[TrainingBook, list[str]]:
    """A book in which the run was reported, and a copy of it."""
    path = folder / "reported.db"
    book = await training_book(f"sqlite:///{path}", 1)
    target = Target(_BEFORE, "bench.ours:serve_uncompacted", f"sqlite:///{path}")
    with serving([target]):
        await _report(OurSide(target, book), given)
    async with await open_book(load(database_url=target.url)) as database:
        await database.transact(finish_train_task, book.task_ids[0], viewer=book.admin.viewer)
    copy = shutil.copyfile(path, folder / "compacted.db")
    return book, [target.url, f"sqlite:///{copy}"]


async def _report(side: Side, given: list[Given]) -> None:
    """Send the reports, each once, one after the other."""

    def requests() -> Iterator[tuple[None, bytes]]:
        for number, points in enumerate(given):
            yield None, side.request(0, number, points)

    def accept(_: None, status: int, answer: bytes) -> None:
        if not side.is_good(status, answer):
            raise AssertionError(f"{side.target.name} answered {status}: {answer[:300]!r}")

    asked = requests()
    for _ in given:
        await drive(side.target.port, asked, accept, connections=1, seconds=0)


async def _compact(url: str) -> dict[str, float]:
    """Let a server's compactor do its work; how many bytes of each column a point then takes, and of all."""
    target = Target(OURS, "bench.ours:serve_compacting", url)
    until = time.monotonic() + _COMPACT_SECONDS
    with serving([target]), closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        while (found := connection.execute(_BYTES).fetchone())[-1]:
            if time.monotonic() > until:
                raise AssertionError(f"After {_COMPACT_SECONDS} s {found[-1]:,} chunks wait to be compacted.")
            await asyncio.sleep(0.2)
    taken = {name: size / found[0] for name, size in zip(_COLUMNS, found[1:-1], strict=True)}
    return {**taken, "all": sum(taken.values())}


async def _fill_mlflow(target: Target, folder: Path, given: list[Given]) -> bytes:
    """The first report by log-batch, and the others as it stored that one, which would take minutes otherwise."""
    side = MlflowSide(target, folder)
    side.begin(1)
    await _report(side, given[:1])
    [run] = side.runs
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        connection.executemany(
            "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES (?, ?, ?, ?, ?, 0)",
            (
                (run, METRIC, float(value), milliseconds, step)
                for points in given[1:]
                for step, value, milliseconds in zip(points.steps, points.values, points.times, strict=True)
            ),
        )
    path = _CHART.format(run, METRIC, MAX_POINTS)
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\r\n".encode()
