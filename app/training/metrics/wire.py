"""Columns as JSON lists, in and out.

A value is a number or "NaN", "Infinity", "-Infinity", which JSON's numbers cannot say; a step is a whole number up to
2^53 - 1, which every reader of JSON keeps; a time is in milliseconds since 1970. Whole lists are checked at once, and
only a wrong one item by item.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson

from app.annotation.checks import invalid, shown
from app.errors import Code, GradbookError
from app.training.metrics.columns import Floats, Ints

MAX_POINTS = 10_000  # of a list, and of a report altogether
MAX_TIME = 253_402_300_799_999  # the last millisecond of the year 9999, where instants end

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_EXACT = 2**53  # floats beyond it are whole, but may not be the number that was written


class Series(NamedTuple):
    """What a report says of one metric: parallel columns."""

    steps: Ints
    values: Floats
    times: Ints


def parse_series(series: Mapping[str, Any], now: int) -> Series:
    """The lists `steps`, `values` and, if there are any, `times`; otherwise all points have the time `now`.

    They may be empty. Raises GradbookError, whose path leads to the first wrong item.
    """
    steps = _below("steps", parse_steps, series.get("steps"))
    values = _below("values", parse_values, series.get("values"))
    given = series.get("times")
    times = np.full(len(steps), now, np.int64) if given is None else _below("times", parse_times, given)
    for name, column in (("values", values), ("times", times)):
        if len(column) != len(steps):
            raise invalid(
                f"A point has a step and a {name[:-1]}, and here are {len(steps):,} steps and {len(column):,} {name}.",
                name,
            )
    return Series(steps, values, times)


def parse_values(items: Any) -> Floats:
    """Numbers and the three names of what is none."""
    _check_list(items, "values")
    types = set(map(type, items))
    if types <= {float, int, str}:
        try:
            numbers = [_NON_FINITE[item] if type(item) is str else item for item in items] if str in types else items
            values = np.array(numbers, np.float64)
        except (KeyError, OverflowError):
            pass
        else:
            # An infinity that was not written as one is a number like 1e999.
            if all(type(items[at]) is str for at in np.flatnonzero(~np.isfinite(values)).tolist()):
                return values
    raise _first(items, _value_problem)


def parse_steps(items: Any) -> Ints:
    """Whole numbers that a double holds exactly."""
    return _whole_numbers(items, "step", 1 - _EXACT, _EXACT - 1, "whole numbers from 1 - 2^53 to 2^53 - 1")


def parse_times(items: Any) -> Ints:
    """Whole milliseconds since 1970."""
    return _whole_numbers(items, "time", 0, MAX_TIME, "whole milliseconds since 1970, up to the year 9999")


def wire_values(values: Floats) -> list[float | str]:
    """The values as orjson writes them, the non-finite ones by name."""
    items: list[float | str] = values.tolist()
    for at in np.flatnonzero(~np.isfinite(values)).tolist():
        value = items[at]
        items[at] = "NaN" if value != value else "Infinity" if value == math.inf else "-Infinity"
    return items


def whole_numbers_json(column: Ints) -> orjson.Fragment:
    """A column of steps, times or counts as finished JSON."""
    return _dumped(column)


def values_json(column: Floats) -> orjson.Fragment:
    """A column of values as finished JSON."""
    return _dumped(column) if np.isfinite(column).all() else orjson.Fragment(orjson.dumps(wire_values(column)))


def _dumped(column: Ints | Floats) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY))


def _whole_numbers(items: Any, what: str, low: int, high: int, right: str) -> Ints:
    _check_list(items, f"{what}s")
    types = set(map(type, items))
    if float in types:  # clients of some languages write 5.0 for 5
        items = [int(item) if type(item) is float and _is_whole(item) else item for item in items]
        types = set(map(type, items))
    if types <= {int}:
        try:
            numbers = np.array(items, np.int64)
        except OverflowError:
            pass
        else:
            if not items or (low <= numbers.min() and numbers.max() <= high):
                return numbers

    def problem(item: Any) -> str | None:
        if type(item) is int:
            return None if low <= item <= high else f"{_shown(item)} is out of range: {what}s are {right}."
        return f"{_shown(item)} is no {what}: {what}s are {right}."

    raise _first(items, problem)


def _is_whole(number: float) -> bool:
    return number.is_integer() and abs(number) <= _EXACT


def _value_problem(item: Any) -> str | None:
    if type(item) is str and item in _NON_FINITE:
        return None
    if type(item) is int or type(item) is float:
        try:
            if math.isfinite(item):
                return None
        except OverflowError:
            pass
        return (
            f"{_shown(item)} is beyond the numbers of 64 bits, which end at about 1.8e308: what is no number is "
            'written "NaN", "Infinity" or "-Infinity".'
        )
    return f'{_shown(item)} is no value: write a number, "NaN", "Infinity" or "-Infinity".'


def _check_list(items: Any, what: str) -> None:
    if not isinstance(items, (list, tuple)):
        raise invalid(f"{_shown(items)} is no list: {what} are a list, with an item for each point.")
    if len(items) > MAX_POINTS:
        raise GradbookError(
            Code.LIMIT_EXCEEDED,
            f"A list of {len(items):,} {what} is too long: send at most {MAX_POINTS:,} points a call.",
        )


def _first(items: list[Any], problem: Callable[[Any], str | None]) -> GradbookError:
    for at, item in enumerate(items):
        message = problem(item)
        if message is not None:
            return invalid(f"Item {at}: {message}", at)
    raise AssertionError("a list was refused in which every item is right")


def _below(name: str, parse: Callable[[Any], Any], items: Any) -> Any:
    try:
        return parse(items)
    except GradbookError as error:
        raise error.below(name) from None


def _shown(item: Any) -> str:
    """Numbers as Python writes them: JSON has none for those that matter here."""
    if type(item) is int and item.bit_length() > 200:
        return f"A whole number of {item.bit_length()} bits"
    return repr(item) if type(item) in {int, float} else shown(item)
