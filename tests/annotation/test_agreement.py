"""Agreement, against published examples and against the formulas of the literature, written out plainly here."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.annotation.agreement import AgreementMeasure, Answered, Pattern, measure
from app.annotation.tables import QuestionType

LABEL, RATING, MULTI_LABEL = QuestionType.LABEL, QuestionType.RATING, QuestionType.MULTI_LABEL

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C: 12 units, 4 observers, * is missing.
OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 * * *",
    "1 2 3 3 2 2 4 1 2 5 * 3",
    "* 3 3 3 2 3 4 2 2 5 1 *",
    "1 2 3 3 2 4 4 1 2 5 1 *",
)
KRIPPENDORFF = [
    tuple(int(value) for value in unit if value != "*")
    for unit in zip(*(row.split() for row in OBSERVERS), strict=True)
]

# Fleiss' kappa as Wikipedia works it out: 14 raters, 10 subjects, 5 categories; 0.210.
FLEISS = [
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip

# Cohen's kappa as Wikipedia works it out: 50 proposals; 0.4.
COHEN = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15

Units = Sequence[tuple[Any, ...]]


def answered(units: Units, *, is_pair: bool = False) -> Answered:
    several = Counter(unit for unit in units if len(unit) > 1)
    return Answered([Pattern(unit, records) for unit, records in several.items()], is_pair)


def measured(question: QuestionType, units: Units, *, is_pair: bool = False) -> dict[str, tuple[Any, int]]:
    found = measure(question, answered(units, is_pair=is_pair))
    return {one.measure.name: (one.value, one.records) for one in found}


def nominal(one: Hashable, other: Hashable) -> float:
    return float(one != other)


def interval(one: float, other: float) -> float:
    return (one - other) ** 2


def masi(one: frozenset[str], other: frozenset[str]) -> float:
    """Passonneau 2006: 1 - J * M, M being 1 for equal sets, 2/3 for a subset, 1/3 for an overlap, 0 otherwise."""
    if one == other:
        return 0.0
    if not one & other:
        return 1.0
    m = 2 / 3 if one <= other or other <= one else 1 / 3
    return 1 - len(one & other) / len(one | other) * m


def alpha(units: Units, distance: Callable[[Any, Any], float]) -> float | None:
    """1 - Do / De over all pairs of pairable values (Krippendorff 2011, section on arbitrary metrics)."""
    pairable = [unit for unit in units if len(unit) > 1]
    values = [value for unit in pairable for value in unit]
    if len(set(values)) < 2:
        return None
    n = len(values)
    observed = sum(sum(distance(*pair) for pair in permutations(unit, 2)) / (len(unit) - 1) for unit in pairable) / n
    expected = sum(distance(*pair) for pair in permutations(values, 2)) / (n * (n - 1))
    return float(1 - observed / expected)


def fleiss(units: Units) -> float | None:
    """(P - Pe) / (1 - Pe), all units with the same number of values (Fleiss 1971)."""
    n, subjects = len(units[0]), len(units)
    shares = Counter(value for unit in units for value in unit)
    expected = sum((count / (n * subjects)) ** 2 for count in shares.values())
    if len(shares) < 2:
        return None
    agreement = sum((sum(count**2 for count in Counter(unit).values()) - n) / (n * (n - 1)) for unit in units)
    return float((agreement / subjects - expected) / (1 - expected))


def cohen(units: Units) -> float | None:
    """(po - pe) / (1 - pe) of two raters (Cohen 1960)."""
    n = len(units)
    first, second = Counter(unit[0] for unit in units), Counter(unit[1] for unit in units)
    if len(first.keys() | second.keys()) < 2:
        return None
    expected = sum(first[value] * second[value] for value in first) / n**2
    return float((sum(one == other for one, other in units) / n - expected) / (1 - expected))


def test_published_examples() -> None:
    found = measured(LABEL, KRIPPENDORFF)
    assert found["KRIPPENDORFFS_ALPHA"] == (pytest.approx(0.743, abs=0.0005), 11)
    assert measured(RATING, KRIPPENDORFF)["KRIPPENDORFFS_ALPHA"] == (pytest.approx(0.849, abs=0.0005), 11)
    raters = [tuple(value for value, count in enumerate(row) for _ in range(count)) for row in FLEISS]
    assert measured(LABEL, raters)["FLEISS_KAPPA"] == (pytest.approx(0.210, abs=0.0005), 10)
    assert measured(LABEL, COHEN, is_pair=True)["COHENS_KAPPA"] == (pytest.approx(0.4), 50)
    assert measured(LABEL, COHEN)["COHENS_KAPPA"] == (None, 0)


def test_masi_is_that_of_the_paper() -> None:
    sets = [(frozenset("ab"), frozenset("abcd")), (frozenset("a"), frozenset("a")), (frozenset(), frozenset("c"))]
    assert masi(*sets[0]) == pytest.approx(2 / 3)  # Passonneau's own example of a subset
    assert measured(MULTI_LABEL, sets)["KRIPPENDORFFS_ALPHA"] == (pytest.approx(alpha(sets, masi)), 3)
    assert measured(MULTI_LABEL, sets)["PERCENTAGE"] == (pytest.approx(1 / 3), 3)


VALUES: dict[QuestionType, tuple[st.SearchStrategy[Any], Callable[[Any, Any], float]]] = {
    LABEL: (st.sampled_from("abc"), nominal),
    RATING: (st.integers(1, 5), interval),
    MULTI_LABEL: (st.frozensets(st.sampled_from("abc")), masi),
}


@pytest.mark.parametrize("question", VALUES)
def test_any_overlap(question: QuestionType) -> None:
    values, distance = VALUES[question]

    @settings(deadline=None)  # the first call imports NLTK
    @given(st.lists(st.lists(values, max_size=5).map(tuple), max_size=12))
    def check(units: list[tuple[Any, ...]]) -> None:
        several = [unit for unit in units if len(unit) > 1]
        found = measured(question, units)
        assert found["KRIPPENDORFFS_ALPHA"] == (approx(alpha(units, distance)), len(several))
        pairs = [sum(a == b for a, b in permutations(unit, 2)) / len(unit) / (len(unit) - 1) for unit in several]
        assert found["PERCENTAGE"] == (approx(sum(pairs) / len(pairs) if pairs else None), len(several))
        sizes = Counter(map(len, several))
        if "FLEISS_KAPPA" in found and sizes:
            size = max(sizes, key=lambda number: (sizes[number], number))
            same = [unit for unit in several if len(unit) == size]
            assert found["FLEISS_KAPPA"] == (approx(fleiss(same)), len(same))

    check()


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=20))
def test_any_two(units: list[tuple[str, str]]) -> None:
    assert measured(LABEL, units, is_pair=True)["COHENS_KAPPA"] == (approx(cohen(units)), len(units))


def approx(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(
    ("units", "expected"),
    [([], (None, None)), ([("a",), ("b",)], (None, None)), ([("a", "a"), ("a", "a")], (1.0, None))],
)
def test_what_is_not_defined_is_null(units: Units, expected: tuple[float | None, float | None]) -> None:
    for is_pair in (False, True):
        found = measured(LABEL, units, is_pair=is_pair)
        assert found["PERCENTAGE"][0] == expected[0]
        assert {value for name, (value, _) in found.items() if name != "PERCENTAGE"} == {expected[1]}


def test_too_many_different_answers_have_no_coefficient() -> None:
    draw = random.Random(1)
    units = [(draw.randrange(10**9), draw.randrange(10**9)) for _ in range(300)]
    assert measured(RATING, units)["KRIPPENDORFFS_ALPHA"] == (None, 300)
    assert measured(RATING, units)["PERCENTAGE"] == (0.0, 300)


def test_every_measure_is_of_some_question() -> None:
    assert {one.measure for type_ in VALUES for one in measure(type_, answered([]))} == set(AgreementMeasure)
