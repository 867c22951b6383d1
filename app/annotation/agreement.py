"""How far people agree: measures over the submitted answers to one question.

The data come aggregated (`app.annotation.agreement_data`): how often which answers were given to one record. The
coefficients are NLTK's; its import takes a second and its arithmetic is Python's, so compute them in a thread.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import orjson

from app.annotation.tables import QuestionType

MAX_VALUES = 500
"""Different answers to one question, at most: a coefficient compares each with each, 250,000 in 0.3 s."""


class AgreementMeasure(enum.Enum):
    """A measure of agreement."""

    PERCENTAGE = "PERCENTAGE"
    COHENS_KAPPA = "COHENS_KAPPA"
    FLEISS_KAPPA = "FLEISS_KAPPA"
    KRIPPENDORFFS_ALPHA = "KRIPPENDORFFS_ALPHA"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Answers that records got, at least two, in the order of the users; `records` is how many got just these."""

    answers: tuple[Hashable, ...]
    records: int


@dataclass(frozen=True, slots=True)
class Answered:
    """All patterns of one question. `is_pair`: each record was answered by the same two users."""

    patterns: Sequence[Pattern]
    is_pair: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """A value, None where it is not defined, and the number of records that it rests on."""

    measure: AgreementMeasure
    value: float | None
    records: int


NOBODY = Answered((), is_pair=False)

_KAPPAS = (AgreementMeasure.COHENS_KAPPA, AgreementMeasure.FLEISS_KAPPA)
MEASURES: Mapping[QuestionType, tuple[AgreementMeasure, ...]] = {
    QuestionType.LABEL: (AgreementMeasure.PERCENTAGE, *_KAPPAS, AgreementMeasure.KRIPPENDORFFS_ALPHA),
    QuestionType.RATING: (AgreementMeasure.PERCENTAGE, *_KAPPAS, AgreementMeasure.KRIPPENDORFFS_ALPHA),
    QuestionType.MULTI_LABEL: (AgreementMeasure.PERCENTAGE, AgreementMeasure.KRIPPENDORFFS_ALPHA),
}
"""What is measured of which question. Texts, rankings and spans are left out: equality says little about them."""


def answers_of(question: QuestionType, pattern: str) -> tuple[Hashable, ...]:
    """The answers in a JSON list, as they are compared: those to a multi-label question are sets."""
    answers = orjson.loads(pattern)
    return tuple(frozenset(one) for one in answers) if question is QuestionType.MULTI_LABEL else tuple(answers)


def measure(question: QuestionType, answered: Answered) -> list[Measured]:
    """All measures of a question of this type."""
    return [Measured(one, *_COMPUTED[one](question, answered)) for one in MEASURES[question]]


def _percentage(_: QuestionType, answered: Answered) -> tuple[float | None, int]:
    """The share of equal pairs among the pairs of answers to one record, averaged over the records."""
    records = _records(answered.patterns)
    if not records:
        return None, 0
    return sum(_equal_pairs(one.answers) * one.records for one in answered.patterns) / records, records


def _cohens_kappa(_: QuestionType, answered: Answered) -> tuple[float | None, int]:
    """Cohen 1960, for two annotators who are the only ones; each value a category."""
    if not answered.is_pair or not _varies(answered.patterns):
        return None, _records(answered.patterns) if answered.is_pair else 0
    from nltk.metrics.agreement import AnnotationTask  # noqa: PLC0415 - takes a second

    return AnnotationTask(_triples(answered.patterns)).kappa_pairwise(0, 1), _records(answered.patterns)


def _fleiss_kappa(_: QuestionType, answered: Answered) -> tuple[float | None, int]:
    """Fleiss 1971, over the records with the most frequent number of answers; each value a category.

    With n answers to each of N records it differs from alpha by alpha's correction for small samples alone:
    alpha's expected disagreement is Nn / (Nn - 1) times that of kappa.
    """
    sizes: Counter[int] = Counter()
    for one in answered.patterns:
        sizes[len(one.answers)] += one.records
    if not sizes:
        return None, 0
    size = max(sizes, key=lambda number: (sizes[number], number))
    patterns = [one for one in answered.patterns if len(one.answers) == size]
    answers = size * sizes[size]
    alpha = _alpha(patterns)
    return None if alpha is None else 1 - (1 - alpha) * answers / (answers - 1), sizes[size]


def _krippendorffs_alpha(question: QuestionType, answered: Answered) -> tuple[float | None, int]:
    """Krippendorff 1980, for any number of answers: labels are nominal, ratings an interval scale.

    The distance of two sets of labels is MASI (Passonneau 2006).
    """
    return _alpha(answered.patterns, question), _records(answered.patterns)


_COMPUTED: Mapping[AgreementMeasure, Callable[[QuestionType, Answered], tuple[float | None, int]]] = {
    AgreementMeasure.PERCENTAGE: _percentage,
    AgreementMeasure.COHENS_KAPPA: _cohens_kappa,
    AgreementMeasure.FLEISS_KAPPA: _fleiss_kappa,
    AgreementMeasure.KRIPPENDORFFS_ALPHA: _krippendorffs_alpha,
}


def _alpha(patterns: Sequence[Pattern], question: QuestionType = QuestionType.LABEL) -> float | None:
    if not _varies(patterns):
        return None
    from nltk.metrics.agreement import AnnotationTask  # noqa: PLC0415 - takes a second
    from nltk.metrics.distance import binary_distance, interval_distance, masi_distance  # noqa: PLC0415 - takes a second

    def of_sets(one: frozenset[str], other: frozenset[str]) -> float:
        return 0.0 if one == other else float(masi_distance(one, other))  # of two empty sets it is 0 / 0

    distances: dict[QuestionType, Callable[[Any, Any], float]] = {
        QuestionType.LABEL: binary_distance,
        QuestionType.RATING: interval_distance,
        QuestionType.MULTI_LABEL: of_sets,
    }
    return float(AnnotationTask(_triples(patterns), distances[question]).alpha())


def _records(patterns: Sequence[Pattern]) -> int:
    return sum(one.records for one in patterns)


def _varies(patterns: Sequence[Pattern]) -> bool:
    """Whether agreement by chance can be told from agreement, and the number of values can be mastered."""
    return 2 <= len({answer for one in patterns for answer in one.answers}) <= MAX_VALUES


def _equal_pairs(answers: Sequence[Hashable]) -> float:
    pairs = list(combinations(answers, 2))
    return sum(one == other for one, other in pairs) / len(pairs)


def _triples(patterns: Sequence[Pattern]) -> list[tuple[int, int, Hashable]]:
    """(coder, item, label) as NLTK takes them; the coders are the places of the answers."""
    triples: list[tuple[int, int, Hashable]] = []
    item = 0
    for one in patterns:
        for _ in range(one.records):
            triples += [(coder, item, answer) for coder, answer in enumerate(one.answers)]
            item += 1
    return triples
