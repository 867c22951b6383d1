"""The type of question that is answered by an order of options.

An answer lists the options with their ranks, the best first: `[{"value": "b", "rank": 1}, {"value": "a", "rank": 2}]`.
Where ties are allowed, an option's rank is one more than the number of options before it, as in sports: 1, 1, 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from typing_extensions import override

from app.annotation.checks import listed, shown
from app.annotation.options import Option, checked_option, option_problems, options_from_json, options_to_json
from app.annotation.question_type import AnswerError, QuestionSettings, flag_problems, whole
from app.annotation.tables import QuestionType
from app.errors import GradbookError

MAX_RANKED = 50  # options; more than anybody puts in order


@dataclass(frozen=True, slots=True)
class RankingSettings(QuestionSettings):
    """An order of all options, in which some may share a rank if `allow_ties` says so."""

    options: Sequence[Option]
    allow_ties: bool = False

    type = QuestionType.RANKING
    key = "ranking"

    @classmethod
    @override
    def from_json(cls, settings: Mapping[str, Any]) -> Self:
        return cls(options_from_json(settings.get("options")), settings.get("allowTies", False))

    @override
    def to_json(self) -> dict[str, Any]:
        return {"options": options_to_json(self.options), "allowTies": self.allow_ties}

    @override
    def problems(self) -> Iterator[GradbookError]:
        yield from option_problems(self.options, limit=MAX_RANKED)
        yield from flag_problems(self.allow_ties, "allowTies")

    @override
    def check(self, value: Any, record_fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Sorted by rank, then as the options are. The ranks of a complete order leave no gap but after a tie."""
        if not isinstance(value, list | tuple):
            example = f'[{{"value": {shown(self.options[0].value)}, "rank": 1}}, …]'
            raise AnswerError(f"{shown(value)} is not a ranking: write {example}, with every option once.")
        ranks: dict[int, int] = {}
        for index, item in enumerate(value):
            place, rank = self._checked_item(item, index)
            if place in ranks:
                raise AnswerError(f"{shown(item['value'])} has a rank already: name each option once.", index, "value")
            other = None if self.allow_ties else next((other for other in ranks if ranks[other] == rank), None)
            if other is not None:
                message = (
                    f"{shown(item['value'])} and {shown(self.options[other].value)} both have rank {rank}: this "
                    "question allows no ties, so give each its own."
                )
                raise AnswerError(message, index, "rank")
            ranks[place] = rank
        if len(ranks) == len(self.options):
            ranks = {place: 1 + sum(other < rank for other in ranks.values()) for place, rank in ranks.items()}
        order = sorted(ranks, key=lambda place: (ranks[place], place))
        return [{"value": self.options[place].value, "rank": ranks[place]} for place in order]

    @override
    def missing(self, value: Any) -> str | None:
        ranked = {item["value"] for item in value}
        left_out = [option.value for option in self.options if option.value not in ranked]
        return f"The ranking leaves out {listed(left_out)}: give every option a rank." if left_out else None

    def _checked_item(self, item: Any, index: int) -> tuple[int, int]:
        """The place of an option among the options, and its rank."""
        if not isinstance(item, Mapping) or item.keys() != {"value", "rank"}:
            raise AnswerError(f'{shown(item)} is no option with its rank: write {{"value": …, "rank": …}}.', index)
        place = checked_option(self.options, item["value"], index, "value")
        rank = whole(item["rank"])
        if rank is None or not 1 <= rank <= len(self.options):
            message = (
                f"{shown(item['rank'])} is no rank of {shown(item['value'])}: the best has rank 1, and there are "
                f"{len(self.options)} options."
            )
            raise AnswerError(message, index, "rank")
        return place, rank
