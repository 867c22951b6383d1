"""Points arrive exactly once at real servers, whatever is killed, repeated or overtaken on the way."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from app.accounts.viewer import Viewer
from app.db import Database
from tests.api.conftest import operation
from tests.server.conftest import Start, Team
from tests.server.reporter import POINTS, report
from tests.support.server import Client, Server
from tests.training.tasks import Run

REPORTS = 120
SCRIPT = Path(__file__).with_name("reporter.py")
ROOT = Path(__file__).parents[2]


async def begin(server: Server, key: str) -> str:
    """A running task."""
    async with Client(server, key) as client:
        task = await client.mutate(operation("CreateTrainTask"), {"modelName": "tiny"})
        await client.mutate(operation("StartTrainTask"), {"id": task["task"]["id"]})
        return str(task["task"]["id"])


async def check(database_url: str, task: str, sources: dict[str, int]) -> None:
    """Each report of each source is there once, those of a source in their order."""
    async with await Database.open(database_url) as database:
        run = Run(database, int(task[4:]), Viewer(0, "", None), 0)  # type: ignore[arg-type]
        points = await run.points()
        assert [name for name in points if name != "loss"] == sorted(sources)
        reports: dict[int, list[tuple[int, float, int]]] = {}
        for step, value, time, arrival in points["loss"]:
            reports.setdefault(arrival, []).append((step, value, time))
        for source, count in sources.items():
            mine = [(step, str(value), time) for step, value, time, _ in points[source]]
            assert mine == [(n, "nan" if n % 3 else str(float(n)), n) for n in range(count)]
            arrivals = [arrival for *_, arrival in points[source]]
            assert arrivals == sorted(arrivals)
            found = [reports.pop(arrival) for arrival in arrivals]
            assert found == [[(s, s / 8, s) for s in range(n * POINTS, (n + 1) * POINTS)] for n in range(count)]
        assert reports == {}
        counts = await database.read(f"SELECT name, points FROM metric WHERE task_id = {run.task}")
        assert dict(counts) == {"loss": sum(sources.values()) * POINTS} | sources


class Reporter:
    """The process of one source."""

    def __init__(self, folder: Path, key: str, task: str, source: str) -> None:
        self.file = folder / source
        self.arguments = (task, source, str(REPORTS), str(self.file))
        self.environment = {**os.environ, "GRADBOOK_KEY": key, "PYTHONPATH": str(ROOT)}
        self.process: asyncio.subprocess.Process | None = None

    @property
    def acknowledged(self) -> int:
        """How many reports were."""
        return self.file.stat().st_size if self.file.exists() else 0

    async def start(self, server: Server) -> None:
        """Start it, or start it again."""
        command = (sys.executable, str(SCRIPT), server.address, *self.arguments)
        self.process = await asyncio.create_subprocess_exec(
            *command, env=self.environment, stderr=asyncio.subprocess.PIPE
        )

    async def end(self, *codes: int) -> None:
        """Wait until it has ended, and so."""
        assert self.process is not None
        _, said = await self.process.communicate()
        assert self.process.returncode in codes, said.decode()

    async def kill(self) -> None:
        """End it at once, wherever it is."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.end(-signal.SIGKILL, 0)

    def stop(self) -> None:
        """At the end of a test, however it ends."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def reach(self, count: int) -> None:
        """Wait until so many were acknowledged."""
        async with asyncio.timeout(120):
            while self.acknowledged < count:
                assert self.process is not None
                assert self.process.returncode in (None, 0)
                await asyncio.sleep(0.002)


async def test_kill_9_of_server_and_client_loses_and_doubles_no_point(
    start: Start, tmp_path: Path, database_url: str
) -> None:
    server = start(compact_seconds="0.05")
    assert server.key is not None
    task = await begin(server, server.key)
    reporters = [Reporter(tmp_path, server.key, task, source) for source in ("rank0", "rank1")]
    try:
        for one in reporters:
            await one.start(server)
        for turn in range(1, 5):
            await reporters[turn % 2].reach(turn * 25)
            if turn % 2:
                await reporters[0].kill()
                await reporters[0].start(server)
            else:
                server.kill()
                for one in reporters:
                    await one.end(3, 0)
                server = start(compact_seconds="0.05")
                for one in reporters:
                    await one.start(server)
        for one in reporters:
            await one.end(0)
            assert one.acknowledged == REPORTS
    finally:
        for one in reporters:
            one.stop()
    await check(database_url, task, {"rank0": REPORTS, "rank1": REPORTS})


async def test_reports_that_overtake_and_repeat_each_other_on_two_connections_are_stored_once_in_order(
    server: Server, team: Team, database_url: str
) -> None:
    key, count = team.keys["ann"], 40
    task = await begin(server, key)
    left, chance = set(range(count)), random.Random(5)
    refused: list[str] = []

    async def send(client: Client, numbers: list[int]) -> None:
        for number in numbers:
            variables = {"input": {"id": task, **report("rank0", number)}}
            payload: Any = (await client.run(operation("ReportProgress"), variables))["reportProgress"]
            if payload["errors"] == []:
                left.discard(number)
            else:
                refused.extend(error["code"] for error in payload["errors"])

    async with Client(server, key) as one, Client(server, key) as other:
        async with asyncio.timeout(300):
            while left:
                near = sorted(left)[:6]
                again = chance.sample(range(count - len(left)), min(2, count - len(left)))
                orders = [chance.sample(near + again, len(near) + len(again)) for _ in range(2)]
                await asyncio.gather(send(one, orders[0]), send(other, orders[1]))
    assert set(refused) == {"SEQUENCE_GAP"}
    await check(database_url, task, {"rank0": count})


async def test_a_server_notices_who_is_silent_and_who_is_heard_of_again(start: Start) -> None:
    server = start(lost_after_seconds="0.5", live_heal_seconds="60")
    assert server.key is not None
    task = await begin(server, server.key)
    state = "query ($id: ID!) { trainTask(id: $id) { status lost } }"
    async with Client(server, server.key) as client, asyncio.timeout(120):
        while (found := (await client.run(state, {"id": task}))["trainTask"]) == {"status": "RUNNING", "lost": False}:
            await asyncio.sleep(0.05)
        assert found == {"status": "RUNNING", "lost": True}
        lost_and_heard = "started: startTrainTask(input: {id: $id}) { task { lost } errors { code } }"
        heard = await client.run(f"mutation ($id: ID!) {{ {lost_and_heard} }}", {"id": task})
        assert heard["started"] == {"task": {"lost": False}, "errors": []}
