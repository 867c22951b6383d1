"""Attached fields: what SQL cannot compute, loaded once for all parents and spliced into the finished JSON.

Where the value belongs, the statement leaves the field's place and the parent's id between two marks, which JSON never
holds bare. So nothing is parsed, and everything else stays byte for byte as the database wrote it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson
from graphql import GraphQLLeafType, GraphQLList, GraphQLNonNull, GraphQLOutputType

from app.graphql.arguments import Bound
from app.graphql.entity import Attached
from app.graphql.refs import Ref
from app.graphql.selection import TYPENAME, Pick, Template

MARK = "\x01"

_ROW = ""  # the refs of loaded objects have one place for each key, payloads' refs have paths

ReadRows = Callable[[Pick, Sequence[int]], Awaitable[Mapping[int, str]]]
"""(what is picked of a row, ids) -> the JSON of the rows that the viewer sees."""


async def splice(
    template: Template, bound: Bound, texts: Sequence[str], context: Any, read_rows: ReadRows
) -> list[str]:
    """The JSON texts with their attached fields filled in: one call of the loader per field, for all texts together.

    Where a loaded object has a ref to a row, `read_rows` reads it: once per field, in the viewer's scope.
    """
    pieces = [text.split(MARK) for text in texts]
    found = {hole for text in pieces for hole in text[1::2]}
    values: dict[str, str] = {}
    for place, (pick, _) in enumerate(template.attached):
        ids = {int(hole.partition(":")[2]): hole for hole in found if hole.startswith(f"{place}:")}
        if ids:
            assert isinstance(pick.declaration, Attached)
            loaded = await pick.declaration.loader(context, sorted(ids), bound.attached[place])
            for inner, refs in _refs(pick, list(loaded.values())):
                rows = await read_rows(inner, list(dict.fromkeys(item.id for item in refs)))
                for item in refs:
                    item.found[_ROW, inner.key] = rows.get(item.id)
            for number, hole in ids.items():
                values[hole] = orjson.dumps(_completed(pick, pick.type, loaded.get(number))).decode()
    for text in pieces:
        text[1::2] = [values[hole] for hole in text[1::2]]
    return ["".join(text) for text in pieces]


def _refs(pick: Pick, values: Sequence[Any]) -> Iterator[tuple[Pick, list[Ref]]]:
    """The picks below that are rows, each with the refs that the values hold for it."""
    objects = [item for value in values for item in _objects(value)]
    for inner in pick.inner:
        if inner.name == TYPENAME:
            continue
        found = [value for item in objects if (value := item.get(inner.name)) is not None]
        if inner.template is None:
            yield from _refs(inner, found)
        elif found:
            yield inner, found


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _objects(item)


def _completed(pick: Pick, type_: GraphQLOutputType, value: Any) -> Any:
    """What was asked for of a loaded value, checked against its type. Raises TypeError for what does not fit."""
    if isinstance(type_, GraphQLNonNull):
        if value is None:
            raise TypeError(f"The loader of '{pick.name}' gave null where {type_} is promised.")
        return _completed(pick, type_.of_type, value)
    if value is None:
        return None
    if isinstance(type_, GraphQLList):
        return [_completed(pick, type_.of_type, item) for item in value]
    if isinstance(value, Ref):
        text = value.found[_ROW, pick.key]
        return None if text is None else orjson.Fragment(text)
    if isinstance(type_, GraphQLLeafType):
        return type_.coerce_output_value(value)
    return {
        inner.key: inner.type_name if inner.name == TYPENAME else _completed(inner, inner.type, value.get(inner.name))
        for inner in pick.inner
    }
