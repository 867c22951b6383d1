"""What the product says to the database for one operation: its own statements, for the bare handler to repeat."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from app.db import Database
from app.db.postgresql import PostgresUnitOfWork
from app.db.sqlite import SqliteUnitOfWork

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


@dataclass(frozen=True, slots=True)
class Said:
    """One statement with the parameters it had."""

    sql: str
    parameters: tuple[Any, ...]

    def naming(self, **known: Any) -> Repeatable:
        """The statement with names for those parameters that had a known value, and `now` for instants."""
        return Repeatable(self.sql, self.parameters, tuple(_name(given, known) for given in self.parameters))


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A statement to be said again with other values in the places that have names."""

    sql: str
    parameters: tuple[Any, ...]
    names: tuple[str | None, ...]

    def on(self, **values: Any) -> tuple[str, list[Any]]:
        """The text and the parameters with these values."""
        return self.sql, [
            given if name is None else values[name] for name, given in zip(self.names, self.parameters, strict=True)
        ]


@contextmanager
def recorded(database: Database) -> Iterator[list[Said]]:
    """Collects the statements of reads and of transactions within the block."""
    said: list[Said] = []
    backend: Any = database.backend
    unit: Any = SqliteUnitOfWork if backend.name == "sqlite" else PostgresUnitOfWork
    read, fetch = backend.read, unit._fetch

    async def reading(sql: str, parameters: Sequence[Any]) -> Any:
        said.append(Said(sql, tuple(parameters)))
        return await read(sql, parameters)

    def fetching(self: Any, sql: str, parameters: Sequence[Any]) -> Any:
        said.append(Said(sql, tuple(parameters)))
        return fetch(self, sql, parameters)

    with patch.object(backend, "read", reading), patch.object(unit, "_fetch", fetching):
        yield said


def _name(given: Any, known: Mapping[str, Any]) -> str | None:
    if isinstance(given, datetime.datetime) or (isinstance(given, str) and _INSTANT.fullmatch(given)):
        return "now"
    return next((name for name, value in known.items() if type(value) is type(given) and value == given), None)
