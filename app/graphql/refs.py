"""Refs: rows in the payloads of mutations and subscriptions, which the engine reads for every place in the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import FieldNode, GraphQLObjectType, get_named_type

from app.graphql.entity import DECLARED, PartOf
from app.graphql.selection import Info, Names, Selections, Template, subfields

Fragment = orjson.Fragment


class Ref:
    """A row of an entity in a payload. `found` is its JSON per place in the answer, None where the viewer sees none."""

    __slots__ = ("entity", "found", "id")

    def __init__(self, entity: str, id: int) -> None:
        self.entity = entity
        self.id = id
        self.found: dict[Names, str | None] = {}

    def at(self, path: Sequence[str | int]) -> Fragment | None:
        """The JSON for a path in the answer."""
        text = self.found[tuple([part for part in path if isinstance(part, str)])]
        return None if text is None else Fragment(text)


def ref(entity: str, id: int | None) -> Any:
    """A payload's value for a field of an entity type."""
    return None if id is None else Ref(entity, id)


@dataclass(frozen=True, slots=True)
class Place:
    """A field of a payload's selection that stands for a row: the attributes that lead there, and its answer path.

    `part` is the row's field that is wanted, None for the row itself.
    """

    attributes: tuple[str, ...]
    path: Names
    target: str
    template: Template
    part: str | None = None

    def refs(self, payload: Any) -> list[Ref]:
        """The payload's refs at this place."""
        return list(_refs(payload, self.attributes))

    def answer(self, refs: Sequence[Ref], rows: Sequence[tuple[Any, ...]]) -> None:
        """Gives the refs their JSON, from rows of (id, JSON)."""
        texts = {row[0]: row[1] for row in rows}
        for item in refs:
            text = texts.get(item.id)
            # A part is cut out of an object that has nothing else: {"part":...}
            item.found[self.path] = text if text is None or self.part is None else text[len(self.part) + 4 : -1]


def find_places(selections: Selections, info: Info) -> list[Place]:
    """The places below a payload field."""
    type_ = get_named_type(info.return_type)
    assert isinstance(type_, GraphQLObjectType)
    return list(_places(selections, info, type_, info.field_nodes, (), (str(info.path.key),)))


def _places(
    selections: Selections,
    info: Info,
    type_: GraphQLObjectType,
    nodes: Sequence[FieldNode],
    attributes: tuple[str, ...],
    path: Names,
) -> Iterator[Place]:
    for key, group in subfields(info, type_, nodes).items():
        definition = type_.fields.get(group[0].name.value)
        below = None if definition is None else get_named_type(definition.type)
        if definition is None or not isinstance(below, GraphQLObjectType):
            continue
        declared = definition.extensions["strawberry-definition"]
        here = (*attributes, declared.python_name), (*path, key)
        part = declared.metadata.get(DECLARED)
        if isinstance(part, PartOf):
            yield Place(*here, part.target, selections.part_template(info, part, group), part.field)
        elif below.name in selections.entities:
            yield Place(*here, below.name, selections.template(info, below.name, group))
        else:
            yield from _places(selections, info, below, group, *here)


def _refs(payload: Any, attributes: Sequence[str]) -> Iterator[Ref]:
    """The refs at an attribute path of a payload, through lists."""
    if payload is None:
        return
    if isinstance(payload, list | tuple):
        for item in payload:
            yield from _refs(item, attributes)
    elif attributes:
        yield from _refs(getattr(payload, attributes[0]), attributes[1:])
    else:
        yield payload
