"""What a caller asked for below a compiled field: graphql-core's own field collection, resolved against the entities.

A *template* is made once per operation, field and set of @skip/@include values. Per request only the arguments are
read again: `bind` gives their shape and their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    get_argument_values,
    get_named_type,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_subfields

from app.errors import Code, GradbookError
from app.graphql.entity import Attached, Declaration, Entity, Many, PartOf
from app.graphql.filters import WhereParser
from app.graphql.paging import Page, key_types, order_tag, page_size, parse_cursor, parse_order
from app.graphql.plans import PlanCache
from app.graphql.slots import Shape

Info = GraphQLResolveInfo[Any]
TYPENAME = "__typename"

Names = tuple[str, ...]


@dataclass(frozen=True)
class Pick:
    """One field of a selection: the key of the answer, the field's name and declaration, and what is picked below.

    For a connection, `inner` holds the picks of the connection type itself (`edges`, `nodes`, ...), for everything else
    those of the target. `arguments` says where its arguments stand in the document, None where it takes none.
    """

    key: str
    name: str
    declaration: Declaration | None
    inner: tuple[Pick, ...] = ()
    arguments: tuple[GraphQLField, FieldNode] | None = None
    type_name: str = ""

    def walk(self) -> Iterator[Pick]:
        """This pick and all below it, parents first."""
        yield self
        for pick in self.inner:
            yield from pick.walk()


@dataclass(frozen=True, eq=False)
class Template:
    """All that is asked for below one compiled field, and its parts that take arguments, with their answer paths."""

    picks: tuple[Pick, ...]
    with_arguments: tuple[tuple[Pick, Entity | None, Names], ...]
    attached: tuple[Pick, ...]
    plans: PlanCache = field(default_factory=PlanCache)


@dataclass(slots=True)
class Bound:
    """The arguments of one request: the shape that decides the SQL, and the values that go into it."""

    shape: list[Shape] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    attached: dict[int, Mapping[str, Any]] = field(default_factory=dict)


class Selections:
    """Builds templates for one schema."""

    def __init__(self, schema: GraphQLSchema, entities: Mapping[str, Entity], objects: Mapping[str, Any]) -> None:
        self.schema = schema
        self.entities = entities
        self.objects = objects

    def template(self, info: Info, type_name: str, nodes: Sequence[FieldNode] | None = None) -> Template:
        """The template of a field whose (runtime) type is `type_name`; `nodes` are its AST nodes."""
        return self._made(self._picks(info, self._object(type_name), nodes or info.field_nodes))

    def part_template(self, info: Info, part: PartOf, nodes: Sequence[FieldNode]) -> Template:
        """The template of a payload's field that is one field of a row; its one pick is that field."""
        definition = self._object(part.target).fields[part.field]
        below = get_named_type(definition.type)
        picks = self._picks(info, self._object(below.name), nodes)
        return self._made(
            (Pick(part.field, part.field, self._declaration(part.target, part.field), picks, None, below.name),)
        )

    def list_template(self, info: Info, declared: Many) -> Template:
        """The template of a root field that is a list; its one pick is the list itself."""
        definition = info.parent_type.fields[info.field_name]
        type_ = get_named_type(definition.type)
        picks = self._picks(info, self._object(type_.name), info.field_nodes)
        arguments = (definition, info.field_nodes[0])
        return self._made((Pick(str(info.path.key), info.field_name, declared, picks, arguments, type_.name),))

    def _made(self, picks: tuple[Pick, ...]) -> Template:
        with_arguments: list[tuple[Pick, Entity | None, Names]] = []
        self._collect(picks, (), with_arguments)
        attached = tuple(p for pick in picks for p in pick.walk() if isinstance(p.declaration, Attached))
        return Template(picks, tuple(with_arguments), attached)

    def _object(self, name: str) -> GraphQLObjectType:
        type_ = self.schema.get_type(name)
        assert isinstance(type_, GraphQLObjectType), name
        return type_

    def _picks(self, info: Info, type_: GraphQLObjectType, nodes: Sequence[FieldNode]) -> tuple[Pick, ...]:
        details = [FieldDetails(node, None) for node in nodes]
        fragments = {name: FragmentDetails(definition) for name, definition in info.fragments.items()}
        collected = collect_subfields(self.schema, fragments, info.variable_values, info.operation, type_, details)
        picks: list[Pick] = []
        for key, group in collected.grouped_field_set.items():
            found = [detail.node for detail in group]
            name = found[0].name.value
            if name == TYPENAME:
                picks.append(Pick(key, name, None, type_name=type_.name))
                continue
            definition = type_.fields[name]
            below = get_named_type(definition.type)
            inner = self._picks(info, below, found) if isinstance(below, GraphQLObjectType) else ()
            arguments = (definition, found[0]) if definition.args else None
            picks.append(Pick(key, name, self._declaration(type_.name, name), inner, arguments, below.name))
        return tuple(picks)

    def _declaration(self, type_name: str, name: str) -> Declaration | None:
        """The declaration of an entity's or an aggregate's field; None for the fields of connections and edges."""
        if type_name in self.entities:
            return self.entities[type_name].fields[name][1]
        declared: Declaration | None = self.objects.get(type_name, {}).get(name)
        return declared

    def _collect(self, picks: Sequence[Pick], path: Names, into: list[tuple[Pick, Entity | None, Names]]) -> None:
        for pick in picks:
            here = (*path, pick.key)
            if isinstance(pick.declaration, Many):
                into.append((pick, self.entities[pick.declaration.target], here))
            elif pick.arguments is not None:
                into.append((pick, None, here))
            self._collect(pick.inner, here, into)


