"""The read engine, asked anything: errors have a code, data are what the schema promises, on both databases."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fuzz.answers import hold
from tests.fuzz.damage import nearly_valid_operation
from tests.fuzz.dice import throws
from tests.fuzz.grammar import Operation, odd_operation, operation
from tests.fuzz.library import Library
from tests.graphql.drawing import Draw


@pytest.mark.parametrize(
    ("drawn", "usual"),
    [(operation, 50), (odd_operation, 120), (nearly_valid_operation, 40)],
    ids=lambda one: getattr(one, "__name__", ""),
)
async def test_both_databases_answer_the_same(library: Library, drawn: Callable[[Draw], Operation], usual: int) -> None:
    for d in throws(drawn.__name__, usual):
        await hold(library, library.someone(d), drawn(d))
