"""Training tasks for tests, as plain rows, and points as plain Python."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import insert, select

from app.accounts.access import OPERATOR
from app.accounts.tables import Role
from app.accounts.users import NewUser, create_user
from app.accounts.viewer import Viewer
from app.accounts.workspaces import create_workspace
from app.db import Database, UnitOfWork
from app.training.metrics.chunks import Chunk
from app.training.report_content import ReportInput, check_report
from app.training.reports import Reported, report_progress
from app.training.tables import TaskStatus, TrainTask

LATE = datetime.timedelta(days=7)
NOW = 1_700_000_000_000

Series = dict[str, Any]


def insert_task(uow: UnitOfWork, user_id: int, workspace_id: int, **columns: Any) -> int:
    """A running task."""
    number = uow.new_id()
    row = {
        "id": number,
        "task_uuid": str(uuid4()),
        "workspace_id": workspace_id,
        "user_id": user_id,
        "model_name": "m",
        "max_attempts": 1,
        "fingerprint": "f",
        "tags": [],
        "version": 1,
        "search_text": "",
        "status": TaskStatus.RUNNING,
        "lost": False,
        "stop_requested": False,
        "attempt": 1,
        "next_arrival": 0,
        "created_at": uow.now,
        "updated_at": uow.now,
        "changed": uow.change,
    }
    uow.connection.execute(insert(TrainTask).values(**row | columns))
    return number


def series(metric: str, steps: Sequence[int], values: Sequence[Any], times: Sequence[int] | None = None) -> Series:
    return {"metric": metric, "steps": list(steps), "values": list(values), "times": times}


@dataclass
class Run:
    """A task in a database, and who reports to it."""

    database: Database
    task: int
    viewer: Viewer
    workspace: int

    @classmethod
    async def make(cls, database: Database, **columns: Any) -> Run:
        """A workspace, its annotator, and a task of theirs."""

        def new(uow: UnitOfWork) -> tuple[int, int, int]:
            workspace = create_workspace(uow, "w")
            user = create_user(uow, NewUser("ann", Role.ANNOTATOR, workspace_ids=(workspace,)))
            return workspace, user, insert_task(uow, user, workspace, **columns)

        workspace, user, task = await database.transact(new, viewer=OPERATOR)
        return cls(database, task, Viewer(user, "ann", Role.ANNOTATOR), workspace)

    async def make_another(self) -> Viewer:
        """Another annotator of the workspace, who does not see the task."""

        def new(uow: UnitOfWork) -> int:
            return create_user(uow, NewUser("ben", Role.ANNOTATOR, workspace_ids=(self.workspace,)))

        return Viewer(await self.database.transact(new, viewer=OPERATOR), "ben", Role.ANNOTATOR)

    async def report(self, sequence: int, *parts: Series, now: int = NOW, **given: Any) -> Reported:
        """Send a report of the source "" or another."""
        report = check_report(ReportInput(given.pop("task", self.task), sequence, series=parts, **given), now)
        return await self.database.transact(report_progress, report, LATE, viewer=given.get("viewer", self.viewer))

    async def chunks(self) -> dict[str, list[Chunk]]:
        """All that is stored, by metric, in order of arrival."""
        rows = await self.database.read(
            "SELECT metric.name, metric_chunk.points, metric_chunk.lowest_step, metric_chunk.highest_step,"
            ' first_arrival, last_arrival, steps, "values", times, arrivals, pyramid'
            " FROM metric_chunk JOIN metric ON metric.id = metric_chunk.metric_id"
            f" WHERE metric.task_id = {self.task} ORDER BY metric.name, first_arrival"
        )
        found: dict[str, list[Chunk]] = {}
        for name, *columns in rows:
            found.setdefault(name, []).append(Chunk(*columns))
        return found

    async def points(self) -> dict[str, list[tuple[int, float, int, int]]]:
        """(step, value, time, arrival) of all points, by metric, in order of arrival."""
        return {
            name: [
                row
                for chunk in chunks
                for points in [chunk.points()]
                for row in zip(
                    points.steps.tolist(),
                    points.values.tolist(),
                    points.times.tolist(),
                    points.arrivals.tolist(),
                    strict=True,
                )
            ]
            for name, chunks in (await self.chunks()).items()
        }

    async def row(self) -> Any:
        """The task's row."""
        return await self.database.transact(
            lambda uow: uow.connection.execute(select(TrainTask.__table__).where(TrainTask.id == self.task)).one()
        )
