"""What a report says, checked and encoded before its transaction begins: that shall be short."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from app.annotation.checks import invalid, raise_errors, shown, text_problem
from app.errors import Code, GradbookError
from app.training.metrics.chunks import Chunk, encode_chunk
from app.training.metrics.points import Points
from app.training.metrics.summary import Summary
from app.training.metrics.wire import MAX_POINTS, Series, parse_series
from app.training.secrets import secret_in_name
from app.training.task_names import TaskName

MAX_SERIES = 1_000
MAX_METRIC = 500  # characters
MAX_SOURCE = 200  # characters
MAX_NUMBER = 2**53 - 1


@dataclass(frozen=True, slots=True)
class ReportInput:
    """A report as it is sent. A series is {metric, steps, values, times?}, the last three parallel lists."""

    task: TaskName
    sequence: int
    source: str = ""
    step: int | None = None
    epoch: float | None = None
    series: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class NewPoints:
    """The points of one metric: encoded, and what they come to. The chunk's arrival is yet to be given."""

    metric: str
    chunk: Chunk
    summary: Summary
    last_step: int


@dataclass(frozen=True, slots=True)
class Report:
    """A checked report. `content_hash` is of all that it says; series without points are left out."""

    given: ReportInput
    content_hash: str
    series: tuple[NewPoints, ...]

    @property
    def points(self) -> int:
        """How many there are, of all metrics."""
        return sum(one.chunk.count for one in self.series)


def check_report(given: ReportInput, now: int) -> Report:
    """The report as it is stored. Points that say no time have `now`, in ms since 1970.

    Raises INVALID_INPUT, LIMIT_EXCEEDED, and DUPLICATE_ITEM for two series of one metric, all there are.
    """
    raise_errors(_problems(given))
    parsed: dict[str, Series] = {}
    wrong: list[GradbookError] = []
    for index, series in enumerate(given.series):
        metric = series.get("metric")
        problem = text_problem(metric, MAX_METRIC, 1)
        if problem is None and isinstance(metric, str):
            problem = secret_in_name(metric)
        if problem is not None or not isinstance(metric, str):
            wrong.append(invalid(problem or "", "series", index, "metric"))
            continue
        if metric in parsed:
            message = f"There are two series of metric {shown(metric)} in one report: put their points into one."
            wrong.append(GradbookError(Code.DUPLICATE_ITEM, message, ("series", index, "metric")))
            continue
        try:
            parsed[metric] = parse_series(series, now)
        except GradbookError as error:
            wrong.append(error.below("series", index))
    raise_errors(wrong)
    total = sum(len(one.steps) for one in parsed.values())
    if total > MAX_POINTS:
        message = f"A report of {total:,} points is too long: send at most {MAX_POINTS:,} points a call."
        raise GradbookError(Code.LIMIT_EXCEEDED, message, ("series",))
    new = tuple(_new_points(metric, one) for metric, one in parsed.items() if len(one.steps))
    return Report(given, _content_hash(given, parsed), new)


def _problems(given: ReportInput) -> list[GradbookError]:
    errors = []
    if not 0 <= given.sequence < MAX_NUMBER:
        errors.append(invalid(f"{given.sequence} is no number of a report: the first is 0.", "sequence"))
    problem = text_problem(given.source, MAX_SOURCE) or secret_in_name(given.source)
    if problem is not None:
        errors.append(invalid(problem, "source"))
    if given.step is not None and abs(given.step) > MAX_NUMBER:
        errors.append(invalid(f"{given.step} is no step: steps are whole numbers up to 2^53 - 1.", "step"))
    if given.epoch is not None and not math.isfinite(given.epoch):
        errors.append(invalid(f"{given.epoch} is no epoch: write a finite number.", "epoch"))
    if len(given.series) > MAX_SERIES:
        message = f"{len(given.series):,} series are too many: send at most {MAX_SERIES:,} metrics a call."
        errors.append(GradbookError(Code.LIMIT_EXCEEDED, message, ("series",)))
    return errors


def _new_points(metric: str, series: Series) -> NewPoints:
    chunk = encode_chunk(Points.of_report(0, *series), compacted=False)
    return NewPoints(metric, chunk, Summary.of(series.steps, series.values), int(series.steps[-1]))


def _content_hash(given: ReportInput, parsed: Mapping[str, Series]) -> str:
    """Of what was sent, not of the time that it was received at. The order of the series does not matter."""
    names = sorted(parsed)
    timed = {series["metric"] for series in given.series if series.get("times") is not None}
    outline = [given.step, given.epoch, [[name, len(parsed[name].steps), name in timed] for name in names]]
    digest = hashlib.sha256(orjson.dumps(outline))
    for name in names:
        series = parsed[name]
        digest.update(series.steps.tobytes())
        digest.update(np.where(np.isnan(series.values), np.nan, series.values).tobytes())
        if name in timed:
            digest.update(series.times.tobytes())
    return digest.hexdigest()
