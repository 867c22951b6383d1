"""`gradbook task watch`: a task's curves on the terminal as they arrive."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from app.cli.charts import MAX_CHARTS, Charts, Drawn
from app.cli.operations import Asking
from app.cli.output import note, say
from app.cli.tasks import found_task, last_value, last_values, number, state, took
from app.db import Database
from app.live import open_bus
from app.settings import load
from app.training.topics import task_topic

ENDS = {"SUCCESS", "FAILED", "CANCELED"}
MAX_POINTS = 500  # of a curve: a terminal has some 200 columns of two dots each
_RESIZED = getattr(signal, "SIGWINCH", None)  # Windows has none

PAUSE_SECONDS = 0.25  # between two looks, however fast others report

_TASK = """query ($id: ID!) {
  trainTask(id: $id) {
    id modelName status lost attempt progress step totalSteps duration error nextAttempt { id }
    metrics { name last lastState lastStep points }
  }
}"""
_CURVES = """query ($id: ID!, $names: [String!]!, $maxPoints: Int!) {
  trainTask(id: $id) { curves(metrics: $names, maxPoints: $maxPoints) { metric steps values minimums maximums } }
}"""


async def watch(database: Database, task: str, metrics: Sequence[str]) -> str:
    """Show the task until it ends, and return the state that it ends in. Raises NOT_FOUND, INVALID_ID.

    A commit of whatever process wakes it; then it reads the task anew, and as many points of its curves as it draws.
    """
    settings = load()
    asking = Asking(database)
    found = await _look(asking, task, metrics)
    view = _Screen() if sys.stdout.isatty() else _Lines()
    async with (
        open_bus(database, poll_seconds=settings.live_poll_ms / 1000, heal_seconds=settings.live_heal_seconds) as bus,
        bus.subscribe(task_topic(int(found["id"].removeprefix("tsk_")))) as wakeup,
    ):
        with view:
            while True:
                found = await _look(asking, found["id"], metrics)
                await view.show(asking, found)
                if found["status"] in ENDS:
                    break
                await asyncio.sleep(PAUSE_SECONDS)
                await wakeup.wait()
    if found["error"]:
        note(found["error"])
    if found["nextAttempt"]:
        note(f"It is tried again: gradbook task watch {found['nextAttempt']['id']}")
    return str(found["status"])


async def _look(asking: Asking, task: str, metrics: Sequence[str]) -> Any:
    """The task as it is now, with the metrics that were asked for, or all."""
    found = found_task((await asking.ask(_TASK, id=task))["trainTask"], task)
    if metrics:
        by_name = {one["name"]: one for one in found["metrics"]}
        found["metrics"] = [by_name[name] for name in dict.fromkeys(metrics) if name in by_name]
    return found


def _headline(task: Any) -> str:
    steps = f", step {number(task['step'])}" if task["step"] is not None else ""
    steps += f" of {number(task['totalSteps'])}" if steps and task["totalSteps"] else ""
    since = f", {took(task['duration'])}" if task["duration"] is not None else ""
    return f"{state(task)}{steps}{since}"


class _Lines:
    """Into a pipe or a file: a line whenever something is new."""

    def __init__(self) -> None:
        self._last: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    async def show(self, _: Asking, task: Any) -> None:
        news = {**task, "duration": None}
        if news != self._last:
            self._last = news
            values = last_values(task["metrics"])
            say(f"{_headline(task)}: {values}" if values else _headline(task))


class _Screen:
    """On a terminal: a chart for each metric, as many as fit, drawn anew when something is new or its size changes."""

    def __init__(self) -> None:
        self._charts = Charts()
        self._live = Live(self._charts, console=Console(highlight=False), auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        if _RESIZED is not None:
            asyncio.get_running_loop().add_signal_handler(_RESIZED, self._live.refresh)
        return self

    def __exit__(self, *_: object) -> None:
        if _RESIZED is not None:
            asyncio.get_running_loop().remove_signal_handler(_RESIZED)
        self._live.stop()  # the last picture stays

    async def show(self, asking: Asking, task: Any) -> None:
        names = [one["name"] for one in task["metrics"]][:MAX_CHARTS]
        asked = {"id": task["id"], "names": names, "maxPoints": MAX_POINTS}
        answer = await asking.ask(_CURVES, **asked) if names else None
        curves = found_task(answer["trainTask"], task["id"])["curves"] if answer else []
        title = f"{task['id']} {task['modelName']}: {_headline(task)}"
        captions = {one["name"]: f"{one['name']} {last_value(one)}" for one in task["metrics"]}
        self._charts.update(title, [Drawn(captions[one["metric"]], one) for one in curves], len(task["metrics"]))
        self._live.refresh()
