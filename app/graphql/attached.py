"""Attached fields: what SQL cannot compute, loaded once for all parents and spliced into the finished JSON.

The statement leaves the parent's id where the value belongs. Only answers with such fields are parsed at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from app.graphql.entity import Attached
from app.graphql.selection import Bound, Pick, Template

Put = Callable[[Any], None]


async def splice(
    template: Template, picks: Sequence[Pick], bound: Bound, texts: Sequence[str | bytes], context: Any
) -> list[bytes]:
    """The JSON texts with their attached fields filled in: one call of the loader per field, for all texts together.

    `picks` is what every text answers.
    """
    answers = [orjson.loads(text) for text in texts]
    for pick in template.attached:
        places = [place for answer in answers for place in _places(picks, answer, pick)]
        ids = sorted({number for number, _ in places})
        assert isinstance(pick.declaration, Attached)
        loaded = await pick.declaration.loader(context, ids, bound.attached.get(id(pick), {})) if ids else {}
        for number, put in places:
            put(_picked(pick.inner, loaded.get(number)))
    return [orjson.dumps(answer) for answer in answers]


def _places(picks: Sequence[Pick], answer: Any, wanted: Pick) -> Iterator[tuple[int, Put]]:
    """Where the wanted field stands in an answer: the parent's id found there, and how to put the value."""
    if isinstance(answer, list):
        for item in answer:
            yield from _places(picks, item, wanted)
    elif isinstance(answer, dict):
        for pick in picks:
            if pick is wanted:
                yield answer[pick.key], _put(answer, pick.key)
            elif pick.inner:
                yield from _places(pick.inner, answer[pick.key], wanted)


def _put(answer: dict[str, Any], key: str) -> Put:
    def put(value: Any) -> None:
        answer[key] = value

    return put


def _picked(picks: Sequence[Pick], value: Any) -> Any:
    """What was asked for of a loaded object; scalars stay as they are."""
    if not picks or value is None:
        return value
    if isinstance(value, list):
        return [_picked(picks, item) for item in value]
    return {
        pick.key: pick.type_name if pick.name == "__typename" else _picked(pick.inner, value.get(pick.name))
        for pick in picks
    }
