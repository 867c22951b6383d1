"""The example trains, learns, and reports every point once, whatever happens to the server meanwhile."""

from __future__ import annotations

import csv
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import Start
from tests.server.conftest import start as start
from tests.support.server import Client, Server

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 300  # of a loaded machine; it takes some ten
TASK = "query ($id: ID!) { trainTask(id: $id) { status error summary step totalSteps metrics { name points last } } }"
CANCEL = "mutation ($input: CancelTrainTaskInput!) { cancelTrainTask(input: $input) { errors { message } } }"


class Training:
    """The example as a process."""

    def __init__(self, server: Server, folder: Path, old: str = "", new: str = "", key: str | None = None) -> None:
        self._screen = folder / f"training-{time.monotonic_ns()}.txt"
        path = folder / "train.toml"
        path.write_text((EXAMPLES / "train_lora.toml").read_text().replace(old, new))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRADBOOK_")}
        given = {"GRADBOOK_URL": server.address, "GRADBOOK_API_KEY": key or str(server.key)}
        with self._screen.open("w") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", str(EXAMPLES / "train_lora.py"), "--config", str(path)],
                env=inherited | given,
                stdout=screen,
                stderr=screen,
            )

    @property
    def said(self) -> str:
        return self._screen.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Until it says so."""
        until = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.said)):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.05)
        return found

    def __enter__(self) -> Training:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
async def port() -> int:
    """A free one, for a server that comes back where it was."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
async def client(start: Start, port: int) -> AsyncIterator[tuple[Server, Client]]:
    server = start(port=str(port))
    async with Client(server, server.key) as client:
        yield server, client


async def task_of(client: Client, training: Training) -> Any:
    number = training.wait_for(r"Training (tsk_\d+)")[1]
    return (await client.run(TASK, {"id": number}))["trainTask"] | {"id": number}


async def test_it_beats_its_baselines_and_reports_every_point_once_though_the_server_dies(
    client: tuple[Server, Client], tmp_path: Path
) -> None:
    server, book = client
    with Training(server, tmp_path) as training:
        training.wait_for("epoch 3:")
        server.kill()
        training.wait_for("epoch 6:")
        server.start()
        assert training.process.wait(SECONDS) == 0, training.said
    task = await task_of(book, training)
    assert task["status"] == "SUCCESS"
    summary = task["summary"]
    assert summary["accuracy"] > summary["baseAccuracy"] + 0.08
    assert summary["baseAccuracy"] > summary["majority"] + 0.02
    assert training.said.splitlines()[-1] == f"Done: {summary['accuracy']:.3f} of the held-out passages are right."
    steps = 60 * -(-1658 // 16)
    assert (task["step"], task["totalSteps"]) == (steps, steps)
    answer = await book.http.get(f"/tasks/{task['id']}/metrics.csv", params={"metric": "loss"})
    assert [int(row[1]) for row in list(csv.reader(answer.text.splitlines()))[1:]] == [*range(1, steps + 1)]
    losses = [float(row[2]) for row in list(csv.reader(answer.text.splitlines()))[1:]]
    assert sum(losses[-100:]) < 0.1 * sum(losses[:100])


async def test_a_canceled_task_stops(client: tuple[Server, Client], tmp_path: Path) -> None:
    server, book = client
    with Training(server, tmp_path) as training:
        training.wait_for("epoch 1:")
        task = await task_of(book, training)
        await book.mutate(CANCEL, {"id": task["id"]})
        assert training.process.wait(SECONDS) == 0, training.said
    assert training.said.endswith("Stopped: the task was canceled.\n")
    assert (await task_of(book, training))["status"] == "CANCELED"


async def test_what_goes_wrong_is_told(client: tuple[Server, Client], tmp_path: Path) -> None:
    server, book = client
    with Training(server, tmp_path, "seed = 1", "seed = ") as training:
        assert training.process.wait(SECONDS) == 1
    assert "RefusedError: " in training.said
    with Training(server, tmp_path, key="gb_" + "x" * 43) as training:
        assert training.process.wait(SECONDS) == 1
    assert "RefusedError: HTTP Error 401" in training.said
    assert (await book.run("{ trainTasks { totalCount } }"))["trainTasks"]["totalCount"] == 0
    with Training(server, tmp_path, "hidden = 256", "hidden = -1") as training:
        assert training.process.wait(SECONDS) == 1
    task = await task_of(book, training)
    assert (task["status"], task["metrics"]) == ("FAILED", [])
    assert task["error"] == training.said.splitlines()[-1]
