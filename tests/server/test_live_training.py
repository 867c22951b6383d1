"""Points of a task on two real servers over one database: each subscriber gets each of them once, in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import orjson
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from app.db import Database
from tests.api.conftest import operation
from tests.server.conftest import Start, Team
from tests.support.server import Client, Server

PATIENCE = 60
REPORTS, POINTS = 60, 100

Points = dict[str, list[tuple[int, float]]]


@asynccontextmanager
async def subscribed(server: Server, key: str, chance: random.Random, **variables: Any) -> AsyncIterator[Any]:
    """The messages of TrainProgress. The connection ends with a goodbye, or without one."""
    protocol = Subprotocol("graphql-transport-ws")
    async with connect(server.socket_address, subprotocols=[protocol], max_size=None, proxy=None) as socket:

        async def send(**message: Any) -> None:
            await socket.send(orjson.dumps(message).decode())

        async def receive() -> Any:
            async with asyncio.timeout(PATIENCE):
                while (message := orjson.loads(await socket.recv()))["type"] == "ping":
                    await send(type="pong")
            return message

        async def messages() -> AsyncIterator[Any]:
            while True:
                message = await receive()
                assert message["type"] == "next", message
                assert "errors" not in message["payload"], message
                yield message["payload"]["data"]["trainProgress"]

        await send(type="connection_init", payload={"Authorization": f"Bearer {key}"})
        assert (await receive())["type"] == "connection_ack"
        await send(id="1", type="subscribe", payload={"query": operation("TrainProgress"), "variables": variables})
        async with aclosing(messages()) as found:  # type: ignore[type-var]
            yield found
        if chance.random() < 0.5:
            socket.transport.abort()


class Subscriber:
    """Who comes and goes, each time to the next of the servers, and keeps what it got and the last cursor."""

    def __init__(self, servers: list[Server], key: str, task: str, seed: int) -> None:
        self.servers = servers
        self.key = key
        self.task = task
        self.chance = random.Random(seed)
        self.cursor: str | None = None
        self.points: Points = {}
        self.visits = 0

    def count(self) -> int:
        return sum(map(len, self.points.values()))

    async def follow_until(self, total: int) -> None:
        """Until it has so many points."""
        while self.count() < total:
            server = self.servers[self.visits % len(self.servers)]
            self.visits += 1
            variables = {"task": self.task, "after": self.cursor}
            async with subscribed(server, self.key, self.chance, **variables) as messages:
                for _ in range(self.chance.randint(1, 6)):
                    message = await anext(messages)
                    if self.chance.random() < 0.1:
                        break  # it was lost on the way to where it should be kept
                    self.cursor = message["cursor"]
                    for one in message["series"]:
                        self.points.setdefault(one["metric"], []).extend(zip(one["steps"], one["values"], strict=True))
                    if self.count() >= total:
                        break

    async def is_all(self) -> bool:
        """Whether nothing more comes but what it is told now."""
        server = self.chance.choice(self.servers)
        async with subscribed(server, self.key, self.chance, task=self.task, after=self.cursor) as messages:
            try:
                message = await asyncio.wait_for(anext(messages), 0.5)
            except TimeoutError:
                return True
            return not message["series"]


async def report(server: Server, key: str, task: str, source: int) -> None:
    """Every value tells its source, report and place."""
    async with Client(server, key) as client:
        for sequence in range(REPORTS):
            first = sequence * POINTS
            values = [source * 1_000_000 + first + n for n in range(POINTS)]
            steps = list(range(first, first + POINTS))
            series = [{"metric": name, "steps": steps, "values": values} for name in ("loss", "lr")]
            given = {"id": task, "source": str(source), "sequence": sequence, "step": first, "series": series}
            await client.mutate(operation("ReportProgress"), given)


async def wait_for_compaction(database: Database) -> None:
    async with asyncio.timeout(PATIENCE):
        while await database.read("SELECT 1 FROM metric_chunk WHERE NOT compacted LIMIT 1"):
            await asyncio.sleep(0.05)


async def test_subscribers_who_come_and_go_get_every_point_once_and_in_order(
    server: Server, start: Start, team: Team, database: Database
) -> None:
    servers = [server, start(compact_seconds="0.1")]
    key = team.keys["ann"]
    async with Client(servers[0], key) as ann:
        made = await ann.mutate(operation("CreateTrainTask"), {"modelName": "m"})
        task = made["task"]["taskId"]
        await ann.mutate(operation("StartTrainTask"), {"id": task})
        total = 2 * 2 * REPORTS * POINTS
        subscribers = [Subscriber(servers, key, task, seed) for seed in range(3)]
        following = [asyncio.create_task(one.follow_until(total)) for one in subscribers]
        await asyncio.gather(*(report(server, key, task, source) for source, server in enumerate(servers)))
        await ann.mutate(operation("FinishTrainTask"), {"id": task})
        await asyncio.gather(*following)
        await wait_for_compaction(database)
        late = Subscriber(servers, key, task, 3)
        await late.follow_until(total)
    expected = sorted(source * 1_000_000 + n for source in (0, 1) for n in range(REPORTS * POINTS))
    for one in (*subscribers, late):
        assert one.points == subscribers[0].points, "there is one order"
        assert await one.is_all()
    assert all(one.visits > len(servers) for one in subscribers)
    for points in subscribers[0].points.values():
        values = [value for _, value in points]
        assert sorted(values) == expected, "each once"
        for source in (0, 1):
            own = [value for value in values if value // 1_000_000 == source]
            assert own == sorted(own), "each source's in its order"
