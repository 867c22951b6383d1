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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bench import report
from bench.book import make_book
from bench.measure import Plan
from bench.scenarios import Databases, run
from tests.support.postgres import PostgresServer

FULL = Plan(rounds=9, seconds=2.0, warm_up_seconds=1.0)
QUICK = Plan(rounds=3, seconds=1.0, warm_up_seconds=0.5)

DATABASES = ("postgresql", "sqlite")
OPERATIONS = ("RecordPage", "submitResponse")
COPIES = 3


def main() -> int:
    """Run the benchmark."""
    given = _arguments()
    plan = QUICK if given.quick else FULL
    plan = Plan(given.rounds or plan.rounds, given.seconds or plan.seconds, plan.warm_up_seconds)
    began = time.monotonic()
    results = []
    for kind in given.database or DATABASES:
        with _databases(kind) as databases:
            results += uvloop.run(run(databases, plan, given.operation or OPERATIONS))
    print(report.table(results))
    print(
        f"\nMedian of {plan.rounds} rounds of {plan.seconds:g} s each (least-greatest), servers in turn, one process "
        f"each, 8 connections.\nThe load generator took at most {report.generator_share(results):.2f} of a core; "
        f"all of it took {time.monotonic() - began:.0f} s."
    )
    report.write(results, plan)
    for line in (missed := report.missed(results)):
        print(f"MISSED: {line}", file=sys.stderr)
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Gradbook against other servers, in one run.")
    parser.add_argument("--quick", action="store_true", help="few and short rounds, to try things; no figures to keep")
    parser.add_argument("--rounds", type=int, help="rounds; 9 without --quick")
    parser.add_argument("--seconds", type=float, help="seconds per server and round; 2 without --quick")
    parser.add_argument("--database", action="append", choices=DATABASES, help="this one only")
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
        asyncio.run(_execute(server, "postgres", "CREATE DATABASE book"))
        book = make_book(server.url("book"))
        asyncio.run(_execute(server, "book", "VACUUM ANALYZE"))
        names = [f"copy{number}" for number in range(COPIES)]
        for name in names:
            asyncio.run(_execute(server, "postgres", f"CREATE DATABASE {name} TEMPLATE book"))
        yield Databases(kind, book, [server.url(name) for name in names], server.pid)


async def _execute(server: PostgresServer, database: str, statement: str) -> None:
    connection = await server.connect(database)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main())
