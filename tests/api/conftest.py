"""The whole server in-process, on both databases, with two workspaces of people and data in them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import insert

from app import settings
from app.accounts.access import OPERATOR
from app.accounts.credentials import create_key
from app.accounts.tables import Role
from app.accounts.users import NewUser, create_user
from app.accounts.viewer import Viewer
from app.accounts.workspaces import create_workspace
from app.annotation.tables import Snapshot
from app.db import UnitOfWork
from app.graphql.operations import Operations, Request
from app.graphql.sharing import Message
from app.schema import build_schema
from app.services import Services, open_services
from app.training.tables import Metric
from tests.support.stacks import ended, stacks

EXAMPLES = Path(__file__).parents[2] / "examples" / "operations"

SETTINGS = [
    {"name": "quality", "settings": {"rating": {"min": 1, "max": 5}}},
    {"name": "topic", "required": False, "settings": {"label": {"options": [{"value": "war"}, {"value": "peace"}]}}},
]


def operation(name: str) -> str:
    """One operation of the examples, as written."""
    for file in sorted(EXAMPLES.glob("*.graphql")):
        for part in re.split(r"^(?=query |mutation |subscription )", file.read_text(), flags=re.MULTILINE):
            if re.match(rf"\w+ {name}\b", part):
                return part.strip()
    raise LookupError(name)


PATIENCE = 120
"""Seconds that a message may take: whoever waits longer waits for nothing."""


@dataclass
class Book:
    """A running server's insides, and who and what is in it, by name."""

    services: Services
    operations: Operations
    people: dict[str, Viewer] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    async def run(self, who: str | None, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        """The response to a query or mutation, as its JSON says."""
        viewer = None if who is None else self.people[who]
        prepared = self.operations.prepare(Request(query, variables), viewer)
        result: dict[str, Any] = orjson.loads(orjson.dumps(await self.operations.execute(prepared, viewer)))
        return result

    async def data(self, who: str, query: str, variables: dict[str, Any] | None = None) -> Any:
        """The data of a response without errors."""
        result = await self.run(who, query, variables)
        assert "errors" not in result, result
        return result["data"]

    @asynccontextmanager
    async def follow(self, who: str, query: str, **variables: Any) -> AsyncIterator[AsyncIterator[Any]]:
        """The responses of a subscription, as their JSON says, to its end."""
        viewer = self.people[who]
        prepared = self.operations.prepare(Request(query, variables), viewer)
        sent: asyncio.Queue[Any] = asyncio.Queue()

        async def send(message: Message) -> None:
            sent.put_nowait(orjson.loads(message.text))

        async def run() -> None:
            try:
                refused = await self.operations.subscribe(prepared, viewer, send)
                if refused is not None:
                    sent.put_nowait(refused)
            finally:
                sent.put_nowait(None)

        async def next_one() -> Any:
            try:
                async with asyncio.timeout(PATIENCE):
                    return await sent.get()
            except TimeoutError:
                raise AssertionError(f"No message came for {PATIENCE} s.\n{stacks()}") from None

        async def responses() -> AsyncIterator[Any]:
            while (response := await next_one()) is not None:
                yield response

        running = asyncio.create_task(run())
        try:
            yield responses()
        finally:
            running.cancel()
            await ended(running, PATIENCE)

    async def mutate(self, who: str, name: str, input: dict[str, Any]) -> Any:
        """The payload of an example mutation that is expected to go well."""
        payload = next(iter((await self.data(who, operation(name), {"input": input})).values()))
        assert payload["errors"] == [], payload
        return payload


@pytest.fixture
async def empty_book(database_url: str) -> AsyncIterator[Book]:
    """A server over an empty database, and its first owner."""
    async with open_services(
        settings.load(database_url=database_url, compact_seconds=3600, live_heal_seconds=600)
    ) as services:
        built = build_schema(services.cursor_secret)
        book = Book(services, Operations(built, services.database, services))

        def first(uow: UnitOfWork) -> int:
            return create_user(uow, NewUser("owner", Role.OWNER, workspace_ids=()))

        owner_id = await services.database.transact(first, viewer=OPERATOR)
        book.people["owner"] = Viewer(owner_id, "owner", Role.OWNER)
        book.ids["owner"] = f"usr_{owner_id}"
        yield book


@pytest.fixture
async def book(empty_book: Book) -> Book:
    """Workspace `here` with admin, ann, ben and a dataset with a record that all answered; `there` with others."""
    book = empty_book
    database = book.services.database

    def people(uow: UnitOfWork) -> None:
        spaces = {name: create_workspace(uow, name) for name in ("here", "there")}
        roles = {"admin": Role.ADMIN, "ann": Role.ANNOTATOR, "ben": Role.ANNOTATOR}
        others = {"other_admin": Role.ADMIN, "other_ann": Role.ANNOTATOR}
        for name, role in {**roles, **others}.items():
            space = spaces["here" if name in roles else "there"]
            number = create_user(uow, NewUser(name, role, workspace_ids=(space,)))
            book.people[name] = Viewer(number, name, role)
            book.ids[name] = f"usr_{number}"
        book.ids |= {name: f"wsp_{number}" for name, number in spaces.items()}
        for name, viewer in book.people.items():
            book.ids[f"key_of_{name}"] = f"key_{create_key(uow, name, viewer.id)[0]}"

    await database.transact(people, viewer=OPERATOR)
    for space, manager in (("here", "admin"), ("there", "other_admin")):
        dataset = await book.mutate(
            manager,
            "CreateDataset",
            {"name": space, "minSubmitted": 2, "fields": [{"name": "text"}], "questions": SETTINGS},
        )
        book.ids[f"dataset_{space}"] = dataset["dataset"]["id"]
        suggestion = {"question": "quality", "value": 3, "score": 0.5, "agent": "model"}
        records = [
            {"externalId": f"{space}-{n}", "fields": {"text": f"Passage {n}"}, "suggestions": [suggestion]}
            for n in range(3)
        ]
        added = await book.mutate(
            manager, "AddRecords", {"datasetId": dataset["dataset"]["id"], "onConflict": "ERROR", "records": records}
        )
        book.ids |= {f"record_{space}_{item['index']}": item["record"]["id"] for item in added["results"]}
    for who, record in (("ann", "here"), ("ben", "here"), ("admin", "here"), ("other_ann", "there")):
        answered = await book.mutate(
            who, "SubmitResponse", {"recordId": book.ids[f"record_{record}_0"], "values": {"quality": 4}}
        )
        book.ids[f"response_of_{who}"] = answered["response"]["id"]
    await _trainings(book)
    found = await book.data(
        "owner",
        "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Dataset { name fields { id } questions { id }"
        " records(first: 1) { nodes { suggestions { id } } } } } }",
        {"ids": [book.ids["dataset_here"], book.ids["dataset_there"]]},
    )
    told = await book.data("owner", "{ auditEvents(first: 1) { nodes { id } } }")
    book.ids["event"] = told["auditEvents"]["nodes"][0]["id"]
    for node in found["nodes"]:
        book.ids[f"field_{node['name']}"] = node["fields"][0]["id"]
        book.ids[f"question_{node['name']}"] = node["questions"][0]["id"]
        book.ids[f"suggestion_{node['name']}"] = node["records"]["nodes"][0]["suggestions"][0]["id"]
    return book


async def _trainings(book: Book) -> None:
    """A task of each who trains, with a metric; a snapshot of a second dataset, which the tasks name."""
    database = book.services.database
    for space, manager in (("here", "admin"), ("there", "other_admin")):
        new = {"name": "frozen", "fields": [{"name": "text"}], "questions": SETTINGS}
        made = await book.mutate(manager, "CreateDataset", new)
        book.ids[f"dataset_frozen_{space}"] = made["dataset"]["id"]

    def snapshots(uow: UnitOfWork) -> None:
        for space in ("here", "there"):
            number = uow.new_id()
            dataset_id = int(book.ids[f"dataset_frozen_{space}"][4:])
            row = {"id": number, "dataset_id": dataset_id, "content_hash": space, "record_count": 3}
            uow.connection.execute(insert(Snapshot).values(**row, created_at=uow.now))
            book.ids[f"snapshot_{space}"] = f"snp_{number}"

    await database.transact(snapshots, viewer=OPERATOR)
    for who, space in (("ann", "here"), ("ben", "here"), ("admin", "here"), ("other_ann", "there")):
        given = {"modelName": who, "snapshotId": book.ids[f"snapshot_{space}"], "tags": [who, "all"]}
        made = await book.mutate(who, "CreateTrainTask", given)
        book.ids[f"task_of_{who}"] = made["task"]["id"]

    def metrics(uow: UnitOfWork) -> None:
        for name in [name for name in book.ids if name.startswith("task_of_")]:
            number = uow.new_id()
            row = {"id": number, "task_id": int(book.ids[name][4:]), "name": "loss", "points": 2}
            row |= {"non_finite_count": 0, "last": 0.5, "last_state": "FINITE", "last_step": 1, "lowest_step": 0}
            uow.connection.execute(insert(Metric).values(**row, highest_step=1))
            book.ids[f"metric_of_{name[8:]}"] = f"mtr_{number}"

    await database.transact(metrics, viewer=OPERATOR)
