"""One task, many who watch it: the CPU of a delivered message, against a bare Starlette WebSocket loop.

    python -m bench.fanout [--quick] [--subscribers 1000]

Both servers run the whole time, one process each, and are driven in turn. In a round so many sockets subscribe, reports
of 10 points come 20 times a second, and every socket has to get every point exactly once and in order; the bare server
is posted texts as long as our messages, and sends each to all its sockets by `send_text`. The CPU is that of the whole
server process from the first report to the last delivery: for ours also taking, storing and reading the reports.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.accounts.bootstrap import ensure_workspace
from app.accounts.credentials import insert_key
from app.accounts.tables import Role
from app.accounts.users import NewUser, insert_user
from app.db import UnitOfWork
from app.db.migrate import upgrade
from app.services import open_book
from app.settings import load
from bench.cpu import tree_seconds
from bench.in_process import running
from bench.load import http_request
from bench.measure import Spread, Target, serving
from bench.operations import body
from bench.ours import serve
from bench.websocket import Socket, connected

OURS, BARE = "Gradbook", "bare WebSocket loop"
SUBSCRIBERS = 1000
REPORTS_PER_SECOND = 20
POINTS = 10
BOUND = 2.0
"""The most that a delivered message may cost, in those of the bare loop."""

_PATIENCE = 60


@dataclass(frozen=True, slots=True)
class FanRound:
    """One server in one round: CPU seconds of the server per delivered message, seconds to subscribe all."""

    cpu_per_message: float
    messages: int
    expected: int
    missing: int
    p50: float
    p99: float
    subscribe_seconds: float
    subscribe_cpu: float
    generator_share: float


class Side:
    """A server, and how it is reported to and understood. Reports, and points in them, are numbered from 0."""

    def __init__(self, target: Target, said: Sequence[bytes], *, points_per_report: int) -> None:
        self.target = target
        self._said = said
        self.points_per_report = points_per_report
        self.rounds: list[FanRound] = []
        self.reported = 0
        self.typical_length = 0.0
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]

    @property
    def said(self) -> Sequence[bytes]:
        """What a new socket says."""
        return self._said

    async def report(self, number: int) -> None:
        """Report, and wait for the answer."""
        raise NotImplementedError

    async def connect(self) -> None:
        """Open the connection that the reports of a round go over."""
        self._connection = await asyncio.open_connection("127.0.0.1", self.target.port)

    async def ask(self, request: bytes) -> bytes:
        """The answer to a request on that connection."""
        reader, writer = self._connection
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = await reader.readexactly(length)
        if not head.startswith(b"http/1.1 200"):
            raise AssertionError(f"{self.target.name} answered {head!r} {answer!r}")
        return answer

    def points(self, message: bytes) -> Sequence[int]:
        """The numbers of the points that a message holds."""
        raise NotImplementedError


# The bare server


def bare(_url: str) -> Starlette:
    """What is posted to /report goes to all sockets."""
    sockets: set[WebSocket] = set()

    async def join(websocket: WebSocket) -> None:
        await websocket.accept("graphql-transport-ws")
        await websocket.receive_text()
        await websocket.send_text("0")
        sockets.add(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            sockets.discard(websocket)

    async def report(request: Request) -> Response:
        text = (await request.body()).decode()
        for websocket in list(sockets):
            await websocket.send_text(text)
        return Response("sent")

    return Starlette(routes=[WebSocketRoute("/graphql", join), Route("/report", report, methods=["POST"])])


class BareSide(Side):
    """Texts as long as the messages of the other side, that begin with their number."""

    def __init__(self) -> None:
        super().__init__(Target(BARE, "bench.fanout:bare", "-"), [b"join"], points_per_report=1)
        self.length = 240

    async def report(self, number: int) -> None:
        text = f"{number:08d}".ljust(self.length, "x").encode()
        await self.ask(http_request("/report", "-", text))

    def points(self, message: bytes) -> Sequence[int]:
        return [int(message[:8])] if len(message) > 1 else []


# Ours

_SUBSCRIPTION = """subscription TrainProgress($task: ID!, $after: String) {
  trainProgress(taskId: $task, after: $after) { cursor series { metric steps values } }
}"""
_CREATE = "mutation C($input: CreateTrainTaskInput!) { createTrainTask(input: $input) { task { id } } }"
_START = "mutation S($input: StartTrainTaskInput!) { startTrainTask(input: $input) { task { id } } }"
_REPORT = "mutation R($input: ReportProgressInput!) { reportProgress(input: $input) { accepted nextSequence } }"


class OurSide(Side):
    """Reports of 10 points to one task. The steps go on from round to round, and each round begins at the present."""

    def __init__(self, url: str, key: str, task: str) -> None:
        super().__init__(Target(OURS, "bench.ours:serve", url), (), points_per_report=POINTS)
        self._key = key
        self._task = task
        self._cursor: str | None = None

    @property
    def said(self) -> Sequence[bytes]:
        """The lines of a new socket, which goes on after what was told in the last round."""
        variables = {"task": self._task, "after": self._cursor}
        payload = {"query": _SUBSCRIPTION, "variables": variables}
        return [
            orjson.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {self._key}"}}),
            orjson.dumps({"type": "subscribe", "id": "1", "payload": payload}),
        ]

    async def report(self, number: int) -> None:
        steps = list(range(POINTS * number, POINTS * (number + 1)))
        series = [{"metric": "loss", "steps": steps, "values": [round(1 / (step + 1), 4) for step in steps]}]
        given = {"id": self._task, "sequence": number, "series": series}
        answer = await self.ask(http_request("/graphql", self._key, body(_REPORT, {"input": given})))
        if orjson.loads(answer)["data"] != {"reportProgress": {"accepted": POINTS, "nextSequence": number + 1}}:
            raise AssertionError(f"A report was answered by {answer!r}")

    def points(self, message: bytes) -> Sequence[int]:
        said = orjson.loads(message)
        if said["type"] != "next":
            return []
        told = said["payload"]["data"]["trainProgress"]
        self._cursor = told["cursor"]
        return [step for series in told["series"] for step in series["steps"]]


# A round


async def run_round(side: Side, subscribers: int, seconds: float) -> None:
    """Subscribe, report for so long, and check what every socket got; the round is added to the side's."""
    meanings: dict[bytes, Sequence[int]] = {}

    def points(message: bytes) -> Sequence[int]:
        if message not in meanings:
            meanings[message] = side.points(message)
        return meanings[message]

    def everybody_has(number: int) -> bool:
        last = side.points_per_report * (number + 1) - 1
        return all(one.frames and points(one.frames[-1][1])[-1:] == [last] for one in sockets)

    first = side.reported
    pid, began, cpu = side.target.pid, time.perf_counter(), tree_seconds(side.target.pid)
    async with connected(side.target.port, side.said, subscribers) as sockets:
        await _until(lambda: all(one.frames for one in sockets))
        await side.connect()
        await side.report(first)
        await _until(lambda: everybody_has(first))
        subscribe_seconds, subscribe_cpu = time.perf_counter() - began, tree_seconds(pid) - cpu
        for one in sockets:
            one.frames.clear()
        own, cpu, began = time.process_time(), tree_seconds(pid), time.perf_counter()
        numbers = range(first + 1, first + 1 + round(REPORTS_PER_SECOND * seconds))
        due = {number: began + index / REPORTS_PER_SECOND for index, number in enumerate(numbers)}
        for number in numbers:
            await asyncio.sleep(due[number] - time.perf_counter())
            await side.report(number)
        await _until(lambda: everybody_has(numbers[-1]), fails=False)
        spent, own, took = tree_seconds(pid) - cpu, time.process_time() - own, time.perf_counter() - began
        side.reported = numbers[-1] + 1
        expected = list(range(numbers[0] * side.points_per_report, side.reported * side.points_per_report))
        missing = sum(_missing(side, one, expected, points) for one in sockets)
        delays = sorted(
            at - due[points(message)[0] // side.points_per_report]
            for one in sockets
            for at, message in one.frames
            if points(message)
        )
        messages = len(delays)
        side.rounds.append(
            FanRound(
                spent / messages,
                messages,
                len(numbers) * subscribers,
                missing,
                delays[len(delays) // 2],
                delays[len(delays) * 99 // 100],
                subscribe_seconds,
                subscribe_cpu / subscribers,
                own / took,
            )
        )
        side.typical_length = statistics.median(len(message) for message, meant in meanings.items() if meant)


def _missing(side: Side, socket: Socket, expected: Sequence[int], points: Callable[[bytes], Sequence[int]]) -> int:
    """How many of the points a socket has not got. Raises AssertionError for one that came twice or out of order."""
    got = [point for _, message in socket.frames for point in points(message)]
    if got != expected[: len(got)]:
        raise AssertionError(f"{side.target.name}: a socket got {got[:50]}…, not {expected[:50]}…")
    return len(expected) - len(got)


async def _until(holds: Callable[[], bool], *, fails: bool = True) -> None:
    until = time.perf_counter() + _PATIENCE
    while not holds():
        if time.perf_counter() > until:
            if fails:
                raise TimeoutError("Not everybody got the first report.")
            return
        await asyncio.sleep(0.02)


# The whole


async def fan_out(url: str, *, subscribers: int, rounds: int, seconds: float) -> tuple[Side, Side]:
    """Both sides, driven in turn, on an empty migrated database."""
    key, task = await _prepared(url)
    ours, bare_side = OurSide(url, key, task), BareSide()
    with serving([ours.target, bare_side.target]):
        for number in range(rounds):
            # Ours goes first in the first round, which tells how long a message is.
            for side in (ours, bare_side) if number % 2 == 0 else (bare_side, ours):
                await run_round(side, subscribers, seconds)
                bare_side.length = round(ours.typical_length)
    return ours, bare_side


async def _prepared(url: str) -> tuple[str, str]:
    """An owner's key, and a task of theirs."""

    def owner(uow: UnitOfWork) -> str:
        return insert_key(uow, insert_user(uow, uow.new_id(), NewUser("watcher", Role.OWNER)), "bench")[1]

    async with await open_book(load(database_url=url)) as database:
        await database.transact(ensure_workspace)
        key = await database.transact(owner)
    async with running(serve(url)) as (_, ask):
        made = orjson.loads(await ask(key, body(_CREATE, {"input": {"modelName": "m"}})))
        task = made["data"]["createTrainTask"]["task"]["id"]
        await ask(key, body(_START, {"input": {"id": task}}))
    return key, task


def ratio(ours: Side, other: Side) -> Spread:
    """What a delivered message costs, in those of the other side, round by round."""
    return Spread.of(
        mine.cpu_per_message / theirs.cpu_per_message for mine, theirs in zip(ours.rounds, other.rounds, strict=True)
    )


def table(ours: Side, other: Side) -> str:
    """The result as a Markdown table."""
    lines = [
        "| fan-out | CPU µs / message | ours / bare | missing | frames / report | p50 ms | p99 ms | subscribe all s "  # noqa: ISC004
        "| CPU ms / subscription | generator |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    spread = ratio(ours, other)
    compared = f"**{spread.median:.2f}** ({spread.least:.2f}-{spread.greatest:.2f}, ≤ {BOUND:g} wanted)"
    for side in (ours, other):
        cost = Spread.of(1e6 * one.cpu_per_message for one in side.rounds)
        cells = [
            f"{side.target.name}, {side.rounds[0].expected:,} messages a round",
            f"**{cost.median:.1f}** ({cost.least:.1f}-{cost.greatest:.1f})",
            compared if side is ours else "",
            f"{sum(one.missing for one in side.rounds):,}",
            f"{sum(one.messages for one in side.rounds) / sum(one.expected for one in side.rounds):.3f}",
            f"{_median(1000 * one.p50 for one in side.rounds):.0f}",
            f"{_median(1000 * one.p99 for one in side.rounds):.0f}",
            f"{_median(one.subscribe_seconds for one in side.rounds):.2f}",
            f"{_median(1000 * one.subscribe_cpu for one in side.rounds):.2f}",
            f"{max(one.generator_share for one in side.rounds):.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def missed(ours: Side, other: Side) -> list[str]:
    """The goals that were not reached."""
    found = []
    if (lost := sum(one.missing for one in ours.rounds)) > 0:
        found.append(f"fan-out: {lost:,} points are missing")
    if (cost := ratio(ours, other).median) > BOUND:
        found.append(f"fan-out: {cost:.2f} × the CPU of the {BARE}, wanted {BOUND:g} or less")
    return found


def _median(values: Iterable[float]) -> float:
    return Spread.of(values).median


def main() -> int:
    """Measure, and print the table; the exit code is 1 when the bound is exceeded."""
    parser = argparse.ArgumentParser(prog="python -m bench.fanout", description="Live fan-out against a bare loop.")
    parser.add_argument("--quick", action="store_true", help="few and short rounds, to try things")
    parser.add_argument("--subscribers", type=int, default=SUBSCRIBERS)
    given = parser.parse_args()
    rounds, seconds = (2, 2.0) if given.quick else (7, 5.0)
    with tempfile.TemporaryDirectory(prefix="gradbook-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'book.db'}"
        upgrade(url)
        sides = uvloop.run(fan_out(url, subscribers=given.subscribers, rounds=rounds, seconds=seconds))
    print(table(*sides))
    for line in (wrong := missed(*sides)):
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
