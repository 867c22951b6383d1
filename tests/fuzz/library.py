"""What the fuzzers ask about: the demo, odd rows and odd training tasks, the same on both databases."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select

from app.accounts.access import OPERATOR
from app.accounts.audit import Event, audit
from app.accounts.bootstrap import ensure_workspace
from app.accounts.tables import AuditAction, Role
from app.accounts.users import NewUser, create_user
from app.accounts.viewer import Viewer
from app.annotation.demo.dataset import make_demo
from app.db import Database, UnitOfWork
from app.db.types import Base
from app.errors import GradbookError
from app.training.demo.tasks import make_demo_tasks
from app.training.lifecycle import StartTrainTask, cancel_train_task, fail_train_task, start_train_task
from app.training.report_content import ReportInput, check_report
from app.training.reports import report_progress
from app.training.tasks import GivenInputs, create_train_task, delete_train_task
from tests.fuzz.dice import Dice
from tests.fuzz.grammar import ASKED, METRICS
from tests.graphql.asking import OWNER, Asker
from tests.graphql.drawing import Draw, draw_world

TASKS = 8
STEPS = [0, 1, 2, 1_000, 2**31, 2**53 - 1]
VALUES = [0.0, -0.0, 1.5, 5e-324, 1.7976931348623157e308, -1e22, "NaN", "Infinity", "-Infinity"]
OWN_ROWS = {"clock", "secret"}
"""Tables of which every database has rows of its own."""


@dataclass(repr=False)
class Library:
    """The same rows in both databases, and who may ask."""

    askers: Mapping[str, Asker]
    viewers: list[Viewer | None]

    def someone(self, d: Draw) -> Viewer | None:
        """One of the viewers; mostly an owner, who sees most."""
        return OWNER if d.chance(60) else d.one(self.viewers)


async def fill(database: Database, seed: int, *, only_possible: bool = False) -> Viewer:
    """Write the rows of a seed, and an owner; `only_possible` are those that the domains' functions would write."""
    d = Dice(seed)
    workspace = await database.transact(_make_demo, viewer=OPERATOR)
    if not only_possible:
        await database.transact(draw_world(d).fill)
    owner = await database.transact(_make_owner, viewer=OPERATOR)
    for number in range(TASKS):
        await database.transact(_make_task, d, number, workspace, viewer=owner)
    await database.transact(_tell, d, viewer=OPERATOR)
    return owner


