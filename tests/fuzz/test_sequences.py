"""Sequences of mutations, the same on both databases: equal answers, statuses that follow, nothing half-written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import select

from app import settings
from app.accounts.access import OPERATOR
from app.accounts.tables import Role
from app.accounts.users import NewUser, create_user
from app.accounts.viewer import Viewer
from app.accounts.workspaces import create_workspace
from app.db import UnitOfWork
from app.db.types import Base
from app.errors import Code
from app.graphql.operations import Operations, Request, RequestError
from app.schema import build_schema
from app.services import Services, open_services
from tests.fuzz.actions import Actions, document
from tests.fuzz.dice import throws
from tests.support.databases import PostgresDatabases, SqliteDatabases

STEPS = 120
PEOPLE = {"owner": Role.OWNER, "admin": Role.ADMIN, "ann": Role.ANNOTATOR, "ben": Role.ANNOTATOR, "eve": Role.ANNOTATOR}
QUIET = {"compact_seconds": 3600, "live_heal_seconds": 600, "lost_after_seconds": 3600}
"""What servers do on their own would be written between two steps."""

WAYS = {"PENDING": {"RUNNING", "CANCELED"}, "RUNNING": {"SUCCESS", "FAILED", "CANCELED"}}
"""Of tasks, from state to state."""

ID = re.compile(rb"\b([a-z]{3})_\d{18}\b")
NAME = re.compile(rb"\b[a-z]{3}#\d+\b")
NOT_WRITTEN_BY_THEM = {"clock", "rate_bucket"}

Rows = dict[str, list[dict[str, Any]]]


@dataclass
class World:
    """A server's insides on one database, and how its ids are called in all worlds."""

    services: Services
    operations: Operations
    people: dict[str, Viewer] = field(default_factory=dict)
    names: dict[bytes, bytes] = field(default_factory=dict)
    stored: Rows = field(default_factory=dict)
    accepted: Counter[str] = field(default_factory=Counter)

    async def run(self, who: str, name: str, given: dict[str, Any]) -> Any:
        """The answer, with names for ids."""
        ids = {name: id_ for id_, name in self.names.items()}
        text = NAME.sub(lambda found: ids[found[0]], orjson.dumps(given))
        try:
            request = Request(document(name), {"input": orjson.loads(text)})
            prepared = self.operations.prepare(request, self.people[who])
            result = orjson.dumps(await self.operations.execute(prepared, self.people[who]))
        except RequestError as error:
            result = orjson.dumps(error.result)
        return orjson.loads(ID.sub(self.name, result))

    def name(self, found: re.Match[bytes]) -> bytes:
        """The next of its kind, unless it has a name."""
        count = sum(name.startswith(found[1]) for name in self.names.values())
        return self.names.setdefault(found[0], b"%b#%d" % (found[1], count))

    def things(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The names by prefix: of what is stored, and of what has gone."""
        there = {b"%d" % row["id"] for rows in self.stored.values() for row in rows if "id" in row}
        found: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
        for one, name in self.names.items():
            found[one[4:] not in there].setdefault(name[:3].decode(), []).append(name.decode())
        return found

    def tasks(self) -> dict[str, list[str]]:
        """The names of training tasks by status."""
        found: dict[str, list[str]] = {}
        for row in self.stored["train_task"]:
            found.setdefault(row["status"].name, []).append(self.names[b"tsk_%d" % row["id"]].decode())
        return found

    async def rows(self) -> Rows:
        """All that is stored."""
        tables = [table for table in Base.metadata.sorted_tables if table.name not in NOT_WRITTEN_BY_THEM]

        def read(uow: UnitOfWork) -> Rows:
            return {
                table.name: [
                    dict(row) for row in uow.connection.execute(select(table).order_by(*table.primary_key)).mappings()
                ]
                for table in tables
            }

        return await self.services.database.transact(read, viewer=OPERATOR)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[World]:
    async with open_services(settings.load(database_url=url, **QUIET)) as services:
        world = World(services, Operations(build_schema(services.cursor_secret), services.database, services))

        def people(uow: UnitOfWork) -> None:
            here, there = create_workspace(uow, "here"), create_workspace(uow, "there")
            for name, role in PEOPLE.items():
                spaces = () if role is Role.OWNER else (there,) if name == "eve" else (here,)
                world.people[name] = Viewer(create_user(uow, NewUser(name, role, workspace_ids=spaces)), name, role)

        await services.database.transact(people, viewer=OPERATOR)
        world.stored = await world.rows()
        yield world


async def test_sequences_of_mutations(
    sqlite_databases: SqliteDatabases, postgresql_databases: PostgresDatabases
) -> None:
    for d in throws("sequences", 1):
        async with AsyncExitStack() as stack:
            worlds = []
            for kind in (sqlite_databases, postgresql_databases):
                url = await kind.create()
                stack.push_async_callback(kind.remove, url)
                worlds.append(await stack.enter_async_context(opened(url)))
            make = Actions(d)
            for _ in range(STEPS):
                await step(worlds, make, *make.draw())


async def step(worlds: list[World], make: Actions, who: str, name: str, given: dict[str, Any]) -> None:
    """The same mutation in all worlds, and what holds after it."""
    said = (who, name, given)
    answers = [await world.run(*said) for world in worlds]
    answer = answers[0]
    assert all(other == answer for other in answers), (said, answers)
    check_answer(answer, said)
    for world in worlds:
        before, world.stored = world.stored, await world.rows()
        assert not is_refused(answer) or world.stored == before, said
        check_statuses(world.stored)
        check_tasks(before, world.stored)
        if name == "reportProgress" and not is_refused(answer):
            world.accepted[given["id"]] += answer["data"][name]["accepted"]
        check_points(world)
    make.known, make.gone = worlds[0].things()
    make.tasks = worlds[0].tasks()
    for payload in (answer.get("data") or {}).values():
        if payload.get("nextSequence") is not None:
            make.sequences[given["id"]] = payload["nextSequence"]
        if payload.get("accepted"):
            make.accepted[given["id"]] = given


def is_refused(answer: Any) -> bool:
    """Whether nothing was to be written."""
    return "errors" in answer or any(payload["errors"] for payload in answer["data"].values())


def check_answer(answer: Any, said: Any) -> None:
    """Errors have codes that were foreseen; a bulk mutation counts right."""
    codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
    for payload in (answer.get("data") or {}).values():
        results = payload.get("results", ())
        codes |= {error["code"] for item in (payload, *results) for error in item["errors"]}
        for item in results:
            written = item.get("response") or item.get("record")
            assert bool(item["errors"]) != bool(written), (said, item)
        if "submitted" in payload:
            assert payload["submitted"] == sum(item["response"] is not None for item in results), (said, payload)
    assert codes <= set(Code.__members__) - {Code.INTERNAL.name}, (said, answer)


def check_statuses(rows: Rows) -> None:
    """Each record's status follows from its responses and its dataset's threshold."""
    wanted = {row["id"]: row["min_submitted"] for row in rows["dataset"]}
    submitted = Counter(row["record_id"] for row in rows["response"] if row["status"].name == "SUBMITTED")
    for row in rows["record"]:
        count, required = submitted[row["id"]], wanted[row["dataset_id"]]
        expected = ("COMPLETED" if count >= required else "PENDING", count, required)
        assert (row["status"].name, row["submitted_count"], row["required"]) == expected, row
    datasets = {row["id"]: row["dataset_id"] for row in rows["record"]}
    for table in ("response", "suggestion", "reservation", "record_search"):
        for row in rows[table]:
            assert row.get("dataset_id", datasets[row["record_id"]]) == datasets[row["record_id"]], (table, row)
    assert {row["record_id"] for row in rows["record_search"]} == set(datasets)


def check_tasks(before: Rows, now: Rows) -> None:
    """Each task went only where it may, and attempts have a chain."""
    earlier = {row["id"]: row for row in before["train_task"]}
    tasks = {row["id"]: row for row in now["train_task"]}
    for row in tasks.values():
        status = row["status"].name
        was = earlier[row["id"]]["status"].name if row["id"] in earlier else status
        assert status == was or status in WAYS.get(was, ()), (was, row)
        assert (row["end_time"] is not None) == (status not in WAYS), row
        assert row["start_time"] is not None or status in {"PENDING", "CANCELED"}, row
        tried = tasks.get(row["retry_of_id"])
        assert tried is None or (tried["status"].name, row["attempt"]) == ("FAILED", tried["attempt"] + 1), row
    retried = [row["retry_of_id"] for row in tasks.values() if row["retry_of_id"] is not None]
    assert len(set(retried)) == len(retried)


def check_points(world: World) -> None:
    """A task has as many points as were accepted."""
    points: Counter[int] = Counter()
    for row in world.stored["metric"]:
        points[row["task_id"]] += row["points"]
    for row in world.stored["train_task"]:
        name = world.names.get(b"tsk_%d" % row["id"], b"").decode()
        assert points[row["id"]] == world.accepted[name], (name, row)
