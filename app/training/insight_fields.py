"""Root fields that look over many tasks: statistics, comparisons and recommendations."""

from __future__ import annotations

from typing import Any

from app.errors import GradbookError
from app.graphql.engine import Engine, required_viewer
from app.graphql.filters import stored_text
from app.graphql.refs import Ref, ref
from app.graphql.selection import Info
from app.training.comparison import ComparedTask, Comparison, Point, load_comparison
from app.training.goals import Goal
from app.training.recommendation import Asked as AskedRecommendation
from app.training.recommendation import load_recommendation
from app.training.statistics import Asked, GroupStatistics, load_statistics
from app.training.task_names import task_name


async def resolve_statistics(engine: Engine, info: Info, arguments: dict[str, Any]) -> Any:
    """The root field `trainStatistics`."""
    from app.training.types import TrainStatistics  # noqa: PLC0415 - the types declare these fields

    required_viewer(info.context)
    given = {name: arguments.get(name) for name in ("metric", "threshold", "bins")}
    if given["metric"] is not None:
        stored_text(given["metric"], ("metric",))
    asked = Asked(by=arguments["by"], goal=arguments.get("goal") or Goal.MINIMIZE, **given)
    groups = await load_statistics(engine, info.context, arguments.get("where"), asked)
    answer = TrainStatistics(groups=[_group(one) for one in groups])
    await engine.read(info, answer)
    return answer


def _group(group: GroupStatistics) -> Any:
    from app.training.types import NumberRange, TrainStatisticsGroup  # noqa: PLC0415

    key = group.key
    return TrainStatisticsGroup(
        key=key.shown,
        range=NumberRange(from_=key.low, to=key.high) if key.is_bin else None,
        tasks=group.tasks,
        succeeded=group.succeeded,
        failed=group.failed,
        success_rate=group.success_rate,
        median_duration=group.median_duration,
        total_cost=group.total_cost,
        best_metric=group.best_metric,
        median_metric=group.median_metric,
        reached=group.reached,
        median_steps_to_reach=group.median_steps_to_reach,
        median_seconds_to_reach=group.median_seconds_to_reach,
        best_task=ref("TrainTask", group.best_task_id),
    )


async def resolve_comparison(engine: Engine, info: Info, arguments: dict[str, Any]) -> Any:
    """The root field `compareTrainTasks`."""
    required_viewer(info.context)
    names = [task_name(text, "ids", index) for index, text in enumerate(arguments["ids"])]
    goal = arguments.get("goal") or Goal.MINIMIZE
    found = await load_comparison(
        info.context.database,
        info.context.viewer,
        list(dict.fromkeys(names)),
        stored_text(arguments["metric"], ("metric",)),
        goal,
        arguments.get("threshold"),
    )
    answer = _comparison(found)
    await engine.read(info, answer)
    return answer


def _comparison(found: Comparison) -> Any:
    from app.training.types import ComparedParameter, TrainComparison  # noqa: PLC0415

    return TrainComparison(
        parameters=[
            ComparedParameter(name=one.name, values=one.values, differs=one.differs) for one in found.parameters
        ],
        tasks=[_compared(one) for one in found.tasks],
    )


def _compared(one: ComparedTask) -> Any:
    from app.training.types import ComparedTrainTask  # noqa: PLC0415

    return ComparedTrainTask(
        task=ref("TrainTask", one.id),
        best=_point(one.best),
        last=_point(one.last),
        steps_to_reach=None if one.reached is None else one.reached.step,
        seconds_to_reach=None if one.reached is None else one.reached.seconds,
    )


def _point(point: Point | None) -> Any:
    from app.training.types import MetricPoint  # noqa: PLC0415

    return None if point is None else MetricPoint(step=point.step, value=point.value)


async def resolve_recommendation(engine: Engine, info: Info, arguments: dict[str, Any]) -> Any:
    """The root field `recommendParameters`."""
    from app.training.types import Recommendation, RecommendedParameter  # noqa: PLC0415

    required_viewer(info.context)
    given = arguments["input"]
    try:
        model, metric = (stored_text(given[name], (name,)) for name in ("modelName", "metric"))
        asked = AskedRecommendation(model, metric, given["goal"], given.get("where"))
        found = await load_recommendation(engine, info.context, asked)
    except GradbookError as error:
        raise error.below("input") from None
    tasks: list[Any] = [ref("TrainTask", number) for number in found.based_on]
    answer = Recommendation(
        parameters=[RecommendedParameter(**one._asdict()) for one in found.parameters],
        expected_metric=found.expected_metric,
        based_on=tasks,
        note=found.note,
    )
    await engine.read(info, answer)
    answer.based_on = [one for one in tasks if _is_there(one)]
    return answer


def _is_there(task: Ref) -> bool:
    """Whether it was there when it was read: it may have been purged since it was found."""
    return None not in task.found.values()
