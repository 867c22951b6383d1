"""Both databases answer byte for byte the same about one history; and what is too much is refused."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest

from app import settings
from app.accounts.access import OPERATOR
from app.accounts.tables import Role
from app.accounts.users import NewUser, create_user
from app.accounts.viewer import Viewer
from app.accounts.workspaces import create_workspace
from app.db import UnitOfWork
from app.graphql.operations import Operations, Request
from app.schema import build_schema
from app.services import open_services
from app.training import goals, statistics
from app.training.statistics import NUMERIC, TrainTaskDimension
from tests.api.conftest import Book, operation
from tests.support.databases import Databases, PostgresDatabases, SqliteDatabases
from tests.training.history import draw, store

WITHOUT_IDS = operation("TrainStatistics").replace("bestTask { id }", "bestTask { modelName duration cost }")
ALL = {"metric": "loss", "threshold": 1.0, "where": {"startTime": {"isNull": False}}}


def asked() -> list[tuple[str, dict[str, Any]]]:
    queries: list[tuple[str, dict[str, Any]]] = [
        (WITHOUT_IDS, {**ALL, "by": by.name, "goal": goal})
        for by in TrainTaskDimension
        for goal in ("MINIMIZE", "MAXIMIZE")
    ]
    queries += [(WITHOUT_IDS, {**ALL, "by": by.name, "bins": [1e-4, 8]}) for by in TrainTaskDimension if by in NUMERIC]
    recommend = operation("RecommendParameters").replace("basedOn { id }", "basedOn { modelName }")
    return [*queries, (recommend, {"input": {"modelName": "tiny", "metric": "loss"}})]


async def told(databases: Databases) -> list[bytes]:
    """What a new database answers about the history."""
    url = await databases.create()
    async with open_services(settings.load(database_url=url, compact_seconds=3600)) as services:
        operations = Operations(build_schema(services.cursor_secret), services.database, services)

        def people(uow: UnitOfWork) -> tuple[dict[str, Viewer], int]:
            space = create_workspace(uow, "here")
            roles = {"owner": Role.OWNER, "ann": Role.ANNOTATOR, "ben": Role.ANNOTATOR}
            spaces = {name: () if name == "owner" else (space,) for name in roles}
            users = {
                name: create_user(uow, NewUser(name, role, workspace_ids=spaces[name])) for name, role in roles.items()
            }
            return {name: Viewer(number, name, roles[name]) for name, number in users.items()}, space

        found, space = await services.database.transact(people, viewer=OPERATOR)
        made = draw(random.Random(11), ["ann", "ben"], 150)
        await store(services.database, found, {"ann": space, "ben": space}, made)
        answers = []
        for query, variables in asked():
            prepared = operations.prepare(Request(query, variables), found["owner"])
            answers.append(orjson.dumps(await operations.execute(prepared, found["owner"])))
    await databases.remove(url)
    return answers


async def test_both_databases_answer_the_same_bytes(
    sqlite_databases: SqliteDatabases, postgresql_databases: PostgresDatabases
) -> None:
    one, other = await told(sqlite_databases), await told(postgresql_databases)
    assert not [answer for answer in one if b'"errors"' in answer]
    assert one == other
    assert len({len(answer) for answer in one}) > 10


async def test_what_is_too_much_is_refused(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    here = int(book.ids["here"][4:])
    made = draw(random.Random(3), ["ann"], 30)
    await store(book.services.database, book.people, {"ann": here}, made)
    reached = sum(bool(one.finite) and min(one.finite) <= 9 and not one.deleted for one in made)

    async def refused(**variables: Any) -> tuple[str, list[str]]:
        [error] = (await book.run("ann", operation("TrainStatistics"), {"metric": "loss", **variables}))["errors"]
        assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
        return error["message"], error["extensions"]["argument"]

    monkeypatch.setattr(goals, "MAX_REACHED", reached - 1)
    message, path = await refused(by="HOST", threshold=9)
    assert (message.split(",")[0], path) == (f"{reached} tasks reached 9.0", ["threshold"])
    monkeypatch.setattr(goals, "MAX_REACHED", reached)
    await book.data("ann", operation("TrainStatistics"), {"metric": "loss", "by": "HOST", "threshold": 9})
    monkeypatch.setattr(statistics, "MAX_GROUPS", 3)
    message, path = await refused(by="LORA_RANK")
    assert "groups by LORA_RANK; at most 3 are answered: put the values into `bins`." in message
    assert "narrow `where`" in (await refused(by="TAG"))[0]
    monkeypatch.setattr(statistics, "MAX_TASKS", 5)
    message, path = await refused(by="BATCH_SIZE")
    assert (message, path) == ("More than 5 tasks: narrow `where`, by `startTime` for example.", ["where"])
