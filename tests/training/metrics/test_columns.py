import contextlib
import math
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from app.training.metrics.columns import (
    DELTAS,
    FLOATS,
    MAX_COUNT,
    RUNS,
    SECOND_DELTAS,
    TABLE,
    DamagedColumnError,
    decode_floats,
    decode_ints,
    decode_table,
    encode_floats,
    encode_ints,
    encode_table,
)
from tests.training.metrics.points import INT64, PROPERTY, bits, column

RANDOM = np.random.default_rng(5)
# One of every format, with what decodes it.
ENCODED: dict[str, tuple[int, bytes, Callable[[bytes], object]]] = {
    "floats": (FLOATS, encode_floats(RANDOM.standard_normal(30)), lambda data: decode_floats(data, 30)),
    "compressed floats": (FLOATS, encode_floats(np.arange(300) / 4), lambda data: decode_floats(data, 300)),
    "deltas": (DELTAS, encode_ints(column(range(0, 3000, 10))), lambda data: decode_ints(data, 300)),
    "compressed deltas": (
        DELTAS,
        encode_ints(np.cumsum(RANDOM.choice([1, 5, 2000], 300))),
        lambda data: decode_ints(data, 300),
    ),
    "second deltas": (
        SECOND_DELTAS,
        encode_ints(np.cumsum(np.cumsum(RANDOM.integers(0, 99, 300)))),
        lambda data: decode_ints(data, 300),
    ),
    "runs": (
        RUNS,
        encode_ints(np.repeat(np.arange(30), RANDOM.integers(5, 25, 30))[:150]),
        lambda data: decode_ints(data, 150),
    ),
    "table": (TABLE, encode_table(3, RANDOM.integers(0, 99, (8, 20))), lambda data: decode_table(data, 8)),
}
FORMATS = pytest.mark.parametrize("name", ENCODED)


@PROPERTY
@given(st.lists(st.floats(), min_size=1, max_size=200))
@example([math.nan, -math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, -1.7976931348623157e308])
def test_real_numbers_come_back_bit_by_bit(values: list[float]) -> None:
    assert bits(decode_floats(encode_floats(np.array(values)), len(values))) == bits(values)


def test_every_nan_becomes_the_same_nan() -> None:
    odd = np.array([0x7FF8000000000001, 0x7FF0000000000001, 0xFFF8000000000000], np.uint64).view(np.float64)
    assert decode_floats(encode_floats(odd), 3).tobytes() == struct.pack("<3d", *[math.nan] * 3)


@PROPERTY
@given(st.one_of(st.lists(INT64, min_size=1, max_size=200), st.lists(st.integers(-3, 3), min_size=1, max_size=200)))
@example([-(2**63), 2**63 - 1, -(2**63), 0])
@example([2**63 - 1] * 9 + [-(2**63)] * 9)
def test_whole_numbers_come_back(numbers: list[int]) -> None:
    assert decode_ints(encode_ints(column(numbers)), len(numbers)).tolist() == numbers


@PROPERTY
@given(
    st.integers(0, 2**40),
    st.integers(1, 30).flatmap(lambda n: st.lists(st.lists(INT64, min_size=n, max_size=n), min_size=1, max_size=9)),
)
def test_tables_come_back(number: int, rows: list[list[int]]) -> None:
    found, table = decode_table(encode_table(number, column(rows)), len(rows))
    assert (found, table.tolist()) == (number, rows)


@FORMATS
def test_each_format_is_used_and_named_by_the_first_byte(name: str) -> None:
    kind, data, decode = ENCODED[name]
    assert data[0] == kind
    decode(data)


@pytest.mark.parametrize("count", [1, 2, 3, 10_000])
def test_what_is_regular_costs_nothing(count: int) -> None:
    steps = 1_700_000_000_000 + np.arange(count) * 250
    assert len(encode_ints(steps)) <= 20
    assert len(encode_floats(np.full(count, 0.1))) <= 20


def test_arrivals_of_equal_reports_cost_nothing() -> None:
    assert len(encode_ints(np.repeat(np.arange(7, 207), 50))) <= 20


