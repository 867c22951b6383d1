"""What is measured of training runs, small and without other trackers."""

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest

from app.db import Database, Options
from app.db.sqlite_file import connect
from bench import peers, report
from bench.chart import chart
from bench.databases import EmptyDatabases
from bench.in_process import running
from bench.ingest import Log, ingest
from bench.measure import Plan, Target
from bench.ours import serve
from bench.peers import MLFLOW, TRACKIO
from bench.scenarios import OURS, Figure, Result
from bench.sides import Given, Side, Stored
from bench.task_list import fill, page_body, task_list

ONCE = Plan(rounds=1, seconds=0.05, warm_up_seconds=0.05)


@pytest.fixture(autouse=True)
def _no_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "PEERS", tmp_path / "none")


async def test_reports_are_taken_by_several_writers_and_absent_trackers_named() -> None:
    full, normal = await ingest(ONCE, writers=(3,))
    assert (full.absent, normal.absent) == ((MLFLOW.label,), (TRACKIO.label,))
    for result in (full, normal):
        assert [target.name for target in result.targets] == [OURS]
        assert int(result.notes[OURS].partition(" ")[0].replace(",", "")) >= 3_000
    assert f"| {MLFLOW.label} | is not installed: `make bench-peers` |" in report.table([full])
    assert report.missed([full, normal]) == []


class Forgetful(Side):
    """Says yes, and stores the first report of two."""

    def begin(self, writers: int) -> None:
        """Nothing."""

    def request(self, writer: int, number: int, given: Given) -> bytes:
        if number == 0:
            self.given = given
        return b""

    def is_good(self, status: int, answer: bytes) -> bool:
        return status == 200

    async def stored(self, writer: int) -> Stored:
        return np.array(self.given.steps), np.array([float(value) for value in self.given.values])


async def test_what_was_acknowledged_and_is_not_there_is_seen() -> None:
    log = Log(Forgetful(Target("forgetful")), writers=1)
    requests = log.requests()
    for reports in (1, 2):
        writer, _ = next(requests)
        log.accept(writer, 200, b"")
        if reports == 1:
            assert await log.check() == 1_000
    with pytest.raises(AssertionError, match=r"2,000 points were acknowledged, and 1,000 are stored"):
        await log.check()
    with pytest.raises(AssertionError, match="answered 503"):
        log.accept(next(requests)[0], 503, b"busy")


async def test_a_curve_is_the_same_before_and_after_compaction_and_bytes_are_counted() -> None:
    after, before = await chart(ONCE, points=10_000)
    assert after.absent == before.absent == (MLFLOW.label,)
    [bytes_a_point] = after.figures
    assert 8 < bytes_a_point.found <= bytes_a_point.most
    assert not before.figures


async def test_a_page_of_tasks_is_asked_for_among_few_and_many(
    backend: str, new_database_url: Callable[[], Awaitable[str]]
) -> None:
    urls = [await new_database_url() for _ in range(2)]
    results = await task_list(EmptyDatabases(backend, urls), ONCE, few=420, many=840)
    assert [result.operation for result in results] == [
        "50 of 840 tasks, newest by START_TIME",
        "50 of 840 tasks, newest by ID",
    ]
    assert all([target.name for target in result.targets] == [OURS, "among 420 tasks"] for result in results)


async def test_somebodys_newest_tasks_come_in_the_order_of_an_index(
    backend: str, new_database_url: Callable[[], Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read of them does not depend on how many there are."""
    book, owner = await fill(url := await new_database_url(), 420)
    said: list[tuple[str, Sequence[Any]]] = []
    read = Database.read

    async def noted(self: Database, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        said.append((sql, params))
        return await read(self, sql, params)

    monkeypatch.setattr(Database, "read", noted)
    async with running(serve(url)) as (_, ask):
        await ask(book.admin.key, page_body(owner, "START_TIME"))
    plan = await _plan(url, *said[-1])
    assert "ix_train_task_user_id_status_start_time" in plan
    assert not re.search(r"Sort Key: \w+\.start_time", plan)


async def _plan(url: str, sql: str, params: Sequence[Any]) -> str:
    if url.startswith("sqlite"):
        with closing(connect(url.removeprefix("sqlite:///"), Options(), read_only=True)) as raw:
            return "\n".join(row[-1] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}", params))
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        for way in ("seqscan", "bitmapscan", "sort"):  # which cost less among so few
            await connection.execute(f"SET enable_{way} = off")
        return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *params))
    finally:
        await connection.close()


def test_a_figure_that_is_too_great_is_named() -> None:
    def result(found: float) -> Result:
        return Result("curve", "sqlite", [Target(OURS)], figures=[Figure("Bytes a point", found, 12.0)])

    assert report.missed([result(12.0)]) == []
    assert report.missed([result(12.5)]) == ["Bytes a point: 12.50, wanted 12 or less"]
