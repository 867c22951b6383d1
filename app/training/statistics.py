"""Statistics of tasks, grouped by one of their inputs or circumstances.

The database picks the tasks; they are grouped here, for medians, weeks and bins are the same on every database so.
"""

from __future__ import annotations

import asyncio
import enum
import math
import statistics
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Select, and_, bindparam, select

from app.annotation.checks import invalid
from app.db.types import Text
from app.errors import Code, GradbookError
from app.graphql.engine import Engine, See
from app.graphql.entity import Rows
from app.training import sql
from app.training.goals import Goal, Reached, check_threshold, instant, load_reached
from app.training.tables import Metric, TaskStatus

MAX_TASKS = 100_000
MAX_GROUPS = 1_000
MAX_BINS = 100


class TrainTaskDimension(enum.Enum):
    """By what tasks are grouped. The values of numeric ones can be put into bins."""

    MODEL_NAME = "model_name"
    MODEL_PATH = "model_path"
    LORA_RANK = "lora_rank"
    LORA_ALPHA = "lora_alpha"
    LEARNING_RATE = "learning_rate"
    BATCH_SIZE = "batch_size"
    EPOCHS = "epochs"
    TRAIN_DATA_DIR = "train_data_dir"
    FINGERPRINT = "fingerprint"
    TAG = "tags"
    STATUS = "status"
    ATTEMPT = "attempt"
    CREATE_USER = "user"
    WORKSPACE = "workspace"
    HOST = "host"
    LAUNCHER = "launcher"
    HOURLY_COST = "hourly_cost"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


NUMERIC = {
    TrainTaskDimension.LORA_RANK,
    TrainTaskDimension.LORA_ALPHA,
    TrainTaskDimension.LEARNING_RATE,
    TrainTaskDimension.BATCH_SIZE,
    TrainTaskDimension.EPOCHS,
    TrainTaskDimension.ATTEMPT,
    TrainTaskDimension.HOURLY_COST,
}
_TIMES = {TrainTaskDimension.DAY, TrainTaskDimension.WEEK, TrainTaskDimension.MONTH}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: groups by a dimension, what of a metric, and the edges of bins, ascending."""

    by: TrainTaskDimension
    metric: str | None = None
    goal: Goal = Goal.MINIMIZE
    threshold: float | None = None
    bins: Sequence[float] | None = None


class Task(NamedTuple):
    """What is known of a task. `key` is what it is grouped by, as stored."""

    id: int
    key: Any
    status: str
    start_time: Any
    duration: float | None
    cost: float | None
    metric_id: int | None
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class Key:
    """What the tasks of a group share: a value, or a bin, whose first edge belongs to it. All None: they have none."""

    value: Any = None
    low: float | None = None
    high: float | None = None

    @property
    def is_bin(self) -> bool:
        return self.low is not None or self.high is not None

    @property
    def shown(self) -> Any:
        """A number, a text or None."""
        if not self.is_bin:
            return self.value
        if self.low is None:
            return f"below {self.high}"
        return f"{self.low} or more" if self.high is None else f"{self.low} to {self.high}"


@dataclass(slots=True)
class Group:
    """The tasks of one key."""

    key: Key
    tasks: list[Task] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """What a group comes to; None where there is nothing to compute it of."""

    key: Key
    tasks: int
    succeeded: int
    failed: int
    success_rate: float | None
    median_duration: float | None
    total_cost: float | None
    best_metric: float | None
    median_metric: float | None
    best_task_id: int | None
    reached: int | None
    median_steps_to_reach: float | None
    median_seconds_to_reach: float | None


async def load_statistics(
    engine: Engine, context: Any, where: Mapping[str, Any] | None, asked: Asked
) -> list[GroupStatistics]:
    """Groups of the tasks that the viewer sees, by ascending key, tasks without one last. One statement, two with a
    threshold. Raises INVALID_INPUT and LIMIT_EXCEEDED."""
    _check(asked)
    rows = await engine.select(context, "TrainTask", where, _Take(asked.by), {"metric": asked.metric or ""})
    if len(rows) > MAX_TASKS:
        raise GradbookError(
            Code.LIMIT_EXCEEDED,
            f"More than {MAX_TASKS:,} tasks: narrow `where`, by `startTime` for example.",
            ("where",),
        )
    # Whatever goes through all tasks takes a while at the limit: meanwhile others are served.
    tasks = await asyncio.to_thread(lambda: [Task(*row) for row in rows])
    reached: dict[int, Reached] = {}
    if asked.threshold is not None:
        starts = await asyncio.to_thread(_starts, tasks, asked.goal, asked.threshold)
        reached = await load_reached(context.database, starts, asked.goal, asked.threshold)
    return await asyncio.to_thread(group_tasks, tasks, reached, asked)


def _starts(tasks: Sequence[Task], goal: Goal, threshold: float) -> dict[int, Any]:
    """When each task began that reached the threshold, by the metric's id."""
    return {
        task.metric_id: instant(task.start_time)
        for task in tasks
        if task.metric_id is not None and goal.is_reached(goal.best(task.minimum, task.maximum), threshold)
    }


def group_tasks(tasks: Sequence[Task], reached: Mapping[int, Reached], asked: Asked) -> list[GroupStatistics]:
    """What the groups come to. Raises LIMIT_EXCEEDED for too many groups."""
    groups: dict[Key, Group] = {}
    for task in tasks:
        for key in _keys(task, asked):
            group = groups.get(key)
            if group is None:
                group = groups[key] = Group(key)
            group.tasks.append(task)
    if len(groups) > MAX_GROUPS:
        advice = "put the values into `bins`" if asked.by in NUMERIC else "narrow `where`"
        message = f"{len(groups):,} groups by {asked.by.name}; at most {MAX_GROUPS:,} are answered: {advice}."
        raise GradbookError(Code.LIMIT_EXCEEDED, message, ("by",))
    ordered = sorted(groups.values(), key=lambda group: _place(group.key, asked.by))
    return [_computed(group, reached, asked) for group in ordered]