def test_noise_costs_hardly_more_than_its_bytes() -> None:
    assert len(encode_floats(RANDOM.standard_normal(4_096))) <= 7.6 * 4_096
    assert len(encode_ints(RANDOM.integers(-(2**63), 2**63 - 1, 4_096))) <= 8 * 4_096 + 40


@pytest.mark.parametrize("count", [0, MAX_COUNT + 1])
def test_a_column_has_bounds(count: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 65,536 numbers, not {count:,}"):
        encode_ints(np.zeros(count, np.int64))


@FORMATS
def test_no_flipped_bit_goes_unseen(name: str) -> None:
    _, data, decode = ENCODED[name]
    for at in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(DamagedColumnError):
            decode(bytes(damaged))


@FORMATS
def test_nothing_cut_off_and_nothing_added_goes_unseen(name: str) -> None:
    _, data, decode = ENCODED[name]
    for damaged in [data[:size] for size in range(len(data))] + [data + b"\0", b"\0" + data, data + data, data[1:]]:
        with pytest.raises(DamagedColumnError):
            decode(damaged)


def test_columns_are_not_taken_for_each_other() -> None:
    with pytest.raises(DamagedColumnError, match=r"format 0x11, which is not one of real numbers \(0x01\)"):
        decode_floats(encode_ints(column([1, 2])), 2)
    with pytest.raises(DamagedColumnError, match="format 0x01, which is not one of whole numbers"):
        decode_ints(encode_floats(np.array([1.0])), 1)
    with pytest.raises(DamagedColumnError, match="holds 2 numbers where 3 are expected"):
        decode_ints(encode_ints(column([1, 2])), 3)
    with pytest.raises(DamagedColumnError, match="A table of 2 rows says that it has 3"):
        decode_table(encode_table(0, column([[1], [2], [3]])), 2)


def seal(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


@FORMATS
def test_forged_bytes_under_a_right_checksum_take_no_memory(name: str) -> None:
    """Damage that the checksum cannot see, because it was written so: still an error, or numbers; never gigabytes."""
    _, data, decode = ENCODED[name]
    chance = random.Random(name)
    tracemalloc.start()
    try:
        for _ in range(1_500):
            forged = bytearray(data[:-4])
            for _ in range(chance.randint(1, 4)):
                forged[chance.randrange(min(len(forged), chance.choice([8, 16, 999])))] = chance.choice(
                    [0, 255, chance.randrange(256)]
                )
            forged = forged[: chance.choice([len(forged), chance.randrange(1, len(forged))])]
            with contextlib.suppress(DamagedColumnError):
                decode(seal(bytes(forged)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x11\xff\xff\xff\xff\xff\x01\x00", "holds 68,719,476,735 numbers where 9 are expected"),
        (b"\x11\x09" + b"\xff" * 11, "does not end"),
        (b"\x11\x09\x00\x00\x09", "have 9 bytes"),
        (b"\x11\x09\x00\x00\x01\x00", "ends 7 bytes too early"),
        (b"\x11\x09\x00\x00\x00\x00", "1 bytes too many"),
        (b"\x13\x09\x0a", "has 10 runs"),
        (b"\x13\x09\x01\x00\x10\x00", "do not add up"),
        (b"\x11\x09\x00\x00\x81\x04\x00\x00\x00\x00", "cannot be decompressed"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, message: str) -> None:
    with pytest.raises(DamagedColumnError, match=message):
        decode_ints(seal(body), 9)


def test_a_compressed_gigabyte_is_not_decompressed() -> None:
    frame = zstandard.ZstdCompressor(level=1).compress(bytes(50_000_000))
    body = b"\x01\x09\x00\x88" + bytes([len(frame) & 0x7F | 0x80, len(frame) >> 7]) + frame
    tracemalloc.start()
    try:
        with pytest.raises(DamagedColumnError, match="does not hold the 72 bytes"):
            decode_floats(seal(body), 9)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_threads_do_not_disturb_each_other() -> None:
    def there_and_back(seed: int) -> bool:
        values = np.random.default_rng(seed).integers(0, 50, 2_000) / 8
        return all(np.array_equal(decode_floats(encode_floats(values), 2_000), values) for _ in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(16)))
