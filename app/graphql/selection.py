"""What a caller asked for below a compiled field: graphql-core's own field collection, resolved against the entities.

A *template* is made once per operation, field and set of @skip/@include values. Per request only the arguments are
read again (see `app.graphql.arguments`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    get_named_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_subfields

from app.graphql.entity import Attached, Declaration, Entity, Many, PartOf

Info = GraphQLResolveInfo[Any]
Names = tuple[str, ...]

TYPENAME = "__typename"


class Call(NamedTuple):
    """Where a field's arguments stand: its definition, its first node in the document, and its path in the answer."""

    definition: GraphQLField
    node: FieldNode
    path: Names


@dataclass(frozen=True, eq=False, slots=True)
class Pick:
    """One field of a selection: the key of the answer, the field's name and type, and what is picked below.

    Only the fields of entities have a declaration. `__typename` has none, and its type is the one to name. `place` is
    the index of a list in `Template.lists`, of an attached field in `Template.attached`. `template` is of a row that
    stands in a loaded object: it is read by a statement of its own.
    """

    key: str
    name: str
    type: GraphQLOutputType
    declaration: Declaration | None = None
    inner: tuple[Pick, ...] = ()
    place: int = -1
    template: Template | None = None

    @property
    def type_name(self) -> str:
        """The name of its type, without lists and non-null."""
        return get_named_type(self.type).name


@dataclass(frozen=True, eq=False, slots=True)
class Template:
    """All that is asked for below one compiled field, with its lists and its attached fields in the answer's order."""

    picks: tuple[Pick, ...]
    lists: tuple[tuple[Many, Call | None], ...]
    attached: tuple[tuple[Pick, Call], ...]


@dataclass(frozen=True, slots=True)
class Selections:
    """Makes templates for one schema."""

    schema: GraphQLSchema
    entities: Mapping[str, Entity]

    def template(self, info: Info, type_name: str, nodes: Sequence[FieldNode] | None = None) -> Template:
        """The template of a field whose (runtime) type is `type_name`; `nodes` are its AST nodes."""
        making = _Making(self, info)
        return making.template(making.picks(self.object_type(type_name), nodes or info.field_nodes, ()))

    def part_template(self, info: Info, part: PartOf, nodes: Sequence[FieldNode]) -> Template:
        """The template of a payload's field that is one field of a row; its one pick is that field."""
        making = _Making(self, info)
        return making.template((making.pick(self.object_type(part.target), part.field, part.field, nodes, ()),))

    def list_template(self, info: Info, declared: Many) -> Template:
        """The template of a root field that is a list; its one pick is the list itself."""
        making = _Making(self, info)
        return making.template((making.root(declared),))

    def object_type(self, name: str) -> GraphQLObjectType:
        """An object type of the schema."""
        type_ = self.schema.get_type(name)
        assert isinstance(type_, GraphQLObjectType), name
        return type_

    def declaration(self, type_name: str, name: str) -> Declaration | None:
        """The declaration of an entity's field; None where another type has it."""
        return self.entities[type_name].fields[name][1] if type_name in self.entities else None


@dataclass(slots=True)
class _Making:
    """One template in the making."""

    selections: Selections
    info: Info
    lists: list[tuple[Many, Call | None]] = field(default_factory=list)
    attached: list[tuple[Pick, Call] | None] = field(default_factory=list)
    is_loaded: bool = False  # below an attached field

    def template(self, picks: tuple[Pick, ...]) -> Template:
        return Template(picks, tuple(self.lists), tuple(item for item in self.attached if item is not None))

    def root(self, declared: Many) -> Pick:
        definition = self.info.parent_type.fields[self.info.field_name]
        type_ = get_named_type(definition.type)
        self.lists.append((declared, Call(definition, self.info.field_nodes[0], ())))
        inner = self.picks(type_, self.info.field_nodes, ())
        return Pick(str(self.info.path.key), self.info.field_name, type_, declared, inner, place=0)

    def picks(self, type_: GraphQLObjectType, nodes: Sequence[FieldNode], path: Names) -> tuple[Pick, ...]:
        found: list[Pick] = []
        for key, group in subfields(self.info, type_, nodes).items():
            name = group[0].name.value
            if name == TYPENAME:
                found.append(Pick(key, name, type_))
            else:
                found.append(self.pick(type_, key, name, group, (*path, key)))
        return tuple(found)

    def pick(self, type_: GraphQLObjectType, key: str, name: str, nodes: Sequence[FieldNode], path: Names) -> Pick:
        definition = type_.fields[name]
        below = get_named_type(definition.type)
        declared = self.selections.declaration(type_.name, name)
        if self.is_loaded and below.name in self.selections.entities:
            assert isinstance(below, GraphQLObjectType)
            making = _Making(self.selections, self.info)
            return Pick(key, name, definition.type, template=making.template(making.picks(below, nodes, path)))
        call = Call(definition, nodes[0], path) if definition.args else None
        place = -1
        if isinstance(declared, Many):
            place = len(self.lists)
            self.lists.append((declared, call))
        elif isinstance(declared, Attached):
            place = len(self.attached)
            self.attached.append(None)
            self.is_loaded = True
        inner = self.picks(below, nodes, path) if isinstance(below, GraphQLObjectType) else ()
        made = Pick(key, name, definition.type, declared, inner, place)
        if isinstance(declared, Attached):
            self.is_loaded = False
            self.attached[place] = made, Call(definition, nodes[0], path)
        return made


def subfields(info: Info, type_: GraphQLObjectType, nodes: Sequence[FieldNode]) -> dict[str, list[FieldNode]]:
    """The nodes of each key that is answered below these nodes: fragments, aliases and directives are resolved."""
    details = [FieldDetails(node, None) for node in nodes]
    fragments = {name: FragmentDetails(definition) for name, definition in info.fragments.items()}
    collected = collect_subfields(info.schema, fragments, info.variable_values, info.operation, type_, details)
    return {key: [detail.node for detail in group] for key, group in collected.grouped_field_set.items()}
