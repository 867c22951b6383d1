"""metrics.csv has every point once, in order, whatever happens to the chunks meanwhile; and only for who may see it."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from app.accounts.access import OPERATOR
from app.accounts.viewer import Viewer
from app.db import Database
from app.training import point_export
from app.training.compactor import Due, compact_task, compact_waiting
from app.training.http import routes
from app.training.point_export import IncompleteError, export_points, find_points
from app.training.tasks import delete_train_task, purge_train_task
from tests.annotation.book import Book
from tests.annotation.test_transfer_http import said
from tests.training import runs
from tests.training.tasks import NOW, Run, series

Row = tuple[str, int, str, int]  # metric, step, value, time


@pytest.fixture
async def run(database: Database) -> Run:
    return await Run.make(database)


@pytest.fixture
async def client(book: Book) -> AsyncIterator[httpx2.AsyncClient]:
    """The header `as` says who calls."""

    async def identify(request: Request) -> Viewer | None:
        return book.users.get(request.headers.get("as", ""))

    app = Starlette(routes=routes(lambda _: book.database, identify))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        yield client


def rows(text: str) -> list[Row]:
    header, *found = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == ["metric", "step", "value", "time"]
    return [(metric, int(step), value, int(time)) for metric, step, value, time in found]


async def exported(run: Run, *metrics: str) -> list[Row]:
    found = await find_points(run.database, run.viewer, run.task, metrics)
    return rows(b"".join([part async for part in export_points(run.database, found)]).decode())


def drawn(chance: random.Random, metric: str, count: int) -> tuple[dict[str, Any], list[Row]]:
    """A series and the rows that it is to be."""
    steps = [chance.randint(-5, 2**53 - 1) for _ in range(count)]
    kinds: list[float | str] = [1e-300, 0.0, "NaN", "Infinity", "-Infinity"]
    values = [chance.choice([chance.gauss(0, 1), *kinds]) for _ in range(count)]
    times = [chance.randint(0, 2**40) for _ in range(count)]
    shown = [value if isinstance(value, str) else repr(value) for value in values]
    return series(metric, steps, values, times), [(metric, *row) for row in zip(steps, shown, times, strict=True)]


async def report(run: Run, chance: random.Random, sequence: int, expected: dict[str, list[Row]]) -> None:
    parts = [drawn(chance, metric, chance.randint(1, 400)) for metric in ("loss", 'a "b",\nc', "精度")]
    await run.report(sequence, *(part for part, _ in parts))
    for part, lines in parts:
        expected.setdefault(part["metric"], []).extend(lines)


def by_name(expected: dict[str, list[Row]]) -> list[Row]:
    return [line for name in sorted(expected) for line in expected[name]]


def comparable(lines: list[Row]) -> list[Row]:
    """A number may be written in several ways."""
    return [(metric, step, repr(float(value)), time) for metric, step, value, time in lines]


async def test_the_points_are_those_that_were_reported_in_order_of_arrival(run: Run) -> None:
    chance, expected = random.Random(1), dict[str, list[Row]]()
    assert await exported(run) == []
    for sequence in range(40):
        await report(run, chance, sequence, expected)
        if sequence == 25:
            await compact_waiting(run.database, set())
    found = await exported(run)
    assert comparable(found) == comparable(by_name(expected))
    assert {row[2] for row in found if not row[2][-1].isdigit()} == {"NaN", "Infinity", "-Infinity"}
    assert [row for row in found if row[0] in {"loss", "精度"}] == await exported(run, "精度", "loss", "精度")


async def test_no_point_is_lost_or_doubled_while_chunks_are_exchanged_and_reports_arrive(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(point_export, "PAGE_CHUNKS", 7)
    monkeypatch.setattr(point_export, "PAGE_POINTS", 300)
    chance, expected = random.Random(2), dict[str, list[Row]]()
    for sequence in range(30):
        await report(run, chance, sequence, expected)
    there = comparable(by_name(expected))
    parts, halfway = [], 0
    found = await find_points(run.database, run.viewer, run.task, ())
    ids = {one.name: one.metric_id for one in found.series}
    async for part in export_points(run.database, found):
        parts.append(part)
        await report(run, chance, 29 + len(parts), expected)
        [(metric, *_), *_] = csv.reader(io.StringIO(part.decode(), newline=""))
        if metric in ids:  # what is being read becomes one chunk, from the beginning to the newest report
            halfway += await compact_task(run.database, Due(run.task, (ids.pop(metric),)))
    assert halfway == 3
    assert comparable(rows(b"".join(parts).decode())) == there
    assert comparable(await exported(run)) == comparable(by_name(expected))


async def test_points_that_are_gone_break_the_file_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_export, "PAGE_POINTS", 1)
    for sequence in range(3):
        await run.report(sequence, series("loss", [sequence], [0.5]))
    parts = export_points(run.database, await find_points(run.database, run.viewer, run.task, ()))
    assert [await anext(parts), await anext(parts)] == [point_export.HEADER, f"loss,0,0.5,{NOW}\r\n".encode()]
    await run.database.transact(purge_train_task, run.task, viewer=OPERATOR)
    with pytest.raises(IncompleteError, match=r'Of 3 points of "loss" of tsk_\d+ there are 1 now'):
        await anext(parts)


async def test_over_http(client: httpx2.AsyncClient, book: Book) -> None:
    number = await runs.task(book)
    (uuid,) = (await runs.row(book, number, "task_uuid"),)
    await Run(book.database, number, book.users["ada"], book.workspace).report(0, series("loss", [1], ["NaN"]))
    for name in (f"tsk_{number}", uuid, uuid.replace("-", "").upper()):
        answer = await client.get(f"/tasks/{name}/metrics.csv", headers={"as": "ada"})
        assert (answer.status_code, answer.text) == (200, f"metric,step,value,time\r\nloss,1,NaN,{NOW}\r\n")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''tsk_{number}-metrics.csv"
        assert answer.headers["cache-control"] == "no-store"
        head = await client.head(f"/tasks/{name}/metrics.csv", headers={"as": "ada"})
        assert (head.status_code, head.content, dict(head.headers)) == (200, b"", dict(answer.headers))


async def test_who_may_read_and_what_is_refused(client: httpx2.AsyncClient, book: Book) -> None:
    number = await runs.task(book)
    path = f"/tasks/tsk_{number}/metrics.csv"

    async def status(who: str, path: str = path) -> int:
        return (await client.get(path, headers={"as": who})).status_code

    assert [await status(who) for who in ("ada", "admin", "owner")] == [200, 200, 200]
    hidden = said(await client.get(path, headers={"as": "ben"}))
    assert hidden == (404, "NOT_FOUND", f"There is no training task tsk_{number} that you can see.")
    assert await status("stranger") == 404
    assert said(await client.get("/tasks/tsk_5/metrics.csv", headers={"as": "owner"}))[:2] == (404, "NOT_FOUND")
    nobody = await client.get(path)
    assert said(nobody)[:2] == (401, "UNAUTHENTICATED")
    assert nobody.headers["www-authenticate"] == "Bearer"
    for name in ("dst_5", "x"):
        assert said(await client.get(f"/tasks/{name}/metrics.csv", headers={"as": "ada"}))[:2] == (400, "INVALID_ID")
    assert said(await client.get(f"{path}?metrics=loss", headers={"as": "ada"}))[2].startswith("There is no option")
    unknown = said(await client.get(f"{path}?metric=los", headers={"as": "ada"}))
    assert unknown == (404, "NOT_FOUND", f'tsk_{number} has no metric "los"; there is none.')
    posted = await client.post(path, headers={"as": "ada"})
    assert said(posted) == (405, "INVALID_INPUT", "POST is not supported here: send GET or HEAD.")
    assert posted.headers["allow"] == "GET, HEAD"

    await book.act("ada", delete_train_task, number)
    assert await status("ada") == 200
    await book.act("admin", purge_train_task, number)
    assert await status("ada") == 404
