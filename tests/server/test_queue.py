"""People work through the queue of a real server, side by side, until nothing is left."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from itertools import islice, permutations
from pathlib import Path
from typing import Any

from app.annotation.verify import drifted
from app.db import Database
from tests.api.conftest import operation
from tests.support.server import Client, Server

PASSAGES = Path(__file__).parents[2] / "examples" / "passages.jsonl"
RECORDS, PEOPLE, REQUIRED = 2000, 20, 3
TOPICS = ("war", "peace", "money")
NEXT = """mutation ($input: NextRecordsInput!) {
    nextRecords(input: $input) { records { id myResponse { status } } reservedUntil errors { code } } }"""

# What of a pending record is still free for somebody: none may be left when they are sent away.
FREE = """
    SELECT count(*) FROM record WHERE status = 'PENDING' AND NOT EXISTS (
        SELECT 1 FROM response WHERE response.record_id = record.id AND response.user_id = {user} AND status <> 'DRAFT'
    ) AND (
        SELECT count(*) FROM reservation AS other WHERE other.record_id = record.id AND other.user_id <> {user}
        AND NOT EXISTS (SELECT 1 FROM response WHERE response.record_id = record.id
            AND response.user_id = other.user_id AND response.status <> 'DRAFT')
    ) < record.required - record.submitted_count"""


class Work:
    """Who works, and what they said. `quiet` is held while nobody asks or answers."""

    def __init__(self, database: Database, dataset: str) -> None:
        self.database = database
        self.dataset = dataset
        self.said: dict[str, list[str]] = {}
        self.empty = 0
        self._busy = 0
        self._gate = asyncio.Condition()

    async def person(self, client: Client, user: int, seed: int) -> None:
        """Answer what the queue gives, until it says that nothing is left."""
        draw = random.Random(seed)
        while True:
            async with self._gate:
                self._busy += 1
            try:
                given = await client.mutate(NEXT, {"datasetId": self.dataset, "first": 20})
                await self._answer(client, draw, given["records"])
            finally:
                async with self._gate:
                    self._busy -= 1
                    self._gate.notify_all()
            if not given["records"]:
                if await self._nothing_is_free(client, user):
                    return
                await asyncio.sleep(0.2)

    async def _nothing_is_free(self, client: Client, user: int) -> bool:
        """Ask again while all others rest, and compare with the database; whether the work is done."""
        async with self._gate:
            await self._gate.wait_for(lambda: self._busy == 0)
            given = await client.mutate(NEXT, {"datasetId": self.dataset, "first": 20})
            if given["records"]:
                return False
            self.empty += 1
            assert await self.database.read(FREE.format(user=user)) == [(0,)]
            return given["reservedUntil"] is None

    async def _answer(self, client: Client, draw: random.Random, records: list[dict[str, Any]]) -> None:
        items = []
        for place, record in enumerate(records):
            topic = draw.choice(TOPICS[: 1 + len(record["id"]) % 3 + draw.randrange(2)])
            values = {"quality": draw.randint(1, 5), "topic": topic}
            fate = draw.random()
            if fate < 0.02 and record["myResponse"] is None:
                await client.mutate(operation("SaveDraft"), {"recordId": record["id"], "values": values})
            elif fate < 0.04:
                await client.mutate(operation("DiscardResponse"), {"recordId": record["id"]})
            elif place == 0:
                await client.mutate(operation("SubmitResponse"), {"recordId": record["id"], "values": values})
                self.said.setdefault(record["id"], []).append(topic)
            else:
                items.append({"recordId": record["id"], "values": values})
        if items:
            done = await client.mutate(operation("SubmitResponses"), {"responses": items})
            assert done["submitted"] == len(items)
            for item in items:
                self.said.setdefault(item["recordId"], []).append(item["values"]["topic"])


async def _make(client: Client) -> str:
    new = {
        "name": "passages", "minSubmitted": REQUIRED, "fields": [{"name": "text"}], "workspaceId": None,
        "questions": [
            {"name": "quality", "settings": {"rating": {"min": 1, "max": 5}}},
            {"name": "topic", "settings": {"label": {"options": [{"value": topic} for topic in TOPICS]}}},
        ],
    }  # fmt: skip
    new["workspaceId"] = (await client.run("{ workspaces { nodes { id } } }"))["workspaces"]["nodes"][0]["id"]
    dataset: str = (await client.mutate(operation("CreateDataset"), new))["dataset"]["id"]
    with PASSAGES.open() as lines:
        passages = [json.loads(line) for line in islice(lines, RECORDS)]
    for start in range(0, RECORDS, 1000):
        records = [
            {"externalId": one["external_id"], "fields": one["fields"], "metadata": one["metadata"]}
            for one in passages[start : start + 1000]
        ]
        added = await client.mutate(
            operation("AddRecords"), {"datasetId": dataset, "onConflict": "ERROR", "records": records}
        )
        assert added["added"] == 1000
    return dataset


async def _people(owner: Client, server: Server) -> list[tuple[Client, int]]:
    space = (await owner.run("{ workspaces { nodes { id } } }"))["workspaces"]["nodes"][0]["id"]
    people = []
    for number in range(PEOPLE + 1):
        made = await owner.mutate(
            operation("CreateUser"), {"username": f"a{number}", "role": "ANNOTATOR", "workspaceIds": [space]}
        )
        key = await owner.mutate(operation("CreateApiKey"), {"name": "work", "userId": made["user"]["id"]})
        people.append((Client(server, key["secret"]), int(made["user"]["id"][4:])))
    return people


def _alpha(units: list[list[str]]) -> float:
    """Krippendorff's alpha of nominal values: 1 - Do / De, over pairs."""
    values = Counter(value for unit in units for value in unit)
    n = sum(values.values())
    observed = sum(sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units) / n
    return 1 - observed * n * (n - 1) / (n * n - sum(count**2 for count in values.values()))


async def test_people_work_until_nothing_is_left(database_url: str, tmp_path: Path) -> None:
    with Server(database_url, tmp_path, reservation_minutes="0.1") as server:
        async with Client(server, server.key) as owner, await Database.open(database_url) as database:
            work = Work(database, await _make(owner))
            people = await _people(owner, server)
            *workers, (gone, _) = people
            # Somebody reserves and goes away: their records come back when their time has come.
            left = await gone.mutate(NEXT, {"datasetId": work.dataset, "first": 100})
            assert len(left["records"]) == 100
            await asyncio.gather(*(work.person(client, user, n) for n, (client, user) in enumerate(workers)))
            for client, _ in people:
                await client.http.aclose()
            assert work.empty >= PEOPLE
            counts = await database.read("SELECT status, submitted_count, count(*) FROM record GROUP BY 1, 2")
            assert counts == [("COMPLETED", REQUIRED, RECORDS)]
            assert [found async for found in drifted(database)] == []
            assert {len(topics) for topics in work.said.values()} == {REQUIRED}
            found = (await owner.run(operation("Agreement"), {"dataset": work.dataset}))["dataset"]
            values = {(one["question"]["name"], one["measure"]): one["value"] for one in found["agreement"]}
            assert abs(values["topic", "KRIPPENDORFFS_ALPHA"] - _alpha(list(work.said.values()))) < 1e-9
            assert sum(one["submitted"] for one in found["annotators"]) == RECORDS * REQUIRED
