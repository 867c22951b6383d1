"""A page of somebody's tasks in one state, newest first, is read from an index that has them in this order."""

from __future__ import annotations

import datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, text

from app.db import UnitOfWork
from app.training.tables import TaskStatus, TrainTask
from tests.api.conftest import Book, operation

TASKS = 4_000
INDEX = "ix_train_task_user_id_status_start_time"


@pytest.fixture
async def many(book: Book) -> Book:
    """Tasks of two people in three states, and statistics of them."""
    states = (TaskStatus.SUCCESS, TaskStatus.FAILED, TaskStatus.RUNNING)

    def fill(uow: UnitOfWork) -> None:
        fixed = {"model_name": "m", "max_attempts": 1, "fingerprint": "f", "tags": [], "version": 1, "search_text": ""}
        fixed |= {"lost": False, "stop_requested": False, "attempt": 1, "next_arrival": 0, "created_at": uow.now}
        fixed |= {"updated_at": uow.now, "changed": uow.change, "workspace_id": int(book.ids["here"][4:])}
        tasks = [
            {
                **fixed,
                "id": number,
                "task_uuid": str(uuid4()),
                "user_id": book.people["ann" if place % 4 else "ben"].id,
                "status": states[place % 3],
                "start_time": uow.now - datetime.timedelta(minutes=place * 7 % TASKS),
            }
            for place, number in enumerate(uow.new_ids(TASKS))
        ]
        uow.connection.execute(insert(TrainTask), tasks)
        uow.connection.execute(text("ANALYZE"))

    await book.services.database.transact(fill)
    return book


async def plan(book: Book, who: str, variables: dict[str, Any]) -> str:
    """How the database reads the page."""
    asked: list[tuple[str, Any]] = []
    database = book.services.database
    read = database.read

    async def noted(sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        asked.append((sql, params))
        return await read(sql, params)

    database.read = noted  # type: ignore[method-assign]
    try:
        page = (await book.data(who, operation("TrainTasks").replace("totalCount", ""), variables))["trainTasks"]
    finally:
        database.read = read  # type: ignore[method-assign]
    assert len(page["nodes"]) == variables["first"]
    starts = [node["startTime"] for node in page["nodes"]]
    assert starts == sorted(starts, reverse=True)
    [(sql, params)] = asked
    explain = "EXPLAIN QUERY PLAN" if database.dialect_name == "sqlite" else "EXPLAIN"
    return "\n".join(str(row) for row in await read(f"{explain} {sql}", params))


@pytest.mark.parametrize("who", ["ann", "admin", "owner"])
async def test_somebodys_newest_tasks_of_a_state_come_from_the_index(many: Book, who: str) -> None:
    where = {"and": [{"createUser": {"eq": "ann"}}, {"status": {"in": ["SUCCESS"]}}]}
    asked = {"where": where, "orderBy": [{"field": "START_TIME", "direction": "DESC"}], "first": 50}
    found = await plan(many, who, asked)
    of_tasks = [line for line in found.splitlines() if "train_task" in line]
    if many.services.database.dialect_name == "sqlite":
        assert any(f"{INDEX} (user_id=? AND status=?" in line for line in of_tasks), found
        assert not [line for line in of_tasks if "SCAN" in line], found
    else:
        assert any(f"Index Scan using {INDEX}" in line for line in of_tasks), found
        assert not [line for line in of_tasks if "Seq Scan" in line], found
