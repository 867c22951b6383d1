"""A team's history, made at random, and what it comes to, computed in plain Python from what was made."""

from __future__ import annotations

import datetime
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import update

from app.accounts.viewer import Viewer
from app.db import Database, UnitOfWork
from app.training.report_content import ReportInput, check_report
from app.training.reports import report_progress
from app.training.tables import TaskStatus, TrainTask
from tests.training.tasks import LATE, insert_task, series

BEGIN = datetime.datetime(2026, 2, 20, 22, tzinfo=datetime.UTC)
Point = tuple[int, float, int]  # step, value, time in ms


@dataclass
class Made:
    """One task as it was made."""

    who: str
    columns: dict[str, Any]
    status: str = "PENDING"
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None
    deleted: bool = False
    points: list[Point] = field(default_factory=list)
    id: int = 0

    @property
    def duration(self) -> float | None:
        return (self.end - self.start).total_seconds() if self.start and self.end else None

    @property
    def finite(self) -> list[float]:
        return [value for _, value, _ in self.points if math.isfinite(value)]

    def reached(self, threshold: float, minimize: bool) -> tuple[int, float] | None:
        """(step, seconds) of the first point that is good enough."""
        for step, value, time in self.points:
            if math.isfinite(value) and (value <= threshold if minimize else value >= threshold):
                assert self.start is not None
                return step, max(time / 1000 - self.start.timestamp(), 0)
        return None


def draw(chance: random.Random, who: Sequence[str], count: int) -> list[Made]:
    """Tasks of these people; none is left running, for the duration of those depends on when one looks."""
    return [_draw_one(chance, chance.choice(who)) for _ in range(count)]


def _draw_one(chance: random.Random, who: str) -> Made:
    columns = {
        "model_name": chance.choice(["tiny", "Tiny", "lora-ü", "模型"]),
        "lora_rank": chance.choice([None, 4, 8, 16, 64]),
        "lora_alpha": chance.choice([None, 0.5, 8.0, 16.0]),
        "learning_rate": chance.choice([None, 1e-05, 1e-4, 3e-4, 0.1 + 0.2]),
        "epochs": chance.choice([1, 3]),
        "tags": chance.sample(["a", "b", "ü", "B"], chance.randint(0, 3)),
        "host": chance.choice([None, "node1", "node2"]),
        "hourly_cost": chance.choice([None, 0.7, 3.0]),
        "fingerprint": chance.choice(["f", "g", "h"]),
    }
    made = Made(who, columns, chance.choice(["PENDING", "SUCCESS", "SUCCESS", "FAILED", "CANCELED"]))
    made.deleted = chance.random() < 0.15
    if made.status != "PENDING":
        made.start = BEGIN + datetime.timedelta(microseconds=chance.randint(0, 40 * 86_400_000_000))
        made.end = made.start + datetime.timedelta(microseconds=chance.randint(0, 90_000_000_000))
        made.points = _points(chance, int(made.start.timestamp() * 1000)) if chance.random() < 0.8 else []
    return made


def _points(chance: random.Random, start: int) -> list[Point]:
    """A loss that falls, with noise, gaps, steps that go back, and what is no number."""
    step, points = 0, []
    for at in range(chance.choice([1, 7, 60, 600])):
        step += chance.choice([1, 1, 2, -1, 2**40])
        value = chance.choice([2 / (1 + at / 20) + chance.gauss(0, 0.2)] * 6 + [math.nan, math.inf, -math.inf])
        points.append((step % 2**50, value, start + at * 500 - chance.choice([0, 0, 700])))
    return points


async def store(database: Database, people: dict[str, Viewer], spaces: dict[str, int], made: list[Made]) -> None:
    """Writes them, and notes their ids; points come in several reports."""

    def write(uow: UnitOfWork) -> None:
        for one in made:
            one.id = insert_task(uow, people[one.who].id, spaces[one.who], **one.columns)
            for number, at in enumerate(range(0, len(one.points), 150)):
                part = one.points[at : at + 150]
                steps, values, times = zip(*part, strict=True)
                sent = series("loss", steps, [_named(value) for value in values], times)
                report = check_report(ReportInput(one.id, number, series=(sent,)), 0)
                report_progress(uow, report, LATE)
            state = {"status": TaskStatus[one.status], "start_time": one.start, "end_time": one.end}
            state["deleted_at"] = uow.now if one.deleted else None
            uow.connection.execute(update(TrainTask).where(TrainTask.id == one.id).values(**state))

    await database.transact(write, viewer=people["owner"])


def _named(value: float) -> float | str:
    return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]


def median(values: Sequence[float]) -> float | None:
    """The middle one, or the mean of the middle two."""
    ordered, half = sorted(values), len(values) // 2
    if not values:
        return None
    return float(ordered[half]) if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def statistics(
    tasks: Sequence[Made], keys: Callable[[Made], list[Any]], minimize: bool, threshold: float | None
) -> dict[Any, dict[str, Any]]:
    """The numbers of each group, by its key."""
    groups: dict[Any, list[Made]] = {}
    for task in tasks:
        for key in keys(task):
            groups.setdefault(key, []).append(task)
    return {key: _numbers(found, minimize, threshold) for key, found in groups.items()}


def _numbers(tasks: list[Made], minimize: bool, threshold: float | None) -> dict[str, Any]:
    best = min if minimize else max
    metrics = {task.id: best(task.finite) for task in tasks if task.finite}
    ended = [task for task in tasks if task.status in ("SUCCESS", "FAILED")]
    good = [task for task in ended if task.status == "SUCCESS"]
    costs = [
        task.duration / 3600 * task.columns["hourly_cost"]
        for task in tasks
        if task.duration is not None and task.columns["hourly_cost"] is not None
    ]
    reached = [] if threshold is None else [task.reached(threshold, minimize) for task in tasks]
    arrived = [one for one in reached if one is not None]
    winner = best(metrics.values()) if metrics else None
    return {
        "tasks": len(tasks),
        "succeeded": len(good),
        "failed": len(ended) - len(good),
        "successRate": len(good) / len(ended) if ended else None,
        "medianDuration": median([task.duration for task in good if task.duration is not None]),
        "totalCost": sum(costs) if costs else None,
        "bestMetric": winner,
        "medianMetric": median(list(metrics.values())),
        "reached": None if threshold is None else len(arrived),
        "medianStepsToReach": median([step for step, _ in arrived]),
        "medianSecondsToReach": median([seconds for _, seconds in arrived]),
        "bestTask": None if winner is None else min(number for number, value in metrics.items() if value == winner),
    }
