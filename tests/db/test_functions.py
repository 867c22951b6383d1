"""`float_text` and `sha256_hex` of SQLite against what PostgreSQL prints."""

import math
import random
import struct

import pytest

from app.db import Database
from app.db.functions import float_text, sha256_hex
from tests.support.postgres import PostgresServer

BOUNDARIES = [0.0, -0.0, 100.0, 0.1 + 0.2, 1e15, 999999999999999.0, 1e16, 1e14, 1e-4, 1e-5, 1.5e-5, 0.00012345]
EXTREMES = [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 9007199254740993.0, 123456789012345680.0]
# Shortest digits that lie on the midpoint between two doubles: Python takes them, PostgreSQL does not.
MIDPOINTS = [1e23, 4.399996066760966e16, -6.63471977705317e16, 9.5367431640625e-07]


def numbers() -> list[float]:
    draw = random.Random(20260101)  # the same numbers in every run
    anything = [struct.unpack("d", draw.randbytes(8))[0] for _ in range(3_000)]
    rounded = [round(draw.uniform(-10, 10), draw.randint(0, 6)) * 10.0**e for e in range(-25, 40) for _ in range(30)]
    powers = [10.0**e * k for e in range(10, 42) for k in range(1, 40)] + [2.0**e for e in range(-100, 200)]
    whole = [float(draw.randint(-(2**62), 2**62)) for _ in range(1_000)]
    return [n for n in BOUNDARIES + EXTREMES + MIDPOINTS + anything + rounded + powers + whole if math.isfinite(n)]


async def test_float_text_prints_what_postgresql_prints(postgres: PostgresServer) -> None:
    connection = await postgres.connect()
    try:
        rows = await connection.fetch("SELECT v, v::text FROM unnest($1::float8[]) AS u (v)", numbers())
    finally:
        await connection.close()
    assert len(rows) > 5_000
    assert [(v, float_text(v)) for v, _ in rows] == [(v, text) for v, text in rows]


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, '"NaN"'), (math.inf, '"Infinity"'), (-math.inf, '"-Infinity"'), (3, "3"), (None, None)],
)
def test_float_text_is_always_json(value: float | None, text: str | None) -> None:
    assert float_text(value) == text


async def test_both_databases_compute_the_same(database: Database) -> None:
    floats = {"sqlite": "float_text({})", "postgresql": "{}::float8::text"}[database.dialect_name]
    digest = {
        "sqlite": "sha256_hex('Grüße')",
        "postgresql": "encode(sha256(convert_to('Grüße', 'UTF8')), 'hex')",
    }[database.dialect_name]
    [(text, hexadecimal)] = await database.read(f"SELECT {floats.format(1e16)}, {digest}")
    assert text == "1e+16"
    assert hexadecimal == sha256_hex("Grüße")
    assert sha256_hex(None) is None
