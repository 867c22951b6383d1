"""Those who take points of training runs: how each is asked to, and what it has stored.

A report is 1,000 points of one metric of one run, as each side's own interface takes it: ours and MLflow's have a time
for each point, Trackio's an id. Every writer has a run of its own.
"""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.services import open_book
from app.settings import load
from app.training.metrics.chunks import Chunk
from bench.load import http_request
from bench.measure import Target
from bench.operations import REPORT_PROGRESS, body
from bench.peers import WRITE_TOKEN
from bench.training_book import TrainingBook

REPORT = 1_000  # points
METRIC = "loss"
BEGAN = 1_790_000_000_000  # ms since 1970

Stored = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Steps and values of a run, by step."""


@dataclass(frozen=True, slots=True)
class Given:
    """The points of one report: steps, values as JSON, and times in ms since 1970."""

    steps: Sequence[int]
    values: Sequence[bytes]
    times: Sequence[int]


class Side(ABC):
    """One of those who are compared, for the writers 0, 1 ..."""

    def __init__(self, target: Target) -> None:
        self.target = target

    @abstractmethod
    def begin(self, writers: int) -> None:
        """Make the writers' runs, when the server answers."""

    @abstractmethod
    def request(self, writer: int, number: int, given: Given) -> bytes:
        """A writer's report, numbered from 0, for the wire."""

    @abstractmethod
    def is_good(self, status: int, answer: bytes) -> bool:
        """Whether it was acknowledged."""

    @abstractmethod
    async def stored(self, writer: int) -> Stored:
        """What is in the database when the server has ended."""


class OurSide(Side):
    """reportProgress."""

    def __init__(self, target: Target, book: TrainingBook) -> None:
        super().__init__(target)
        self._book = book

    def begin(self, writers: int) -> None:
        assert writers <= len(self._book.task_ids), "the book has its tasks already"

    def request(self, writer: int, number: int, given: Given) -> bytes:
        values = orjson.Fragment(b"[%b]" % b",".join(given.values))
        series = {"metric": METRIC, "steps": given.steps, "values": values, "times": given.times}
        report = {"id": f"tsk_{self._book.task_ids[writer]}", "sequence": number, "series": [series]}
        return http_request("/graphql", self._book.admin.key, body(REPORT_PROGRESS, {"input": report}))

    def is_good(self, status: int, answer: bytes) -> bool:
        return status == 200 and b'"accepted":%d,' % REPORT in answer and b'"errors":[]' in answer

    async def stored(self, writer: int) -> Stored:
        async with await open_book(load(database_url=self.target.url)) as database:
            [(metric_id, count)] = await database.read(
                "SELECT id, points FROM metric WHERE task_id = ?", (self._book.task_ids[writer],)
            )
            rows = await database.read(_CHUNKS, (metric_id,))
        points = [Chunk(*row).points() for row in rows]
        assert count == sum(map(len, points)), f"The metric says that it has {count:,} points."
        return _by_step([one.steps for one in points], [one.values for one in points])


class MlflowSide(Side):
    """log-batch."""

    def __init__(self, target: Target, folder: Path) -> None:
        super().__init__(target)
        self._file = folder / "mlflow.db"
        self.runs: list[str] = []

    def begin(self, writers: int) -> None:
        experiment = self._post("experiments/create", {"name": f"with {writers} writers"})["experiment_id"]
        for _ in range(writers):
            made = self._post("runs/create", {"experiment_id": experiment, "start_time": BEGAN})
            self.runs.append(made["run"]["info"]["run_id"])

    def request(self, writer: int, number: int, given: Given) -> bytes:
        points = [
            b'{"key":"loss","value":%b,"timestamp":%d,"step":%d}' % (value, milliseconds, step)
            for step, value, milliseconds in zip(given.steps, given.values, given.times, strict=True)
        ]
        made = b'{"run_id":"%b","metrics":[%b],"params":[],"tags":[]}' % (self.runs[writer].encode(), b",".join(points))
        return http_request("/api/2.0/mlflow/runs/log-batch", "-", made)

    def is_good(self, status: int, answer: bytes) -> bool:
        return (status, answer) == (200, b"{}")

    async def stored(self, writer: int) -> Stored:
        with closing(sqlite3.connect(self._file)) as connection:
            asked = "SELECT step, value FROM metrics WHERE run_uuid = ? AND NOT is_nan"
            rows = connection.execute(asked, (self.runs[writer],)).fetchall()
        return _columns(rows)

    def _post(self, path: str, content: dict[str, Any]) -> Any:
        url = f"http://127.0.0.1:{self.target.port}/api/2.0/mlflow/{path}"
        asked = urllib.request.Request(url, json.dumps(content).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)


class TrackioSide(Side):
    """bulk_log."""

    def __init__(self, target: Target, folder: Path) -> None:
        super().__init__(target)
        self._file = folder / "bench.db"

    def begin(self, writers: int) -> None:
        """Runs begin with their first points."""

    def request(self, writer: int, number: int, given: Given) -> bytes:
        name = b"run-%d" % writer
        logs = [
            b'{"project":"bench","run":"%b","run_id":"%b","metrics":{"loss":%b},"step":%d,"log_id":"%b-%d"}'
            % (name, name, value, step, name, step)
            for step, value in zip(given.steps, given.values, strict=True)
        ]
        made = b'{"logs":[%b],"hf_token":null}' % b",".join(logs)
        return http_request("/api/bulk_log", "-", made, f"x-trackio-write-token: {WRITE_TOKEN}")

    def is_good(self, status: int, answer: bytes) -> bool:
        return (status, answer) == (200, b'{"data":null}')

    async def stored(self, writer: int) -> Stored:
        with closing(sqlite3.connect(self._file)) as connection:
            asked = "SELECT step, metrics FROM metrics WHERE run_id = ?"
            rows = connection.execute(asked, (f"run-{writer}",)).fetchall()
        return _columns([(step, orjson.loads(said)[METRIC]) for step, said in rows])


_CHUNKS = """
    SELECT points, lowest_step, highest_step, first_arrival, last_arrival, steps, "values", times, arrivals, pyramid
    FROM metric_chunk WHERE metric_id = ?"""


def _columns(rows: Sequence[tuple[int, float]]) -> Stored:
    return _by_step([np.array([step for step, _ in rows], np.int64)], [np.array([value for _, value in rows])])


def _by_step(steps: Sequence[NDArray[np.int64]], found: Sequence[NDArray[np.float64]]) -> Stored:
    all_steps, all_values = np.concatenate(steps), np.concatenate(found)
    order = np.argsort(all_steps, kind="stable")
    return all_steps[order], all_values[order]
