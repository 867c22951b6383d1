"""A page of a person's finished tasks, newest first: among 100,000 tasks beside among 1,000.

In both books a fourth of the tasks are that person's, and half of these succeeded; every task has four metrics. The
tasks are copies of one that was entered and reported by the product itself, made by a few statements.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import Table

from app.accounts.tables import Role
from app.accounts.users import NewUser, insert_user
from app.db import UnitOfWork
from app.services import open_book
from app.settings import load
from app.training.lifecycle import finish_train_task
from app.training.report_content import ReportInput, check_report
from app.training.reports import report_progress
from app.training.tables import Metric, TrainTask
from bench.databases import EmptyDatabases, execute
from bench.load import http_request, one_answer
from bench.measure import Plan, Target, measure, serving
from bench.operations import PAGE_SIZE, TRAIN_TASKS, body
from bench.scenarios import OURS, Asked, Result
from bench.training_book import TrainingBook, training_book

FEW, MANY = 1_000, 100_000
AS_LONG = 1.5  # as among few, at most
ORDERS = ("START_TIME", "ID")
METRICS = ("accuracy", "grad_norm", "loss", "lr")

_OWNERS = 4
_SHORTER = 4
_SERIES = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n) AS n"


async def task_list(databases: EmptyDatabases, plan: Plan, few: int = FEW, many: int = MANY) -> list[Result]:
    """Newest by start and by entry, as ADMIN, over HTTP on one connection; on two empty databases.

    A page takes milliseconds: many short rounds tell more than few long ones.
    """
    plan = replace(plan, rounds=plan.rounds * _SHORTER, seconds=plan.seconds / _SHORTER)
    books = [await fill(url, count) for url, count in zip(databases.urls, (many, few), strict=True)]
    names = (OURS, f"among {few:,} tasks")
    targets = [Target(name, "bench.ours:serve", url) for name, url in zip(names, databases.urls, strict=True)]
    results = []
    with serving(targets):
        for order in ORDERS:
            asked = [replace(target, rounds=[]) for target in targets]
            requests = {target.name: page_request(*book, order) for target, book in zip(targets, books, strict=True)}
            await _measure(asked, requests, plan, databases.pid)
            operation = f"{PAGE_SIZE} of {many:,} tasks, newest by {order}"
            results.append(Result(operation, databases.kind, asked, goals={names[1]: 1 / AS_LONG}))
    return results


async def _measure(targets: list[Target], requests: Mapping[str, bytes], plan: Plan, pid: int | None) -> None:
    for target in targets:
        _check(orjson.loads(await one_answer(target.port, requests[target.name])))

    def asking(target: Target) -> Asked:
        def accept(_: Any, status: int, answer: bytes) -> None:
            if status != 200 or answer.count(b'"taskId"') != PAGE_SIZE:
                raise AssertionError(f"{target.name} answered {status}: {answer[:300]!r}")

        return itertools.repeat((None, requests[target.name])), accept

    await measure(targets, asking, plan, pid, connections=1)


def page_request(book: TrainingBook, owner: str, order: str) -> bytes:
    """For somebody's tasks that succeeded, for the wire."""
    return http_request("/graphql", book.admin.key, page_body(owner, order))


def page_body(owner: str, order: str) -> bytes:
    """The same without its head."""
    query = TRAIN_TASKS.replace("    totalCount\n", "")
    assert query != TRAIN_TASKS
    where = {"and": [{"createUser": {"eq": owner}}, {"status": {"eq": "SUCCESS"}}]}
    asked = {"where": where, "orderBy": [{"field": order, "direction": "DESC"}], "first": PAGE_SIZE}
    return body(query, asked)


def _check(page: Any) -> None:
    nodes = page["data"]["trainTasks"]["nodes"]
    ok = (
        len(nodes) == PAGE_SIZE
        and len({node["createUser"]["id"] for node in nodes}) == 1
        and {node["status"] for node in nodes} == {"SUCCESS"}
        and all(tuple(metric["name"] for metric in node["metrics"]) == METRICS for node in nodes)
    )
    if not ok:
        raise AssertionError(f"This is not the page that was asked for: {orjson.dumps(page)[:500]!r}")


async def fill(url: str, count: int) -> tuple[TrainingBook, str]:
    """A book of so many tasks, and whose are asked for."""
    book = await training_book(url, 1)
    async with await open_book(load(database_url=url)) as database:
        await database.transact(_finish_first, book.task_ids[0], viewer=book.admin.viewer)
        owners = await database.transact(_owners, book.workspace)
        await database.transact(_copy, book.task_ids[0], owners, count)
    if not url.startswith("sqlite"):
        await execute(url, "VACUUM ANALYZE")
    return book, "owner-0"


def _owners(uow: UnitOfWork, workspace: int) -> list[int]:
    ids = uow.new_ids(_OWNERS)
    for place, number in enumerate(ids):
        insert_user(uow, number, NewUser(f"owner-{place}", Role.ANNOTATOR, workspace_ids=(workspace,)))
    return ids


def _finish_first(uow: UnitOfWork, task_id: int) -> None:
    series = [{"metric": name, "steps": [1, 2, 3], "values": [0.3, 0.1, 0.2]} for name in METRICS]
    report = check_report(ReportInput(task_id, 0, step=3, series=series), int(uow.now.timestamp() * 1000))
    report_progress(uow, report, datetime.timedelta(days=1))
    finish_train_task(uow, task_id)


def _copy(uow: UnitOfWork, task_id: int, owners: list[int], count: int) -> None:
    """Copies with other owners, states, starts and values: two statements."""
    is_sqlite = uow.dialect_name == "sqlite"
    series = _SERIES.format(count=count)
    owner = f"CASE i % {_OWNERS} {' '.join(f'WHEN {at} THEN {number}' for at, number in enumerate(owners))} END"
    minutes = f"(i * 7919) % {count}"  # tasks do not start in the order in which they were entered
    start = (
        f"strftime('%Y-%m-%dT%H:%M:%S.000000Z', start_time, '-' || ({minutes}) || ' minutes')"
        if is_sqlite
        else f"start_time - make_interval(mins => CAST({minutes} AS integer))"
    )
    tasks = {
        "id": f"task.id + i * {len(METRICS) + 1}",
        "task_uuid": "substr('00000000-0000-4000-8000-000000000000', 1, 36 - length(CAST(i AS text))) || i",
        "user_id": owner,
        "status": f"CASE i / {_OWNERS} % 2 WHEN 0 THEN 'SUCCESS' ELSE 'FAILED' END",
        "start_time": start,
    }
    metrics = {
        "id": f"metric.id + i * {len(METRICS) + 1} * 4096",
        "task_id": f"metric.task_id + i * {len(METRICS) + 1}",
        "last": "last + 0.001 * (i % 500)",
    }
    for table, name, changed, where in (
        (TrainTask.__table__, "task", tasks, "id"),
        (Metric.__table__, "metric", metrics, "task_id"),
    ):
        assert isinstance(table, Table)
        columns = [column.name for column in table.columns]
        made = ", ".join(changed.get(column, f'{name}."{column}"') for column in columns)
        into = ", ".join(f'"{column}"' for column in columns)
        uow.fetch(
            f"INSERT INTO {table.name} ({into}) SELECT {made} FROM {table.name} AS {name}, {series}"
            f" WHERE {name}.{where} = {task_id}"
        )
