"""Draws by dice of their own: the same for a seed, and as wide as they can be.

Hypothesis looks for small examples: of three operations that it draws one is asked of a database, and few of those have
more than one list. Here nothing is made small, but a failure names an operation that can be read.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.budget import FACTOR, SEED
from tests.graphql.drawing import FLOATS, TEXTS, Draw

PLANES = [
    (0x20, 0x7E),
    (0x20, 0x7E),
    (0xA0, 0x2FF),
    (0x370, 0x5FF),
    (0x3040, 0x30FF),
    (0x4E00, 0x9FFF),
    (0x1F300, 0x1F6FF),
]


class Dice(Draw):
    """What is drawn depends on the seed alone."""

    def __init__(self, seed: int | str) -> None:
        self._dice = random.Random(seed)
        super().__init__(self._no_strategies)

    def upto(self, most: int) -> int:
        return self._dice.randint(0, most)

    def text(self) -> str:
        if self.chance(60):
            return self.one(TEXTS)
        return "".join(chr(self._dice.randint(*self.one(PLANES))) for _ in range(self.upto(4)))

    def number(self) -> float:
        return self.one(FLOATS) if self.chance(70) else self._dice.uniform(-1, 1) * 10 ** self._dice.randint(-300, 300)

    @staticmethod
    def _no_strategies(_: st.SearchStrategy[Any]) -> Any:
        raise AssertionError("dice know no strategies")


def throws(name: str, usual: int) -> Iterator[Dice]:
    """Dice for each of so many examples in the bounded part."""
    for number in range(usual * max(1, FACTOR)):
        yield Dice(f"{name} {SEED} {number}")
