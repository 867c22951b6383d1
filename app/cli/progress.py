"""How far a long command is, on standard error: a bar on a terminal, elsewhere a plain line every few seconds."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app.visible import visible

PLAIN_SECONDS = 5.0


class Meter:
    """Counts `what` (lines, records), and shows their rate and, if it is known how much there is, the time left."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what = what
        self._total = total or None
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._begin = self._last = time.monotonic()
        self._bar: Progress | None = None
        if self._console.is_terminal:
            columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=self._total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, count: int) -> None:
        """So much of the total is done, and so many are counted."""
        if self._bar is not None:
            description = f"{count:,} {self._what}, {self.rate(count)}"
            self._bar.update(self._task, completed=done, description=description)
        elif (now := time.monotonic()) - self._last >= PLAIN_SECONDS:
            self._last = now
            self.print(f"{count:,} {self._what}, {self.rate(count)}{self._left(done)}")

    def print(self, text: str) -> None:
        """A line that stays, above the bar."""
        self._console.print(visible(text), markup=False)

    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begin

    def rate(self, count: int) -> str:
        """So many a second, in words."""
        return f"{count / max(self.seconds(), 0.001):,.0f} {self._what}/s"

    def _left(self, done: int) -> str:
        if not self._total or not done:
            return ""
        seconds = self.seconds() * (self._total - done) / done
        return f", {done / self._total:.0%}, about {seconds:.0f} s left"
