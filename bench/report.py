"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.measure import Plan, Spread, ratio
from bench.scenarios import OURS, Result

RESULTS = Path(__file__).parent / "results.json"


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| operation, database | server | req/s | ours / this | p50 ms | p99 ms | server CPU ms | database CPU ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for target in result.targets:
            ours = result.target(OURS)
            compared = "" if target is ours else _ratio(ratio(ours, target), result.goals.get(target.name))
            rounds = target.rounds
            cells = [
                f"{result.operation}, {result.database}" if target is ours else "",
                target.name,
                _spread(Spread.of(one.requests_per_second for one in rounds)),
                compared,
                f"{_median(1000 * one.p50 for one in rounds):.1f}",
                f"{_median(1000 * one.p99 for one in rounds):.1f}",
                f"{_median(1000 * one.server_cpu for one in rounds):.2f}",
                "-" if result.database == "sqlite" else f"{_median(1000 * one.database_cpu for one in rounds):.2f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines += [f"|  | {name} | is not installed: `make bench-peers` | | | | | |" for name in result.absent]
    lines += [f"\n{one.what}: {one.found:.2f} (≤ {one.most:g} wanted)" for result in results for one in result.figures]
    return "\n".join(lines)


def missed(results: Sequence[Result]) -> list[str]:
    """The goals that were not reached."""
    slow = [
        f"{result.operation} on {result.database}: {found:.2f} × the {target.name}, wanted {goal:.3g} or more"
        for result in results
        for target in result.targets
        if (goal := result.goals.get(target.name)) is not None
        and (found := ratio(result.target(OURS), target).median) < goal
    ]
    great = [
        f"{one.what}: {one.found:.2f}, wanted {one.most:g} or less"
        for result in results
        for one in result.figures
        if one.found > one.most
    ]
    return slow + great


def generator_share(results: Sequence[Result]) -> float:
    """The greatest part of one core that the load generator took in a round."""
    shares = [one.generator_share for result in results for target in result.targets for one in target.rounds]
    return max(shares, default=0.0)


def write(results: Sequence[Result], plan: Plan, path: Path = RESULTS) -> None:
    """Write all rounds as JSON."""
    content: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": _processor(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
        },
        "plan": asdict(plan),
        "results": [
            {
                "operation": result.operation,
                "database": result.database,
                "notes": result.notes,
                "absent": list(result.absent),
                "figures": [asdict(one) for one in result.figures],
                "servers": {target.name: [asdict(one) for one in target.rounds] for target in result.targets},
                "ratios": {
                    target.name: asdict(ratio(result.target(OURS), target))
                    for target in result.targets
                    if target.name != OURS
                },
            }
            for result in results
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _processor() -> str:
    """Its name where Linux tells it, else the kind of machine."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _spread(spread: Spread) -> str:
    return f"**{_number(spread.median)}** ({_number(spread.least)}–{_number(spread.greatest)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _ratio(spread: Spread, goal: float | None) -> str:
    wanted = "" if goal is None else f", ≥ {goal:.3g} wanted"
    return f"**{spread.median:.2f}** ({spread.least:.2f}–{spread.greatest:.2f}{wanted})"


def _median(values: Any) -> float:
    return Spread.of(values).median
