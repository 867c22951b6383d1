"""Curves drawn with characters, as large as the terminal is at the moment."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import plotille
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from app.visible import visible

MAX_CHARTS = 6
_ROWS = 9  # that a chart has at least, with its caption and its axis
_AXIS_ROWS, _AXIS_COLUMNS = 3, 13  # that plotille needs beside the canvas


class Drawn(NamedTuple):
    """A curve as GraphQL answers it, and what stands above it."""

    caption: str
    curve: Any


class Charts:
    """A title and charts below each other: a renderable of rich, which is asked anew whenever something is drawn."""

    def __init__(self) -> None:
        self._title = ""
        self._drawn: Sequence[Drawn] = ()
        self._metrics = 0

    def update(self, title: str, drawn: Sequence[Drawn], metrics: int) -> None:
        """What is shown from now on; there are so many metrics in all."""
        self._title, self._drawn, self._metrics = title, drawn, metrics

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """All that fits."""
        yield Text(visible(self._title), style="bold", overflow="ellipsis", no_wrap=True)
        rows = options.size.height - 3
        fitting = self._drawn[: max(1, rows // _ROWS)]
        for drawn in fitting:
            yield Text(visible(drawn.caption), style="cyan", overflow="ellipsis", no_wrap=True)
            yield Text(chart(drawn.curve, options.max_width, rows // len(fitting) - 1), no_wrap=True)
        if not self._metrics:
            yield Text("Nothing is reported yet.")
        elif self._metrics > len(fitting):
            yield Text(f"{self._metrics - len(fitting)} more: choose by --metric, or make the terminal larger.")


def chart(curve: Any, columns: int, rows: int) -> str:
    """A curve in so many columns and rows, as far as that is enough for anything."""
    points = [
        (step, value)
        for step, *values in zip(curve["steps"], curve["minimums"], curve["maximums"], curve["values"], strict=True)
        for value in dict.fromkeys(values)
        if isinstance(value, int | float)  # what is no finite number is text
    ]
    if not points:
        return "No finite value yet."
    figure = plotille.Figure()
    figure.width = max(columns - _AXIS_COLUMNS, 10)
    figure.height = max(rows - _AXIS_ROWS, 2)
    figure.with_colors = False
    figure.origin = False
    figure.x_label, figure.y_label = "step", ""
    figure.x_ticks_fkt = lambda low, _: f"{low:,.0f}"
    figure.y_ticks_fkt = lambda low, _: f"{low:.4g}"
    steps, values = zip(*points, strict=True)
    figure.plot(steps, values)
    if steps[0] < steps[-1]:
        figure.set_x_limits(steps[0], steps[-1])
    # Without the line above the axis, which names it; the arrow of the other axis goes beyond the canvas.
    return "\n".join(line.rstrip()[:columns] for line in figure.show().splitlines()[1:])