def _check(asked: Asked) -> None:
    check_threshold(asked.metric, asked.threshold)
    if asked.bins is None:
        return
    if asked.by not in NUMERIC:
        numeric = ", ".join(one.name for one in TrainTaskDimension if one in NUMERIC)
        raise invalid(f"{asked.by.name} has no bins, for its values are no numbers: those of {numeric} are.", "bins")
    if not 1 <= len(asked.bins) <= MAX_BINS:
        raise invalid(f"Bins of {len(asked.bins):,} edges: give 1 to {MAX_BINS}.", "bins")
    for index, edge in enumerate(asked.bins):
        if not math.isfinite(edge):
            raise invalid(f"{edge} is no edge of a bin: write a finite number.", "bins", index)
        if index and edge <= asked.bins[index - 1]:
            before = asked.bins[index - 1]
            raise invalid(f"The edge {edge} comes after {before}: bins ascend, each edge once.", "bins", index)


@dataclass(frozen=True, slots=True)
class _Take:
    """Selects the rows of `Task`."""

    by: TrainTaskDimension

    def __call__(self, task: Rows, see: See) -> Select[Any]:
        source: Any = task
        key: ColumnElement[Any]
        if self.by is TrainTaskDimension.CREATE_USER:
            user, seen = see("User")
            source = source.outerjoin(user, and_(user.c.id == task.c.user_id, seen))
            key = user.c.username
        elif self.by is TrainTaskDimension.WORKSPACE:
            workspace, seen = see("Workspace")
            source = source.outerjoin(workspace, and_(workspace.c.id == task.c.workspace_id, seen))
            key = workspace.c.name
        else:
            key = task.c[self.by.value if self.by not in _TIMES else "start_time"]
        metric = Metric.__table__.alias("measured")
        is_asked = and_(metric.c.task_id == task.c.id, metric.c.name == bindparam("metric", type_=Text()))
        columns = [task.c.id, key, task.c.status, task.c.start_time, sql.duration(task), sql.cost(task)]
        columns += [metric.c.id, metric.c.min, metric.c.max]
        chosen = select(*columns).select_from(source.outerjoin(metric, is_asked))
        return chosen.order_by(task.c.id).limit(MAX_TASKS + 1)


_NONE = Key()


def _keys(task: Task, asked: Asked) -> Iterator[Key]:
    """The groups that a task belongs to: one, but one for each of its tags."""
    value = task.key
    if asked.by is TrainTaskDimension.TAG:
        yield from [Key(tag) for tag in orjson.loads(value)] or [_NONE]
    elif value is None:
        yield _NONE
    elif asked.bins is not None:
        place = bisect_right(asked.bins, value)
        low = asked.bins[place - 1] if place else None
        yield Key(None, low, asked.bins[place] if place < len(asked.bins) else None)
    elif asked.by in _TIMES:
        yield Key(_time(value, asked.by))
    else:
        yield Key(value)


def _time(value: Any, by: TrainTaskDimension) -> str:
    """Of an instant its day, week or month in UTC, as ISO 8601 writes it."""
    day = value[:10] if isinstance(value, str) else value.date().isoformat()
    if by is TrainTaskDimension.WEEK:
        found = instant(value)
        assert found is not None
        year, week, _ = found.isocalendar()
        return f"{year:04}-W{week:02}"
    return str(day if by is TrainTaskDimension.DAY else day[:7])


def _place(key: Key, by: TrainTaskDimension) -> tuple[bool, Any]:
    if key.is_bin:
        return False, -math.inf if key.low is None else key.low
    if by is TrainTaskDimension.STATUS:
        return False, list(TaskStatus).index(TaskStatus[key.value])
    return key.value is None, 0 if key.value is None else key.value


def _computed(group: Group, reached: Mapping[int, Reached], asked: Asked) -> GroupStatistics:
    statuses = [task.status for task in group.tasks]
    succeeded, failed = statuses.count(TaskStatus.SUCCESS.name), statuses.count(TaskStatus.FAILED.name)
    durations = [
        task.duration for task in group.tasks if task.status == TaskStatus.SUCCESS.name and task.duration is not None
    ]
    costs = [task.cost for task in group.tasks if task.cost is not None]
    measured = [
        (best, task.id) for task in group.tasks if (best := asked.goal.best(task.minimum, task.maximum)) is not None
    ]
    sign = 1 if asked.goal is Goal.MINIMIZE else -1
    best_metric, best_task_id = min(measured, key=lambda one: (sign * one[0], one[1]), default=(None, None))
    arrived = [one for task in group.tasks if (one := reached.get(task.metric_id or 0)) is not None]
    return GroupStatistics(
        key=group.key,
        tasks=len(group.tasks),
        succeeded=succeeded,
        failed=failed,
        success_rate=succeeded / (succeeded + failed) if succeeded + failed else None,
        median_duration=_median(durations),
        total_cost=math.fsum(costs) if costs else None,
        best_metric=best_metric,
        median_metric=_median([value for value, _ in measured]),
        best_task_id=best_task_id,
        reached=None if asked.threshold is None else len(arrived),
        median_steps_to_reach=_median([one.step for one in arrived]),
        median_seconds_to_reach=_median([one.seconds for one in arrived if one.seconds is not None]),
    )


def _median(values: Sequence[float]) -> float | None:
    return float(statistics.median(values)) if values else None
