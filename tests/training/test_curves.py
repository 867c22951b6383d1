"""Curves from the database are those that plain Python draws from the same points."""

from __future__ import annotations

import math
import random
from typing import Any

import orjson
import pytest

from app.db import Database
from app.errors import GradbookError
from app.training.compactor import compact_waiting
from app.training.curves import Asked, TaskCurve, load_curves
from tests.training.tasks import Run, insert_task, series

Point = tuple[int, float, int]  # step, value, time


@pytest.fixture
async def run(database: Database) -> Run:
    return await Run.make(database)


def drawn(chance: random.Random, count: int) -> list[Point]:
    """Steps go on, repeat and go back."""
    step, points = chance.randint(-50, 50), []
    for _ in range(count):
        step += chance.choice([1, 1, 1, 0, -5, 9])
        value = chance.choice([chance.gauss(0, 1), math.nan, math.inf, -math.inf, 0.0])
        points.append((step, value, chance.randint(0, 2**40)))
    return points


def named(value: float) -> float | str:
    return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]


def by_hand(points: list[Point], width: int | None) -> dict[str, Any]:
    """The points themselves without a width; else the buckets of so many steps."""
    if width is None:
        rows = [[point] for point in sorted(points, key=lambda point: point[0])]
        steps = [row[0][0] for row in rows]
    else:
        buckets: dict[int, list[Point]] = {}
        for point in points:
            buckets.setdefault(point[0] // width * width, []).append(point)
        steps = sorted(buckets)
        rows = [buckets[step] for step in steps]
    finite = [[point[1] for point in row if math.isfinite(point[1])] or [row[-1][1]] for row in rows]
    return {
        "points": len(points),
        "steps": steps,
        "values": [named(row[-1][1]) for row in rows],
        "minimums": [named(min(found)) for found in finite],
        "maximums": [named(max(found)) for found in finite],
        "times": [row[-1][2] for row in rows],
        "non_finite": [sum(not math.isfinite(point[1]) for point in row) for row in rows],
    }


def shown(curve: TaskCurve) -> dict[str, Any]:
    columns = ("steps", "values", "minimums", "maximums", "times", "non_finite")
    return {"points": curve.points, **{name: orjson.loads(orjson.dumps(getattr(curve, name))) for name in columns}}


def width_for(steps: list[int], first: int | None, last: int | None, max_points: int) -> int:
    low = max(min(steps), min(steps) if first is None else first)
    high = min(max(steps), max(steps) if last is None else last)
    width = 1
    while high // width - low // width >= max_points:
        width *= 2
    return width


@pytest.mark.parametrize("compacted", [False, True])
async def test_curves_are_those_made_by_hand(run: Run, compacted: bool) -> None:
    chance = random.Random(5)
    tasks = [run.task]
    tasks += await run.database.transact(lambda uow: [insert_task(uow, run.viewer.id, run.workspace) for _ in range(2)])
    stored: dict[tuple[int, str], list[Point]] = {}
    for task in tasks:
        for sequence in range(12):
            parts = []
            for metric in ("loss", "lr"):
                new = drawn(chance, chance.choice([3, 900]))
                stored.setdefault((task, metric), []).extend(new)
                steps, values, times = zip(*new, strict=True)
                parts.append(series(metric, steps, [named(value) for value in values], list(times)))
            await run.report(sequence, *parts, task=task)
    if compacted:
        assert await compact_waiting(run.database, set()) > 0
    everything = [step for points in stored.values() for step, _, _ in points]
    low, high = min(everything), max(everything)
    for max_points, first, last in [
        (2, None, None),
        (50, None, None),
        (300, low + 100, None),
        (300, None, high - 200),
        (1_000, low + 300, low + 400),
        (10_000, low + 10, low + 30),
        (5, 10, 9),
    ]:
        found = await load_curves(run.database, run.viewer, tasks, Asked(["lr", "loss"], max_points, first, last))
        assert [(curve.task_id, curve.metric) for curve in found] == [(t, m) for t in tasks for m in ("lr", "loss")]
        inside = [
            [
                p
                for p in stored[curve.task_id, curve.metric]
                if (first is None or p[0] >= first) and (last is None or p[0] <= last)
            ]
            for curve in found
        ]
        fits = all(len(points) <= max_points for points in inside)
        width = None if fits else width_for(everything, first, last, max_points)
        assert [shown(curve) for curve in found] == [by_hand(points, width) for points in inside]


async def test_hidden_and_missing_series_are_left_out(run: Run) -> None:
    await run.report(0, series("loss", [1], [0.5]))
    uuid = (await run.row()).task_uuid
    asked = Asked(["lr", "loss"], 10)
    [curve] = await load_curves(run.database, run.viewer, [17, uuid, run.task], asked)
    assert (curve.task_id, curve.metric, curve.points) == (run.task, "loss", 1)
    other = await run.make_another()
    assert await load_curves(run.database, other, [uuid, run.task], asked) == []


@pytest.mark.parametrize(
    ("tasks", "asked", "code"),
    [
        ([1], Asked(["loss"], 1), "INVALID_INPUT"),
        ([1], Asked(["loss"], 10_001), "INVALID_INPUT"),
        (list(range(201)), Asked(["loss"], 2), "LIMIT_EXCEEDED"),
        ([1], Asked([str(n) for n in range(101)], 2), "LIMIT_EXCEEDED"),
        (list(range(50)), Asked([str(n) for n in range(6)], 1_000), "LIMIT_EXCEEDED"),
    ],
)
async def test_what_is_too_much_is_refused(run: Run, tasks: list[int], asked: Asked, code: str) -> None:
    with pytest.raises(GradbookError) as caught:
        await load_curves(run.database, run.viewer, tasks, asked)
    assert caught.value.code == code
