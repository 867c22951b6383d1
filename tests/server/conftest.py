"""Real server processes over one database, with a dataset to answer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.api.conftest import SETTINGS, operation
from tests.support.server import Client, Server


@dataclass
class Team:
    """A dataset and the keys of its owner and three annotators."""

    owner: str
    keys: dict[str, str]
    users: dict[str, str]
    key_ids: dict[str, str]
    workspace: str
    dataset: str
    records: list[str] = field(default_factory=list)


Start = Callable[..., Server]


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts servers on the test's database."""
    with contextlib.ExitStack() as stack:

        def one(**settings: str) -> Server:
            return stack.enter_context(Server(database_url, tmp_path, **settings))

        yield one


@pytest.fixture
def server(start: Start) -> Server:
    """One server."""
    return start()


@pytest.fixture
async def team(server: Server) -> AsyncIterator[Team]:
    """Made through the server's API."""
    assert server.key is not None
    async with Client(server, server.key) as owner:
        workspace = (await owner.mutate(operation("CreateWorkspace"), {"name": "team"}))["workspace"]["id"]
        keys, users, key_ids = {}, {}, {}
        for name in ("ann", "ben", "cem"):
            new = {"username": name, "role": "ANNOTATOR", "workspaceIds": [workspace]}
            users[name] = (await owner.mutate(operation("CreateUser"), new))["user"]["id"]
            key = await owner.mutate(operation("CreateApiKey"), {"name": name, "userId": users[name]})
            keys[name], key_ids[name] = key["secret"], key["apiKey"]["id"]
        made = await owner.mutate(
            operation("CreateDataset"),
            {
                "name": "d",
                "workspaceId": workspace,
                "minSubmitted": 2,
                "fields": [{"name": "text"}],
                "questions": SETTINGS,
            },
        )
        dataset = made["dataset"]["id"]
        added = await owner.mutate(
            operation("AddRecords"),
            {
                "datasetId": dataset,
                "onConflict": "ERROR",
                "records": [{"externalId": str(n), "fields": {"text": f"Passage {n}"}} for n in range(200)],
            },
        )
        records = [item["record"]["id"] for item in added["results"]]
        yield Team(server.key, keys, users, key_ids, workspace, dataset, records)
