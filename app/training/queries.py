"""Queries of training."""

from typing import Any

import strawberry
from sqlalchemy import bindparam, select

from app.db.statement import Statement
from app.db.types import Text
from app.graphql.engine import Engine, required_viewer
from app.graphql.entity import Connection
from app.graphql.schema import Where, root, root_many
from app.graphql.selection import Info
from app.training.curve_fields import resolve_curves
from app.training.enums import Goal, TrainTaskDimension
from app.training.inputs import RecommendParametersInput
from app.training.insight_fields import resolve_comparison, resolve_recommendation, resolve_statistics
from app.training.tables import TrainTask as TrainTaskRow
from app.training.task_names import TaskName, task_name
from app.training.types import GRID, Curve, Recommendation, TrainComparison, TrainStatistics, TrainTask

_BY_UUID = Statement(select(TrainTaskRow.id).where(TrainTaskRow.task_uuid == bindparam("uuid", type_=Text)))

_GOAL = ("goal", Goal, "Which way the metric gets better.", Goal.MINIMIZE)
_THRESHOLD = ("threshold", float | None, "What the metric is to reach: this or better.")


async def task_number(context: Any, name: TaskName) -> int | None:
    """The number of the task, of which nothing is said of whether the viewer sees it; None where there is none."""
    if isinstance(name, int):
        return name
    rows = await context.database.read(*_BY_UUID.on(context.database.dialect, uuid=name))
    return int(rows[0][0]) if rows else None


async def resolve_task(engine: Engine, info: Info, arguments: dict[str, Any]) -> Any:
    """`trainTask(id:)`: by `tsk_…` one statement, by a UUID one more."""
    required_viewer(info.context)
    number = await task_number(info.context, task_name(arguments["id"], "id"))
    return None if number is None else await engine.one(info, "TrainTask", number)


@strawberry.type
class TrainingQueries:
    """Root fields of training."""

    train_task: TrainTask | None = root(
        "The training task with this id, if the viewer sees it; a deleted one, too.",
        resolve_task,
        ("id", strawberry.ID, "The task's id, `tsk_…`, or its UUID."),
    )
    train_tasks: Connection[TrainTask] = root_many("TrainTask", "The training tasks that the viewer sees.")
    curves: list[Curve] = root(
        "Curves of several tasks and metrics on one grid of steps, by task and metric in the order asked for. What a"
        " task does not report, or the viewer does not see, is left out.",
        resolve_curves,
        ("tasks", list[strawberry.ID], "Ids or UUIDs of tasks."),
        ("metrics", list[str], "Names of metrics."),
        *GRID,
    )
    train_statistics: TrainStatistics = root(
        "Statistics of the training tasks that the viewer sees, in groups. Deleted ones are left out unless `where`"
        " mentions `deletedAt`.",
        resolve_statistics,
        ("by", TrainTaskDimension, "What the tasks of a group share."),
        ("where", Where("TrainTask"), "Only tasks for which this holds."),
        ("metric", str | None, "The metric that counts."),
        _GOAL,
        (*_THRESHOLD[:2], "What the metric is to reach: this or better. At most 1,000 tasks may have reached it."),
        (
            "bins",
            list[float] | None,
            "Up to 100 edges, ascending, between which values of a numeric dimension are put; else each is a group.",
        ),
    )
    compare_train_tasks: TrainComparison = root(
        "Training tasks side by side: their parameters, and what became of a metric.",
        resolve_comparison,
        ("ids", list[strawberry.ID], "Ids or UUIDs of up to 100 tasks."),
        ("metric", str, "The metric that counts."),
        _GOAL,
        _THRESHOLD,
    )
    recommend_parameters: Recommendation = root(
        "Parameters for the next training of a model, learned from the tasks that the viewer sees: those that are"
        " SUCCESS and report the metric, at least 10 of them.",
        resolve_recommendation,
        ("input", RecommendParametersInput, "From which tasks, and by which metric."),
    )
