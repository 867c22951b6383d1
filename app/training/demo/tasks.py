"""Making and removing the demo's tasks, by the functions that scripts and people use."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from itertools import accumulate
from typing import Any

import orjson
from sqlalchemy import select

from app.accounts.tables import Role
from app.accounts.users import ensure_annotators, users_by_name
from app.accounts.viewer import Viewer
from app.db.unit_of_work import UnitOfWork
from app.training.lifecycle import (
    StartTrainTask,
    cancel_train_task,
    fail_train_task,
    finish_train_task,
    start_train_task,
)
from app.training.tables import TrainTask
from app.training.tasks import GivenInputs, create_train_task, purge_train_tasks

_HOST = "recorded"


def demo_tasks(uow: UnitOfWork, workspace_id: int) -> list[int]:
    """The tasks of the demo's people in a workspace, deleted ones too: those that were made, and any after them."""
    people = users_by_name(uow, _people()).values()
    mine = select(TrainTask.id).where(TrainTask.workspace_id == workspace_id, TrainTask.user_id.in_(people))
    return list(uow.connection.scalars(mine.order_by(TrainTask.id)))


def make_demo_tasks(uow: UnitOfWork, workspace_id: int) -> list[int]:
    """Enter every run as it was, at its time: as a task of one of the demo's people, who reported it then."""
    people = ensure_annotators(uow, _people(), workspace_id)
    made = []
    for run in runs():
        viewer = Viewer(people[run["user"]], run["user"], Role.ANNOTATOR)
        with _at(uow, viewer, run["began"]):
            task_id = create_train_task(uow, GivenInputs(run["inputs"], workspace_id)).id
            start_train_task(uow, StartTrainTask(task_id, host=_HOST, total_steps=run["totalSteps"]))
        with _at(uow, viewer, run["ended"]):
            _report(uow, task_id, run)
            _end(uow, task_id, run)
        made.append(task_id)
    return made


def remove_demo_tasks(uow: UnitOfWork, task_ids: list[int]) -> None:
    """Purge the demo's tasks. Before its people: of removed ones nobody knows that they were the demo's."""
    locked = select(TrainTask.id).where(TrainTask.id.in_(task_ids)).order_by(TrainTask.id).with_for_update()
    purge_train_tasks(uow, list(uow.connection.scalars(locked)))


@cache
def runs() -> tuple[dict[str, Any], ...]:
    """The runs, as examples/record_demo.py says."""
    text = (files("app.training.demo") / "runs.jsonl").read_bytes()
    return tuple(orjson.loads(line) for line in text.splitlines())


def _people() -> set[str]:
    return {run["user"] for run in runs()}


@contextmanager
def _at(uow: UnitOfWork, viewer: Viewer, milliseconds: int) -> Iterator[None]:
    """What is done in the block is done by this viewer, at this time."""
    before = uow.viewer, uow.now
    uow.viewer, uow.now = viewer, datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
    try:
        yield
    finally:
        uow.viewer, uow.now = before


def _report(uow: UnitOfWork, task_id: int, run: Mapping[str, Any]) -> None:
    """All points in one report."""
    from app.training.report_content import ReportInput, check_report  # noqa: PLC0415 - numpy comes with the points
    from app.training.reports import report_progress  # noqa: PLC0415

    series = [_series(metric, points, run["began"]) for metric, points in run["metrics"].items()]
    step = max(one["steps"][-1] for one in series)
    given = ReportInput(task_id, 0, step=step, epoch=step / run["totalSteps"] * run["inputs"]["epochs"], series=series)
    report_progress(uow, check_report(given, run["ended"]), late=datetime.timedelta())


def _series(metric: str, points: Mapping[str, Any], began: int) -> dict[str, Any]:
    first, every, values = points["first"], points["every"], points["values"]
    steps = list(range(first, first + every * len(values), every))
    times = list(accumulate(points["waits"], initial=began))[1:]
    return {"metric": metric, "steps": steps, "values": values, "times": times}


def _end(uow: UnitOfWork, task_id: int, run: Mapping[str, Any]) -> None:
    status = run["status"]
    if status == "SUCCESS":
        finish_train_task(uow, task_id, summary=run["summary"])
    elif status == "FAILED":
        fail_train_task(uow, task_id, run["error"])
    else:
        cancel_train_task(uow, task_id)
