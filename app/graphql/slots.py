"""Values of a compiled statement: what varies between two requests of one shape.

Parsing an argument appends its values to a list and yields a *shape*: a hashable tree that holds the indexes of the
values instead of the values. Compiling turns each index into a bind parameter, so that one compiled statement serves
every request of that shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, bindparam
from sqlalchemy.types import TypeEngine

Shape = Any
"""Nested tuples of plain values: hashable, comparable, without anything that varies between requests."""

Convert = Callable[[Any], Any]


def put(values: list[Any], value: Any) -> int:
    """Appends a value and returns its index."""
    values.append(value)
    return len(values) - 1


@dataclass(slots=True)
class Slots:
    """The bind parameters of one statement: which value each of them stands for."""

    params: dict[str, tuple[int, Convert | None]] = field(default_factory=dict)

    def param(self, index: int, type_: TypeEngine[Any], convert: Convert | None = None) -> BindParameter[Any]:
        """A bind parameter for the value at `index`, or for what `convert` makes of it."""
        name = f"v{len(self.params)}"
        self.params[name] = (index, convert)
        return bindparam(name, type_=type_)
