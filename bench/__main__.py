"""`make bench`: measures, prints a table, and writes `bench/results.json`.

`make bench ARGS=--quick` is short, to try things; `--database` and `--operation` choose. The exit code is 1 when a goal
was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import uvloop

from app.db.migrate import upgrade
from bench import fanout, report
from bench.book import make_book
from bench.chart import chart
from bench.databases import KINDS, empty_databases, execute
from bench.fanout import SUBSCRIBERS, fan_out
from bench.ingest import ingest
from bench.measure import Plan
from bench.scenarios import Databases, Figure, Result, run
from bench.task_list import task_list
from tests.support.postgres import PostgresServer

FULL = Plan(rounds=9, seconds=2.0, warm_up_seconds=1.0)
QUICK = Plan(rounds=3, seconds=1.0, warm_up_seconds=0.5)

ANNOTATION = ("RecordPage", "submitResponse")
OPERATIONS = (*ANNOTATION, "TrainTasks", "ingest", "curve", "fan-out")
COPIES = 3


def main() -> int:
    """Run the benchmark."""
    given = _arguments()
    plan = QUICK if given.quick else FULL
    plan = Plan(given.rounds or plan.rounds, given.seconds or plan.seconds, plan.warm_up_seconds)
    began = time.monotonic()
    results = []
    for kind in given.database or KINDS:
        results += _measured(kind, plan, given.operation or OPERATIONS)
    print(report.table(results))
    share, took = report.generator_share(results), time.monotonic() - began
    print(
        f"\nMedian of {plan.rounds} rounds of {plan.seconds:g} s each (least-greatest), servers in turn, one process "
        f"each, 8 connections; one for each writer, and one for curves and lists of tasks.\nThe load generator took at "
        f"most {share:.2f} of a core; all of it took {took:.0f} s."
    )
    report.write(results, plan)
    for line in (missed := report.missed(results)):
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if missed else 0


def _measured(kind: str, plan: Plan, operations: Sequence[str]) -> list[Result]:
    """The operations on one kind of database; what is compared with other trackers, on SQLite, as they have it."""
    results = []
    if annotation := [name for name in ANNOTATION if name in operations]:
        with _databases(kind) as databases:
            results += uvloop.run(run(databases, plan, annotation))
    if "TrainTasks" in operations:
        _say(f"TrainTasks on {kind}")
        with empty_databases(kind, ("many", "few")) as empty:
            results += uvloop.run(task_list(empty, plan))
    if kind == "sqlite":
        if "ingest" in operations:
            _say("ingest")
            results += uvloop.run(ingest(plan))
        if "curve" in operations:
            _say("curve")
            results += uvloop.run(chart(plan))
        if "fan-out" in operations:
            _say("fan-out")
            results.append(_fan_out(plan))
    return results


def _fan_out(plan: Plan) -> Result:
    """One task and its subscribers. It is about CPU, not about requests, and has a table of its own."""
    with empty_databases("sqlite", ("watched",)) as empty:
        upgrade(empty.urls[0])
        fans = fan_out(empty.urls[0], subscribers=SUBSCRIBERS, rounds=plan.rounds, seconds=2 * plan.seconds)
        sides = uvloop.run(fans)
    print(fanout.table(*sides), end="\n\n", flush=True)
    lost = sum(one.missing for one in sides[0].rounds)
    figures = [
        Figure(
            f"CPU of a message to {SUBSCRIBERS:,} subscribers / bare loop's", fanout.ratio(*sides).median, fanout.BOUND
        ),
        Figure("points that subscribers missed", lost, 0),
    ]
    rounds = {side.target.name: [asdict(one) for one in side.rounds] for side in sides}
    return Result("fan-out", "sqlite", [], rounds, figures=figures)


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Gradbook against other servers, in one run.")
    parser.add_argument("--quick", action="store_true", help="few and short rounds, to try things; no figures to keep")
    parser.add_argument("--rounds", type=int, help="rounds; 9 without --quick")
    parser.add_argument("--seconds", type=float, help="seconds per server and round; 2 without --quick")
    parser.add_argument("--database", action="append", choices=KINDS, help="this one only")
    parser.add_argument("--operation", action="append", choices=OPERATIONS, help="this one only")
    return parser.parse_args()


@contextmanager
def _databases(kind: str) -> Iterator[Databases]:
    """The book, and copies of it: one to read, one for each server that writes."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="gradbook-bench-") as folder:
            made = Path(folder) / "book.db"
            book = make_book(f"sqlite:///{made}")
            copies = [shutil.copyfile(made, Path(folder) / f"copy{number}.db") for number in range(COPIES)]
            yield Databases(kind, book, [f"sqlite:///{copy}" for copy in copies], None)
        return
    with PostgresServer(durable=True) as server:
        asyncio.run(execute(server.url("postgres"), "CREATE DATABASE book"))
        book = make_book(server.url("book"))
        asyncio.run(execute(server.url("book"), "VACUUM ANALYZE"))
        names = [f"copy{number}" for number in range(COPIES)]
        for name in names:
            asyncio.run(execute(server.url("postgres"), f"CREATE DATABASE {name} TEMPLATE book"))
        yield Databases(kind, book, [server.url(name) for name in names], server.pid)


if __name__ == "__main__":
    sys.exit(main())
