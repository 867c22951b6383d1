"""The fields that show curves. numpy comes with the first of them that is asked for, not with the server's start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.graphql.engine import Engine, required_viewer
from app.graphql.filters import stored_text
from app.graphql.refs import ref
from app.graphql.selection import Info
from app.training.task_names import TaskName, task_name


async def attach_curves(context: Any, ids: Sequence[int], arguments: Mapping[str, Any]) -> Mapping[int, Any]:
    """Loader of TrainTask.curves: all parents share one grid."""
    found: dict[int, list[Any]] = {number: [] for number in ids}
    for curve in await _load(context, ids, arguments):
        found[curve["taskId"]].append(curve)
    return found


async def resolve_curves(engine: Engine, info: Info, arguments: dict[str, Any]) -> Any:
    """The root field `curves`."""
    from app.training.types import Curve  # noqa: PLC0415 - the types declare these fields

    required_viewer(info.context)
    tasks = [task_name(text, "tasks", index) for index, text in enumerate(arguments["tasks"])]
    loaded = await _load(info.context, tasks, arguments)
    curves = [Curve(**{name: curve[camel] for name, camel in _FIELDS.items()}) for curve in loaded]
    await engine.read(info, curves)
    return curves


_FIELDS = {
    "task": "task",
    "metric": "metric",
    "points": "points",
    "steps": "steps",
    "values": "values",
    "minimums": "minimums",
    "maximums": "maximums",
    "times": "times",
    "non_finite": "nonFinite",
}


async def _load(context: Any, tasks: Sequence[TaskName], arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    from app.training.curves import Asked, load_curves  # noqa: PLC0415 - numpy comes later

    names = [stored_text(name, ("metrics", index)) for index, name in enumerate(arguments["metrics"])]
    metrics = list(dict.fromkeys(names))
    asked = Asked(metrics, arguments["maxPoints"], *_steps(arguments))
    curves = await load_curves(context.database, context.viewer, list(dict.fromkeys(tasks)), asked)
    return [
        {
            "taskId": curve.task_id,
            "task": ref("TrainTask", curve.task_id),
            "metric": curve.metric,
            "points": curve.points,
            "steps": curve.steps,
            "values": curve.values,
            "minimums": curve.minimums,
            "maximums": curve.maximums,
            "times": curve.times,
            "nonFinite": curve.non_finite,
        }
        for curve in curves
    ]


def _steps(arguments: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The first and the last step of what is asked for: what `fromStep`, `toStep` and `range` say all holds."""
    within = arguments.get("range") or {}
    first = [step for step in (arguments.get("fromStep"), within.get("from")) if step is not None]
    last = [step for step in (arguments.get("toStep"), within.get("to")) if step is not None]
    return max(first, default=None), min(last, default=None)
