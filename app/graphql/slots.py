"""Values of a compiled statement: what varies between two requests of one shape.

Parsing an argument appends its values to a list and yields a *shape*, a hashable tree without values. Compiling walks
the shape in the same order and turns each value into a bind parameter, so one compiled statement serves every request
of that shape.
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


@dataclass(slots=True)
class Slots:
    """Hands out bind parameters for the values of a request, in the order in which parsing found them."""

    taken: int = 0
    params: dict[str, tuple[int, Convert | None]] = field(default_factory=dict)

    def take(self) -> int:
        """The index of the next value."""
        index = self.taken
        self.taken += 1
        return index

    def param(self, index: int, type_: TypeEngine[Any], convert: Convert | None = None) -> BindParameter[Any]:
        """A bind parameter for the value at `index`, or for what `convert` makes of it."""
        name = f"v{len(self.params)}"
        self.params[name] = (index, convert)
        return bindparam(name, type_=type_)

    def next(self, type_: TypeEngine[Any], convert: Convert | None = None) -> BindParameter[Any]:
        """A bind parameter for the next value."""
        return self.param(self.take(), type_, convert)
