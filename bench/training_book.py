"""A book of training tasks to measure on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from app.accounts.bootstrap import ensure_workspace
from app.accounts.credentials import insert_key
from app.accounts.tables import Role
from app.accounts.users import NewUser, insert_user
from app.db import UnitOfWork
from app.db.migrate import upgrade
from app.services import open_book
from app.settings import load
from app.training.lifecycle import StartTrainTask, start_train_task
from app.training.tasks import GivenInputs, create_train_task
from bench.book import Person


@dataclass(frozen=True, slots=True)
class TrainingBook:
    """What is in the database. The tasks are the admin's, and run."""

    admin: Person
    workspace: int
    task_ids: Sequence[int]


async def training_book(url: str, tasks: int) -> TrainingBook:
    """Migrate the empty database and enter so many tasks."""
    await asyncio.to_thread(upgrade, url)
    async with await open_book(load(database_url=url)) as database:
        workspace = await database.transact(ensure_workspace)
        assert workspace is not None
        admin = await database.transact(_admin, workspace)
        task_ids = [await database.transact(_task, workspace, viewer=admin.viewer) for _ in range(tasks)]
    return TrainingBook(admin, workspace, task_ids)


def _admin(uow: UnitOfWork, workspace: int) -> Person:
    user_id = insert_user(uow, uow.new_id(), NewUser("admin", Role.ADMIN, workspace_ids=(workspace,)))
    return Person(user_id, "admin", Role.ADMIN, insert_key(uow, user_id, "bench")[1])


def _task(uow: UnitOfWork, workspace: int) -> int:
    inputs = {"modelName": "tiny", "loraRank": 16, "learningRate": 1e-4, "batchSize": 4, "epochs": 10}
    made = create_train_task(uow, GivenInputs(inputs, workspace))
    start_train_task(uow, StartTrainTask(made.id))
    return made.id
