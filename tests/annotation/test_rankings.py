"""Rankings: complete, with ties only where they are allowed, and equal orders as equal bytes."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.annotation.answers import check_answers
from app.annotation.questions import AnswerError, AskedQuestion, Option, RankingSettings
from app.annotation.tables import ResponseStatus
from app.db.types import json_text

OPTIONS = tuple(Option(value) for value in ("reason", "duty", "fear", "hope"))
STRICT, TIED = RankingSettings(OPTIONS), RankingSettings(OPTIONS, allow_ties=True)


def ranking(*pairs: tuple[Any, Any]) -> list[dict[str, Any]]:
    return [{"value": value, "rank": rank} for value, rank in pairs]


COMPLETE = ranking(("fear", 1), ("reason", 2), ("hope", 3), ("duty", 4))


def test_an_order_is_stored_best_first() -> None:
    assert STRICT.check(ranking(("hope", 3), ("duty", 4.0), ("fear", 1), ("reason", 2)), {}) == COMPLETE
    assert json_text(STRICT.check(COMPLETE[::-1], {})) == json_text(COMPLETE)


@pytest.mark.parametrize("ranks", [(1, 1, 2, 3), (1, 1, 3, 4), (2, 2, 3, 4)])
def test_after_a_tie_a_rank_counts_those_before(ranks: tuple[int, ...]) -> None:
    given_ranks = zip(("hope", "duty", "fear", "reason"), ranks, strict=True)
    assert TIED.check(ranking(*given_ranks), {}) == ranking(("duty", 1), ("hope", 1), ("fear", 3), ("reason", 4))


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ("fear", (), '"fear" is not a ranking: write [{"value": "reason", "rank": 1}, …], with every option once.'),
        (["fear"], (0,), '"fear" is no option with its rank: write {"value": …, "rank": …}.'),
        ([{"value": "fear"}], (0,), "is no option with its rank"),
        ([{"value": "fear", "rank": 1, "why": ""}], (0,), "is no option with its rank"),
        (ranking(("hope", 1), ("faer", 2)), (1, "value"), 'allowed are "reason", "duty", "fear", "hope". Is "fear"'),
        (ranking((["hope"], 1)), (0, "value"), '["hope"] is not an option'),
        (ranking(("hope", 1), ("hope", 2)), (1, "value"), '"hope" has a rank already: name each option once.'),
        (ranking(("hope", 0)), (0, "rank"), '0 is no rank of "hope": the best has rank 1, and there are 4 options.'),
        (ranking(("hope", 5)), (0, "rank"), "5 is no rank"),
        (ranking(("hope", 1.5)), (0, "rank"), "1.5 is no rank"),
        (ranking(("hope", True)), (0, "rank"), "true is no rank"),
        (ranking(("hope", "1")), (0, "rank"), '"1" is no rank'),
        (ranking(("hope", 2), ("fear", 2)), (1, "rank"), '"fear" and "hope" both have rank 2: this question allows no'),
    ],
)
def test_a_wrong_ranking_is_named(value: Any, path: tuple[Any, ...], message: str) -> None:
    with pytest.raises(AnswerError) as caught:
        STRICT.check(value, {})
    assert message in str(caught.value)
    assert caught.value.path == path


@pytest.mark.parametrize("settings", [STRICT, TIED])
def test_only_a_draft_or_a_discard_may_leave_options_out(settings: RankingSettings) -> None:
    questions = {"appeal": AskedQuestion("appeal", False, settings)}
    begun = {"appeal": ranking(("hope", 2), ("fear", 4))}
    for status in (ResponseStatus.DRAFT, ResponseStatus.DISCARDED):
        assert check_answers(questions, begun, status) == (begun, [])
    for partial in (begun["appeal"], []):
        _, (error,) = check_answers(questions, {"appeal": partial}, ResponseStatus.SUBMITTED)
        assert error.path == ("appeal",)
        assert error.message.startswith("appeal: The ranking leaves out ")
        assert error.message.endswith(": give every option a rank.")
    assert check_answers(questions, {"appeal": None}, ResponseStatus.SUBMITTED) == ({}, [])


@st.composite
def orders(draw: st.DrawFn) -> list[dict[str, Any]]:
    values = draw(st.permutations([option.value for option in OPTIONS]))
    return ranking(*[(value, draw(st.integers(1, 4))) for value in values])


@given(orders(), st.randoms(use_true_random=False))
def test_equal_orders_are_equal_bytes_and_the_order_stays(value: list[dict[str, Any]], random: Any) -> None:
    normal = TIED.check(value, {})
    shuffled = random.sample(value, len(value))
    assert json_text(TIED.check(shuffled, {})) == json_text(normal) == json_text(TIED.check(normal, {}))
    given_rank = {item["value"]: item["rank"] for item in value}
    for one, other in pairwise(normal):
        assert (one["rank"] < other["rank"]) == (given_rank[one["value"]] < given_rank[other["value"]])
    for item in normal:
        assert item["rank"] == 1 + sum(other["rank"] < item["rank"] for other in normal)


@given(orders())
def test_without_ties_a_complete_ranking_is_a_permutation(value: list[dict[str, Any]]) -> None:
    if len({item["rank"] for item in value}) == len(OPTIONS):
        assert [item["rank"] for item in STRICT.check(value, {})] == [1, 2, 3, 4]
    else:
        with pytest.raises(AnswerError, match="allows no ties"):
            STRICT.check(value, {})
