"""SQL functions that SQLite lacks, registered on every connection of ours: readers, writer, migrations."""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections.abc import Callable
from fractions import Fraction
from typing import Any


def float_text(value: float | None) -> str | None:
    """A number's shortest digits that read back as the same double, byte for byte as PostgreSQL's float8out.

    Non-finite numbers become JSON strings, quotes included, so that the result is always a JSON value.
    """
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        return '"NaN"' if math.isnan(number) else '"Infinity"' if number > 0 else '"-Infinity"'
    # Python's digits are PostgreSQL's wherever no midpoint between two doubles has 17 digits or fewer; its layout is
    # PostgreSQL's below 1e15, but for the ".0".
    if 1e15 <= abs(number) < 1e40:
        return _large_float_text(number)
    text = repr(number)
    return text.removesuffix(".0")


def _large_float_text(number: float) -> str:
    digits, exponent = _shortest_digits(abs(number))
    point = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if number < 0 else ''}{digits[0]}{point}e+{exponent:02}"


def _shortest_digits(number: float) -> tuple[str, int]:
    # The shortest decimal strictly between the midpoints to the neighbouring doubles, and of those the nearest. repr
    # also takes a midpoint itself when it would be rounded to this double (1e23); PostgreSQL's Ryu does not.
    exact = Fraction(number)
    low = (exact + Fraction(math.nextafter(number, 0))) / 2
    high = (exact + Fraction(math.nextafter(number, math.inf))) / 2
    exponent = len(str(int(exact))) - 1
    for unit in range(exponent, exponent - 18, -1):
        scale = Fraction(10) ** unit
        below = exact // scale
        nearest = sorted((below, below + 1), key=lambda count: (abs(count * scale - exact), count % 2))
        for count in nearest:
            if low < count * scale < high:
                digits = str(count)
                return digits.rstrip("0"), unit + len(digits) - 1
    raise AssertionError(f"17 digits always tell a double from its neighbours, but not {number!r}")


def sha256_hex(text: str | None) -> str | None:
    """The SHA-256 of the text's UTF-8, as 64 hexadecimal digits."""
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


# name, number of arguments, implementation. All are deterministic, so that they may stand in an index.
FUNCTIONS: tuple[tuple[str, int, Callable[..., Any]], ...] = (
    ("float_text", 1, float_text),
    ("sha256_hex", 1, sha256_hex),
)


def register(connection: sqlite3.Connection) -> None:
    """Add the functions to a connection."""
    for name, arguments, implementation in FUNCTIONS:
        connection.create_function(name, arguments, implementation, deterministic=True)
