"""`make bench-against BASE=revision`: RecordPage as it is now beside an earlier commit, in interleaved pairs.

The earlier commit is checked out into a worktree of its own and run from there, with this environment's packages. Each
side fills a database of its own with the same book by its own code; the databases are of one server. In every pair both
are driven for the same time, and the order turns from pair to pair. Printed is the median of the paired ratios and the
interval which holds the true median in at least 95 of 100 runs (order statistics: no shape of noise is assumed).
The exit code is 1 when the median is below the goal.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench.databases import empty_databases, execute
from bench.load import Accept, http_request, one_answer
from bench.measure import Plan, Target, measure, serving
from bench.operations import RECORD_PAGE, body, page_variables

ROOT = Path(__file__).parents[1]
GOAL = 0.9
NOW, BEFORE = "now", "before"
CONFIDENCE = 0.95

_FILL = """
import json, sys
from bench.book import make_book
book = make_book(sys.argv[1])
print(json.dumps([book.dataset_id, book.admin.key]))
"""


def main() -> int:
    """Run the comparison."""
    given = _arguments()
    plan = Plan(given.pairs, given.seconds, warm_up_seconds=2.0)
    slow = []
    with _checked_out(given.base) as base:
        for kind in given.database or ("postgresql", "sqlite"):
            with empty_databases(kind, (NOW, BEFORE)) as databases:
                folders = (ROOT, base)
                targets = [
                    Target(name, "bench.ours:serve", url, folder=folder)
                    for name, url, folder in zip((NOW, BEFORE), databases.urls, folders, strict=True)
                ]
                requests = {target.name: _request(target) for target in targets}
                if databases.pid is not None:
                    for url in databases.urls:
                        asyncio.run(execute(url, "VACUUM ANALYZE"))
                with serving(targets):
                    uvloop.run(_measure(targets, requests, plan, databases.pid))
            ratios = [
                now.requests_per_second / before.requests_per_second
                for now, before in zip(targets[0].rounds, targets[1].rounds, strict=True)
            ]
            low, high = interval(ratios)
            median = statistics.median(ratios)
            print(
                f"RecordPage, {kind}: now / {given.base} = {median:.3f} ({low:.3f} to {high:.3f}), "
                f"{len(ratios)} pairs of {plan.seconds:g} s; {GOAL:g} wanted",
                flush=True,
            )
            if median < GOAL:
                slow.append(kind)
    return 1 if slow else 0


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with the wanted confidence; all, if they are few."""
    ordered, count = sorted(values), len(values)
    outside = 0.0  # probability that fewer than `rank` values lie below the median, on one side
    rank = 0
    while rank < count // 2:
        outside += math.comb(count, rank) / 2**count
        if 2 * outside > 1 - CONFIDENCE:
            break
        rank += 1
    rank = max(rank, 1)
    return ordered[rank - 1], ordered[count - rank]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-against", description="RecordPage now beside an earlier commit.")
    parser.add_argument("base", help="the earlier commit")
    parser.add_argument("--pairs", type=int, default=15, help="15")
    parser.add_argument("--seconds", type=float, default=2.0, help="per server and pair; 2")
    parser.add_argument("--database", action="append", choices=("postgresql", "sqlite"), help="this one only")
    return parser.parse_args()


@contextmanager
def _checked_out(revision: str) -> Iterator[Path]:
    """A worktree of the revision for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="gradbook-base-") as folder:
        path = Path(folder) / "base"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(path), revision], cwd=ROOT, check=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)


def _request(target: Target) -> bytes:
    """Fill the target's database by its own code; the request for its page."""
    filled = subprocess.run(
        [sys.executable, "-c", _FILL, target.url], cwd=target.folder, check=True, stdout=subprocess.PIPE, text=True
    )
    dataset_id, key = json.loads(filled.stdout)
    return http_request("/graphql", key, body(RECORD_PAGE, page_variables(dataset_id)))


async def _measure(targets: Sequence[Target], requests: dict[str, bytes], plan: Plan, pid: int | None) -> None:
    expected: dict[str, bytes] = {}
    for target in targets:
        expected[target.name] = await one_answer(target.port, requests[target.name])
    sizes = {name: len(orjson.loads(page)["data"]["dataset"]["records"]["edges"]) for name, page in expected.items()}
    if sizes[NOW] != sizes[BEFORE] or not sizes[NOW]:
        raise AssertionError(f"The pages differ: {sizes} records.")

    def asked(target: Target) -> tuple[Iterator[tuple[Any, bytes]], Accept[Any]]:
        def accept(_: Any, status: int, answer: bytes) -> None:
            if status != 200 or answer != expected[target.name]:
                raise AssertionError(f"{target.name} answered {status}: {answer[:300]!r}")

        return itertools.repeat((None, requests[target.name])), accept

    await measure(targets, asked, plan, pid)


if __name__ == "__main__":
    sys.exit(main())