class Binder:
    """Reads the arguments of one request into shape and values."""

    def __init__(self, entities: Mapping[str, Entity], secret: str) -> None:
        self.entities = entities
        self.secret = secret

    def bind(self, template: Template, info: Info, path: tuple[str | int, ...]) -> Bound:
        """Shape and values of all arguments below a field whose answer path is `path`."""
        bound = Bound()
        for pick, target, names in template.with_arguments:
            node: FieldNode | None = None
            arguments: Mapping[str, Any] = {}
            if pick.arguments is not None:
                definition, node = pick.arguments
                arguments = get_argument_values(definition, node, info.variable_values)
            if target is None:
                bound.attached[id(pick)] = arguments
                continue
            try:
                bound.shape.append(self.page(target, pick.declaration, arguments, bound.values))
            except GradbookError as error:
                extensions = {"code": error.code, "argument": list(error.path)}
                raise GraphQLError(error.message, node, path=[*path, *names], extensions=extensions) from error
        return bound

    def page(
        self, target: Entity, declaration: Declaration | None, arguments: Mapping[str, Any], values: list[Any]
    ) -> Shape:
        """The shape of one list's arguments. Its values: size, size + 1, tag, those of where, order and cursors."""
        paged = not isinstance(declaration, Many) or declaration.paged
        size, backward = page_size(arguments, ()) if paged else (0, False)
        start = len(values)
        values.extend([size, size + 1, ""])
        if arguments.get("search") is not None and target.search is None:
            raise GradbookError(
                Code.SEARCH_UNAVAILABLE,
                f"Full-text search of {target.name} is not available: leave 'search' out.",
                ("search",),
            )
        where = arguments.get("where")
        where_shape = None if where is None else WhereParser(self.entities, values).parse(target, where, ("where",))
        order_at = len(values)
        raw_order = arguments.get("orderBy")
        order = parse_order(target, raw_order, values, ("orderBy",))
        if not order and isinstance(declaration, Many):
            order = tuple((name, False) for name in declaration.order)
        tag = order_tag(target, order, values[order_at:])
        values[start + 2] = tag
        cursors: dict[str, tuple[bool, ...] | None] = {}
        for name in ("after", "before"):
            text = arguments.get(name)
            if text is None:
                cursors[name] = None
                continue
            keys = parse_cursor(text, self.secret, tag, key_types(target, order), (name,))
            cursors[name] = tuple(key is None for key in keys)
            values.extend(key for key in keys if key is not None)
        return Page(where_shape, order, backward, cursors["after"], cursors["before"], len(values) - start)
