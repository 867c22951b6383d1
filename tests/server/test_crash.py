"""What a server acknowledged is there after a crash, and no status is wrong."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys

import httpx2

from tests.api.conftest import operation
from tests.server.conftest import Start, Team
from tests.support.server import Client, Server

WRITERS = 8
ACKNOWLEDGED = 200  # before the crash


async def _write(server: Server, key: str, records: list[str], acknowledged: dict[str, int]) -> None:
    """Answers records, as fast as the server takes it, until it is gone; notes what it acknowledged."""
    async with Client(server, key) as client:
        for number, record in enumerate(itertools.cycle(records)):
            values = {"quality": number % 5 + 1}
            try:
                payload = await client.mutate(operation("SubmitResponse"), {"recordId": record, "values": values})
            except (httpx2.TransportError, ValueError):
                return
            acknowledged[payload["response"]["id"]] = values["quality"]


async def test_kill_9_under_load(start: Start, server: Server, team: Team, database_url: str) -> None:
    acknowledged: list[dict[str, int]] = []
    async with asyncio.TaskGroup() as writers:
        for number in range(WRITERS):
            # Two writers per person on records of their own, and all people on the same records.
            key = list(team.keys.values())[number % 3]
            acknowledged.append({})
            writers.create_task(_write(server, key, team.records[number // 3 :: 3], acknowledged[-1]))
        async with asyncio.timeout(120):
            while sum(map(len, acknowledged)) < ACKNOWLEDGED:
                await asyncio.sleep(0.01)
        server.kill()
    expected = {response: value for writer in acknowledged for response, value in writer.items()}
    command = [sys.executable, "-m", "app.cli", "verify", "--database-url", database_url]
    verified = subprocess.run(command, check=False, capture_output=True, text=True)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    async with Client(start(), team.owner) as client:
        found: dict[str, int] = {}
        ids = list(expected)
        query = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on Response { id status values } } }"
        for begin in range(0, len(ids), 100):
            for node in (await client.run(query, {"ids": ids[begin : begin + 100]}))["nodes"]:
                assert node["status"] == "SUBMITTED"
                found[node["id"]] = node["values"]["quality"]
        # The last answer of each writer may have been written and not been acknowledged: it may be newer.
        missing = {response for response in expected if response not in found}
        different = {response for response, value in expected.items() if found.get(response) != value}
        assert missing == set()
        assert len(different) <= WRITERS
