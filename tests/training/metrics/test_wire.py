import math
import subprocess
import sys
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import GradbookError
from app.training.metrics.wire import MAX_TIME, parse_series, parse_steps, parse_times, parse_values, wire_values
from tests.training.metrics.points import PROPERTY, bits

NAMES = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@PROPERTY
@given(st.lists(st.floats()))
def test_values_survive_json_there_and_back(values: list[float]) -> None:
    text = orjson.dumps(wire_values(np.array(values, np.float64)))
    assert b"null" not in text
    assert bits(parse_values(orjson.loads(text))) == bits(values)


@PROPERTY
@given(
    st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.sampled_from(list(NAMES))))
)
def test_numbers_whole_numbers_and_names_may_stand_in_one_list(items: list[Any]) -> None:
    expected = [NAMES[item] if isinstance(item, str) else float(item) for item in items]
    assert bits(parse_values(items)) == bits(expected)


@PROPERTY
@given(st.lists(st.integers(1 - 2**53, 2**53 - 1)))
def test_steps_are_whole_numbers_that_every_reader_of_json_keeps(steps: list[int]) -> None:
    assert parse_steps(steps).tolist() == steps


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert parse_steps([1, 2.0, 1 - 2.0**53]).tolist() == [1, 2, 1 - 2**53]


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        (True, "true is no value"),
        (None, "null is no value"),
        ("nan", '"nan" is no value'),
        ("1.5", '"1.5" is no value'),
        ("\ud800", "is no value"),
        ([1.0], "[1.0] is no value"),
        (math.inf, "inf is beyond the numbers of 64 bits"),
        (-math.inf, "-inf is beyond"),
        (math.nan, "nan is beyond"),
        (10**400, "A whole number of 1329 bits is beyond"),
    ],
)
@pytest.mark.parametrize("others", [[0.5, 2], ["NaN", 1]])
def test_a_wrong_value_is_named_with_its_place(wrong: Any, shown: str, others: list[Any]) -> None:
    with pytest.raises(GradbookError) as caught:
        parse_values([*others, wrong, *others, wrong])
    assert caught.value.message.startswith("Item 2: ")
    assert shown in caught.value.message
    assert '"Infinity"' in caught.value.message
    assert (caught.value.code, caught.value.path) == ("INVALID_INPUT", (2,))


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [
        (1.5, "1.5 is no step: steps are whole numbers from 1 - 2^53 to 2^53 - 1"),
        (True, "true is no step"),
        (None, "null is no step"),
        ("1", '"1" is no step'),
        (math.nan, "nan is no step"),
        (1e300, "1e+300 is no step"),
        (2**53, "9007199254740992 is out of range"),
        (-(2**53), "-9007199254740992 is out of range"),
    ],
)
def test_a_wrong_step_is_named_with_its_place(wrong: Any, shown: str) -> None:
    with pytest.raises(GradbookError) as caught:
        parse_steps([1, wrong, wrong])
    assert caught.value.message.startswith(f"Item 1: {shown}")
    assert caught.value.path == (1,)


@pytest.mark.parametrize("wrong", [-1, MAX_TIME + 1, 1_700_000_000_000.5, "2026-01-01T00:00:00Z"])
def test_times_are_milliseconds_that_are_instants(wrong: Any) -> None:
    assert parse_times([0, MAX_TIME]).tolist() == [0, MAX_TIME]
    with pytest.raises(GradbookError, match="times are whole milliseconds since 1970") as caught:
        parse_times([1, wrong])
    assert caught.value.path == (1,)


@pytest.mark.parametrize("items", ["1", {"0": 1}, 5, None, True])
def test_what_is_no_list_is_refused(items: Any) -> None:
    for parse in (parse_values, parse_steps):
        with pytest.raises(GradbookError, match="is no list"):
            parse(items)


def test_a_list_has_at_most_ten_thousand_items() -> None:
    assert len(parse_values([0.5] * 10_000)) == 10_000
    with pytest.raises(GradbookError, match="A list of 10,001 steps is too long: send at most 10,000 points") as caught:
        parse_steps([1] * 10_001)
    assert caught.value.code == "LIMIT_EXCEEDED"


def test_a_series_without_times_has_that_of_its_report() -> None:
    series = parse_series({"metric": "loss", "steps": [1, 1], "values": [2, "NaN"]}, now=77)
    assert (series.steps.tolist(), series.times.tolist()) == ([1, 1], [77, 77])
    assert parse_series({"steps": [1], "values": [2], "times": [5]}, now=77).times.tolist() == [5]
    assert len(parse_series({"steps": [], "values": [], "times": None}, now=77).times) == 0


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"values": [1]}, ("values",), "A point has a step and a value, and here are 2 steps and 1 values."),
        ({"times": [1, 2, 3]}, ("times",), "A point has a step and a time, and here are 2 steps and 3 times."),
        ({"values": [1, True]}, ("values", 1), "Item 1: true is no value"),
        ({"steps": [1, 1.5]}, ("steps", 1), "Item 1: 1.5 is no step"),
        ({"times": [-1, 1]}, ("times", 0), "Item 0: -1 is out of range"),
        ({"steps": None}, ("steps",), "null is no list"),
    ],
)
def test_what_is_wrong_in_a_series_is_named_with_its_path(
    change: dict[str, Any], path: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(GradbookError) as caught:
        parse_series({"steps": [1, 2], "values": [1, 2], **change}, now=0)
    assert caught.value.path == path
    assert caught.value.message.startswith(message)


def test_a_server_that_reads_no_curve_does_not_load_numpy() -> None:
    check = "import sys, app.asgi, app.training.metrics; sys.exit(bool({'numpy', 'zstandard'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