async def copy(source: Database, target: Database) -> None:
    """Write all rows of one database into another, empty one."""
    tables = [table for table in Base.metadata.sorted_tables if table.name not in OWN_ROWS]

    def read(uow: UnitOfWork) -> dict[str, list[Any]]:
        return {
            # What refers to its own table comes after what it refers to.
            table.name: [
                dict(row) for row in uow.connection.execute(select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in tables
        }

    def write(uow: UnitOfWork, rows: dict[str, list[Any]]) -> None:
        for table in tables:
            if rows[table.name]:
                uow.connection.execute(insert(table), rows[table.name])

    await target.transact(write, await source.transact(read))


def _make_demo(uow: UnitOfWork) -> int:
    workspace = ensure_workspace(uow)
    assert workspace is not None, "the database is not empty"
    make_demo(uow, workspace)
    make_demo_tasks(uow, workspace)
    return workspace


def _make_owner(uow: UnitOfWork) -> Viewer:
    new = NewUser("fuzz", Role.OWNER, workspace_ids=())
    return Viewer(create_user(uow, new), new.username, new.role)


def _make_task(uow: UnitOfWork, d: Dice, number: int, workspace: int) -> None:
    """A task of odd inputs and odd points. None of them runs: what depends on the time differs between two answers."""
    given = {
        "modelName": d.text() or "m",
        "notes": d.maybe(d.text),
        "command": d.maybe(d.text),
        "loraRank": d.maybe(lambda: d.one([1, 2, 1024])),
        "learningRate": d.maybe(lambda: d.one([1e-4, 5e-324, 1.0])),
        "hourlyCost": d.maybe(lambda: d.one([0.0, 0.1, 1e6])),
        "extraParams": d.maybe(lambda: {d.one(["a", "a b", "é", "n"]): d.json() for _ in range(d.upto(3))}),
        "tags": [d.one(["a", "b", "中", "😀"]) for _ in range(d.upto(2))],
    }
    try:
        task = create_train_task(uow, GivenInputs(given, workspace)).id
    except GradbookError:
        task = create_train_task(uow, GivenInputs({"modelName": f"m{number}"}, workspace)).id
    if number % 4 == 0:
        return
    start_train_task(uow, StartTrainTask(task, host=d.text() or "h", total_steps=d.one([1, 100, 2**53 - 1])))
    uow.now += datetime.timedelta(seconds=d.one([0, 1, 86_400 * 365]), microseconds=d.upto(999_999))
    series = [_series(d, name) for name in METRICS[: 1 + d.upto(len(METRICS) - 1)] if name]
    milliseconds = int(uow.now.timestamp() * 1_000)
    report = ReportInput(task, 0, step=d.one(STEPS), epoch=d.one([0.0, 0.5, 1e300]), series=series)
    report_progress(uow, check_report(report, milliseconds), late=datetime.timedelta())
    if number % 4 == 1:
        fail_train_task(uow, task, d.text() or "broken")
    else:
        cancel_train_task(uow, task)
    if number % 4 == 3:
        delete_train_task(uow, task)


def _series(d: Dice, metric: str) -> dict[str, Any]:
    steps = sorted({d.one(STEPS) + d.upto(5) if d.chance(50) else d.upto(500) for _ in range(1 + d.upto(40))})
    steps = [min(step, 2**53 - 1) for step in steps]
    return {"metric": metric, "steps": steps, "values": [d.one(VALUES) for _ in steps]}


def _tell(uow: UnitOfWork, d: Dice) -> None:
    for _ in range(5):
        audit(uow, Event(AuditAction.ROLE_CHANGED, "usr_1", d.text(), {"from": d.text()}))


HARVEST = """
fragment P on PageInfo { startCursor endCursor }
fragment R on Response { id status insertedAt updatedAt }
fragment T on TrainTask { id status modelName command notes tags loraRank learningRate hourlyCost attempt createdAt
  endTime duration cost step epoch totalSteps host error metrics { id } }
query {
  auditEvents(first: 9) { edges { cursor node { id action createdAt } } }
  latest: auditEvents(first: 3, orderBy: [{field: CREATED_AT, direction: DESC}]) { pageInfo { ...P } }
  users { edges { cursor node { id username role createdAt deletedAt apiKeys { edges { cursor node { id name } } } } } }
  workspaces { edges { cursor node { id name createdAt members(first: 2) { edges { cursor node { id } } } } } }
  trainTasks { edges { cursor node { ...T } } }
  byRate: trainTasks(first: 5, orderBy: [{field: LEARNING_RATE}, {field: ID, direction: DESC}]) { pageInfo { ...P } }
  datasets { edges { cursor node { id name guidelines minSubmitted updatedAt fields { id } questions { id }
    records(first: 6) { edges { cursor node { id externalId status submittedCount insertedAt updatedAt
      responses(first: 3) { edges { cursor node { ...R } } } suggestions { id question agent score } } } }
    byName: records(first: 2, orderBy: [{field: EXTERNAL_ID, direction: DESC}]) { pageInfo { ...P } }
    byJson: records(first: 2, orderBy: [{json: {path: "n", as: FLOAT}}]) { pageInfo { ...P } } } } }
}"""


async def opened(askers: Mapping[str, Asker]) -> Library:
    """The library of databases that were filled; what there is in it is told to the grammar."""
    answer = await askers["sqlite"].data(OWNER, HARVEST)
    ASKED.ids = ids_in(answer)
    ASKED.cursors = {}
    for edge in _edges(answer):
        ASKED.cursors.setdefault(edge["node"]["id"][:3], []).append(edge["cursor"])
    leaves = list(_leaves(answer))
    ASKED.cursors["other"] = sorted({value for name, value in leaves if name.endswith("Cursor") and value})
    ASKED.values = {}
    for name, value in leaves:
        if value is not None and not name.lower().endswith("cursor") and name not in {"status", "role", "action", "id"}:
            ASKED.values.setdefault(name, []).append(value)
    library = Library(askers, [OWNER, None])
    for user in ASKED.ids["usr"]:
        found = await askers["sqlite"].data(OWNER, "query ($id: ID!) { user(id: $id) { username role } }", {"id": user})
        library.viewers.append(Viewer(int(user[4:]), found["user"]["username"], Role[found["user"]["role"]]))
    return library


def ids_in(answer: Any) -> dict[str, list[str]]:
    """The ids of an answer, by their prefix."""
    found: dict[str, list[str]] = {}
    for text in sorted({value for name, value in _leaves(answer) if name == "id"}):
        found.setdefault(text[:3], []).append(text)
    return found


def _edges(value: Any) -> Iterator[Any]:
    """Every edge of an answer."""
    if isinstance(value, dict):
        if "cursor" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _edges(item)


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of an answer, with the name it stands under."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, key)
    else:
        yield key, value
