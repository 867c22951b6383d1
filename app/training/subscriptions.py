"""Subscriptions of training. numpy comes with the first subscriber of points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import strawberry
from sqlalchemy import Select, exists, select, union_all

from app.annotation.sql import among_ids
from app.errors import Code, GradbookError
from app.graphql.engine import Engine, See, ref, required_viewer
from app.graphql.entity import Rows
from app.graphql.filters import stored_text
from app.graphql.scalars import Steps, Times, Values, encode_id
from app.graphql.schema import Where, root
from app.graphql.selection import Info
from app.live.access import ACCESS
from app.live.changes import ChangedRows
from app.live.cursors import decode_cursor, encode_cursor
from app.live.feeds import Batch, Feed, feed
from app.training import scope, tables
from app.training.queries import task_number
from app.training.task_names import TaskName, shown_name, task_name
from app.training.topics import TASKS, task_topic
from app.training.types import TrainTask

if TYPE_CHECKING:
    from app.training.progress import Progress

MAX_METRICS = 100

MAX_TASKS = 200
"""Tasks of one message; more come in the next."""

# Whoever watches tasks reads at most once in so many seconds, however many of them report.
TASKS_PACE_SECONDS = 0.25


@strawberry.type(description="New points of one metric, as parallel columns in the order in which they arrived.")
class MetricPoints:
    """A series of trainProgress."""

    metric: str = strawberry.field(description="The metric's name.")
    steps: Steps = strawberry.field(description="The step of each point.")
    values: Values = strawberry.field(description="The value of each point.")
    times: Times = strawberry.field(description="When each was measured.")


@strawberry.type(description="What is new of a training task.")
class TrainProgress:
    """One message of trainProgress."""

    cursor: str = strawberry.field(description="Pass it as `after` to go on from here, on any server.")
    task: TrainTask = strawberry.field(description="The task as it is now.")
    series: list[MetricPoints] = strawberry.field(
        description="The points that arrived, by metric; none where only the task changed."
    )


@strawberry.type(description="Training tasks that changed, as they are now.")
class TrainTaskChanges:
    """One message of trainTaskChanged."""

    cursor: str = strawberry.field(description="Pass it as `after` to go on from here, on any server.")
    left: list[strawberry.ID] = strawberry.field(
        description="Tasks that changed and do not match `where` now, be it that they never did: among them those that"
        " were deleted, purged, or put into a workspace that the viewer does not see. Ignore the ids that you do not"
        " know. Nothing is said here of the tasks of a workspace that the viewer was removed from."
    )
    tasks: list[TrainTask] = strawberry.field(
        description="Those that match `where`; none in the first message without `after`."
    )


async def resolve_progress(engine: Engine, info: Info, arguments: dict[str, Any]) -> Feed[TrainProgress]:
    """`trainProgress`. Raises INVALID_ID, NOT_FOUND, LIMIT_EXCEEDED, INVALID_CURSOR."""
    from app.training.progress import Place, read_progress  # noqa: PLC0415

    context = info.context
    viewer: Any = required_viewer(context)
    name = task_name(arguments["taskId"], "taskId")
    metrics = arguments.get("metrics")
    _check_metrics(metrics)
    number = await task_number(context, name)
    if number is None:
        raise _missing(name)
    task_id = number

    async def read(position: tuple[int, ...] | None) -> Batch[TrainProgress]:
        place = Place(*position or ())
        found = await read_progress(context.database, viewer, task_id, metrics, place)
        if found is None:
            raise _missing(name)
        if not found.is_news:
            return Batch(None, found.place, found.more)
        message = _message(task_id, found)
        await engine.read(info, message)
        if None in message.task.found.values():  # type: ignore[attr-defined]
            raise _missing(name)  # it was hidden between the two statements
        return Batch(message, found.place, found.more)

    topic = task_topic(number)
    return feed(context.services.bus, (topic, ACCESS), _position(topic, arguments), read)


def _message(task_id: int, found: Progress) -> TrainProgress:
    return TrainProgress(
        cursor=encode_cursor(task_topic(task_id), found.place),
        task=ref("TrainTask", task_id),
        series=[MetricPoints(**one._asdict()) for one in found.series],
    )


def _check_metrics(metrics: Sequence[str] | None) -> None:
    for index, name in enumerate(metrics or ()):
        stored_text(name, ("metrics", index))
    if metrics is not None and len(metrics) > MAX_METRICS:
        message = f"{len(metrics):,} metrics; at most {MAX_METRICS:,} are allowed. Without any, all are watched."
        raise GradbookError(Code.LIMIT_EXCEEDED, message, ("metrics",))


def _missing(task: TaskName) -> GradbookError:
    message = f"There is no training task {shown_name(task)} that you can see."
    return GradbookError(Code.NOT_FOUND, message, ("taskId",))


async def resolve_changes(engine: Engine, info: Info, arguments: dict[str, Any]) -> Feed[TrainTaskChanges]:
    """`trainTaskChanged`. Raises INVALID_CURSOR, and what is wrong with `where`."""
    context = info.context
    viewer: Any = required_viewer(context)
    where = arguments.get("where")
    await _matching(engine, context, where, ())  # what is wrong with it is said now

    async def read(position: tuple[int, ...] | None) -> Batch[TrainTaskChanges]:
        values = scope.viewer_values(viewer)
        changes = await _changes(viewer.kind).after(context.database, position, MAX_TASKS, **values)
        if not changes.ids and position is not None:
            return Batch(None, changes.cursor, changes.more, changes.unsettled)
        message = TrainTaskChanges(cursor=encode_cursor(TASKS, changes.cursor), left=[], tasks=[])
        if changes.ids:
            matching = await _matching(engine, context, where, changes.ids)
            message.tasks = [ref("TrainTask", number) for number in changes.ids if number in matching]
            message.left = [strawberry.ID(encode_id("tsk", number)) for number in changes.ids if number not in matching]
        await engine.read(info, message)
        # What was hidden between two statements is not told: the next read says what became of it.
        message.tasks = [item for item in message.tasks if None not in item.found.values()]  # type: ignore[attr-defined]
        return Batch(message, changes.cursor, changes.more, changes.unsettled)

    return feed(context.services.bus, (TASKS,), _position(TASKS, arguments), read, pace=TASKS_PACE_SECONDS)


async def _matching(engine: Engine, context: Any, where: Mapping[str, Any] | None, ids: Sequence[int]) -> set[int]:
    return {row[0] for row in await engine.select(context, "TrainTask", where, _take_among, {"ids": ids})}


def _take_among(task: Rows, _: See) -> Select[Any]:
    """Of the tasks of the parameter `ids`."""
    return select(task.c.id).where(among_ids(task.c.id))


@cache
def _changes(kind: str) -> ChangedRows:
    """What changed among the tasks that the viewer sees, and among those that they could see before they left."""
    task, departure = tables.TrainTask.__table__, tables.TrainTaskDeparture.__table__
    there = task.alias("there")
    is_there = exists(select(1).where(there.c.id == departure.c.task_id, scope.train_task(there, kind)))
    gone = select(departure.c.task_id.label("id"), departure.c.changed).where(
        scope.train_task(departure, kind), ~is_there
    )
    # Plus 0: few tasks changed since a moment ago, and the indexes by workspace and user lead to all that there are.
    owned = [(column + 0).label(column.name) for column in (task.c.workspace_id, task.c.user_id)]
    recent = select(task.c.id, task.c.changed, *owned).subquery("recent")
    seen = select(recent.c.id, recent.c.changed).where(scope.train_task(recent, kind))
    return ChangedRows(union_all(seen, gone).subquery("changed_task"))


def _position(topic: str, arguments: Mapping[str, Any]) -> tuple[int, ...] | None:
    after = arguments.get("after")
    return None if after is None else decode_cursor(topic, after)


_AFTER = ("after", str | None, "Go on after this message's `cursor`.")


@strawberry.type
class TrainingSubscriptions:
    """Root fields of training."""

    train_progress: TrainProgress = root(
        "A task's points, each once and those of a metric in the order in which they arrived, and the task whenever it"
        " changes. Without `after` all that there is comes first, at once; what does not fit into one message of some"
        " 10,000 points comes metric by metric.",
        resolve_progress,
        ("taskId", strawberry.ID, "The task to watch, `tsk_…` or its UUID."),
        ("metrics", list[str] | None, "Only points of these metrics, up to 100, be they there yet or not."),
        _AFTER,
    )
    train_task_changed: TrainTaskChanges = root(
        "Training tasks whenever they change, each at least once and as it is by then. Without `after` the first"
        " message comes at once, with the present cursor and no tasks.",
        resolve_changes,
        ("where", Where("TrainTask"), "Only tasks for which this holds; deleted ones only if it mentions `deletedAt`."),
        _AFTER,
    )
