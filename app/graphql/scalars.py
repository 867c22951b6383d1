"""Scalars: instants, JSON, and the ids that say their kind."""

from __future__ import annotations

import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from app.db.types import checked_instant, instant_text
from app.errors import Code, GradbookError

JSON = NewType("JSON", object)
if TYPE_CHECKING:
    SafeInt = int
else:
    SafeInt = NewType("SafeInt", int)

MAX_SAFE = 2**53 - 1

# Columns of points, each looked at as a whole: graphql-core takes its time for every item of a list.
Steps = NewType("Steps", object)
Values = NewType("Values", object)
Times = NewType("Times", object)
Counts = NewType("Counts", object)


def parse_instant(value: object) -> datetime.datetime:
    """An ISO 8601 instant with its offset, in UTC."""
    try:
        parsed = datetime.datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise GraphQLError(
            f"{_shown(value)} is no instant: write ISO 8601 with an offset, such as '2026-01-31T09:30:00Z' or"
            " '2026-01-31T09:30:00.250000+02:00'."
        )
    try:
        return checked_instant(parsed)
    except ValueError as error:
        raise GraphQLError(str(error)) from error


def parse_safe_int(value: object) -> int:
    """A whole number of at most 53 bits; 3.0 is one, as with Int."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_SAFE:
        raise GraphQLError(f"{_shown(value)} is no whole number from -{MAX_SAFE} to {MAX_SAFE}.")
    return value


def _column(name: str, description: str) -> ScalarDefinition:
    """A list as one value: whoever takes it checks it, and whoever answers it has finished it."""
    return strawberry.scalar(
        name=name, description=description, serialize=lambda value: value, parse_value=lambda value: value
    )


SCALARS: dict[object, ScalarDefinition] = {
    datetime.datetime: strawberry.scalar(
        name="DateTime",
        description="An instant as ISO 8601 with an offset. Answers are always `YYYY-MM-DDTHH:MM:SS.ffffffZ`.",
        serialize=instant_text,
        parse_value=parse_instant,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value. Objects keep the order of their keys.",
        serialize=lambda value: value,
        parse_value=lambda value: value,
    ),
    SafeInt: strawberry.scalar(
        name="SafeInt",
        description="A whole number from -(2^53 - 1) to 2^53 - 1: what a double, and so every client, holds exactly.",
        serialize=lambda value: value,
        parse_value=parse_safe_int,
    ),
    Steps: _column("Steps", "A list of steps, whole numbers up to 2^53 - 1, one for each point."),
    Values: _column("Values", 'A list of values, one for each point: a number, or "NaN", "Infinity" or "-Infinity".'),
    Times: _column("Times", "A list of times in whole milliseconds since 1970, one for each point."),
    Counts: _column("Counts", "A list of counts, one for each point."),
}


def encode_id(prefix: str, number: int) -> str:
    """`rec`, 7312 as `rec_7312`."""
    return f"{prefix}_{number}"


def decode_id(prefix: str, text: Any, kind: str, path: tuple[str | int, ...] = ()) -> int:
    """The number of an id of the given kind; an error that says what stands there otherwise."""
    head, _, digits = text.partition("_") if isinstance(text, str) else ("", "", "")
    # 18 digits and one: the largest 64-bit number has 19.
    if head == prefix and digits.isascii() and digits.isdigit() and len(digits) <= 19 and int(digits) < 2**63:
        return int(digits)
    raise GradbookError(
        Code.INVALID_ID, f"{_shown(text)} is not the id of a {kind}: such an id looks like '{prefix}_123'.", path
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@cache
def type_name_words(name: str) -> str:
    """`ApiKey` as `API key`-like words: `api key`."""
    return "".join(" " + letter.lower() if letter.isupper() else letter for letter in name).strip()


__all__ = [
    "JSON",
    "SCALARS",
    "Counts",
    "SafeInt",
    "Steps",
    "Times",
    "Values",
    "decode_id",
    "encode_id",
    "parse_instant",
    "parse_safe_int",
    "type_name_words",
]
