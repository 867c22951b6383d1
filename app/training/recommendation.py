"""Parameters for the next training, from what the viewer's own runs came to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import ColumnElement, Select, and_, bindparam, select

from app.annotation.checks import listed, shown
from app.db.types import Text, json_text
from app.errors import Code, GradbookError
from app.graphql.engine import Engine, See
from app.graphql.entity import Rows
from app.training.goals import Goal
from app.training.parameters import extra_parameters
from app.training.tables import Metric, TaskStatus

if TYPE_CHECKING:
    from app.training.recommender import Advice, Recommended

MIN_RUNS = 10
MAX_RUNS = 200
"""Runs that are learned from, the newest: to learn takes about a second of a core, with the cube of their number."""

COLUMNS = {
    "learningRate": "learning_rate",
    "loraRank": "lora_rank",
    "loraAlpha": "lora_alpha",
    "batchSize": "batch_size",
    "epochs": "epochs",
}
"""The inputs that are recommended, beside `extraParams`; what is trained on which data is the caller's to choose."""

INSTALL = (
    "Recommendations need scikit-learn, which this server lacks: install it where the server runs, by"
    " pip install 'gradbook[recommend]', and start the server again."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Of which tasks, and by which metric."""

    model_name: str
    metric: str
    goal: Goal = Goal.MINIMIZE
    where: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Values with their importance, what is expected of the metric, the tasks that it rests on, and what to know."""

    parameters: Sequence[Recommended]
    expected_metric: float | None
    based_on: list[int]
    note: str


async def load_recommendation(engine: Engine, context: Any, asked: Asked) -> Recommendation:
    """What the newest tasks speak for that are SUCCESS, have this model's name and report this metric. One statement.

    Raises TOO_FEW_RUNS, and NOT_INSTALLED without scikit-learn.
    """
    named = {"model_name": asked.model_name, "metric": asked.metric, "status": TaskStatus.SUCCESS}
    rows = await engine.select(context, "TrainTask", asked.where, _TAKE[asked.goal], named)
    if len(rows) < MIN_RUNS:
        message = (
            f"{len(rows)} tasks that you see are SUCCESS, train {shown(asked.model_name)} and report"
            f" {shown(asked.metric)}: a recommendation rests on at least {MIN_RUNS}."
        )
        raise GradbookError(Code.TOO_FEW_RUNS, message)
    used = rows[:MAX_RUNS]
    try:
        advice = await asyncio.to_thread(_advise, used, asked.goal)
    except ImportError as error:
        raise GradbookError(Code.NOT_INSTALLED, INSTALL) from error
    note = _note(advice, len(used), has_more=len(rows) > MAX_RUNS)
    return Recommendation(advice.parameters, advice.expected, [row[0] for row in used], note)


def _advise(rows: Sequence[tuple[Any, ...]], goal: Goal) -> Advice:
    from app.training.recommender import Run, advise  # noqa: PLC0415 - numpy comes later

    return advise([Run(_parameters(inputs), metric) for _, metric, *inputs in rows], goal)


def _parameters(inputs: Sequence[Any]) -> dict[str, Any]:
    *columns, extra = inputs
    found = dict(zip(COLUMNS, columns, strict=True))
    found.update(extra_parameters({} if extra is None else orjson.loads(extra)))
    # A seed is chance itself.
    return {name: value for name, value in found.items() if not name.lower().endswith("seed")}


def _note(advice: Advice, runs: int, *, has_more: bool) -> str:
    parts = [f"Rests on {'the newest ' if has_more else ''}{runs} runs; all values lie within what these tried."]
    if advice.explained is not None:
        parts.append(
            f"Of how the metric differs between runs the parameters tell {advice.explained:.0%}, each run foretold from"
            " the others; the rest is chance, or what is not among them."
        )
    if not advice.parameters:
        parts = [f"The {runs} runs have all the same parameters: vary them to learn which are good."]
    if advice.same:
        values = ", ".join(f"{name} = {json_text(value)[:60]}" for name, value in list(advice.same.items())[:10])
        more = f" and {len(advice.same) - 10} more" if len(advice.same) > 10 else ""
        parts.append(f"The same in all of them, so that nothing is known of other values: {values}{more}.")
    if advice.left_out:
        parts.append(
            "Left out, as missing in many runs, a list, a text with too many values, or beyond the first 20 that vary:"
            f" {listed(advice.left_out)}."
        )
    return " ".join(parts)


@dataclass(frozen=True, slots=True)
class _Take:
    goal: Goal

    def __call__(self, task: Rows, _: See) -> Select[Any]:
        metric = Metric.__table__.alias("measured")
        best: ColumnElement[Any] = metric.c.min if self.goal is Goal.MINIMIZE else metric.c.max
        is_asked = and_(metric.c.task_id == task.c.id, metric.c.name == bindparam("metric", type_=Text()))
        inputs = [task.c[name] for name in (*COLUMNS.values(), "extra_params")]
        return (
            select(task.c.id, best, *inputs)
            .select_from(task.join(metric, is_asked))
            .where(
                task.c.model_name == bindparam("model_name", type_=Text()),
                task.c.status == bindparam("status", type_=task.c.status.type),
                best.is_not(None),
            )
            .order_by(task.c.id.desc())
            .limit(MAX_RUNS + 1)
        )


_TAKE = {goal: _Take(goal) for goal in Goal}
