"""Puts the schema together: entities get their generated inputs, root fields their compiled resolvers, and what the
engine reads is checked once, at start.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import (
    EnumValueNode,
    GraphQLDefaultInput,
    GraphQLInputObjectType,
    GraphQLSchema,
    Undefined,
    get_named_type,
    lexicographic_sort_schema,
    print_schema,
)
from strawberry.annotation import StrawberryAnnotation
from strawberry.schema.config import StrawberryConfig
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.base import has_object_definition
from strawberry.types.field import StrawberryField

from app.graphql.contract import check_entities, check_types
from app.graphql.engine import Engine, required_viewer
from app.graphql.entity import DECLARED, Aggregate, Attached, Entity, Many, Over, camel, is_bare
from app.graphql.inputs import Inputs
from app.graphql.scalars import SCALARS, decode_id, type_name_words
from app.graphql.selection import Info, Selections

Resolver = Callable[[Engine, Info, dict[str, Any]], Awaitable[Any]]


Argument = tuple[str, Any, str] | tuple[str, Any, str, Any]
"""(name, type, description), and a default for an argument that may be left out."""


@dataclass(frozen=True, slots=True)
class Where:
    """As the type of an argument, or declared by `where_field`: the conditions on the rows of an entity, or null."""

    target: str


def where_field(target: str, description: str) -> Any:
    """A field of the input of a root field: conditions on the rows of an entity. Its annotation is replaced."""
    return strawberry.field(description=description, metadata={DECLARED: Where(target)}, default=strawberry.UNSET)


@dataclass(frozen=True, slots=True)
class Root:
    """A compiled root field: how it reads, and its arguments."""

    resolve: Resolver
    arguments: tuple[Argument, ...] = ()
    listing: Many | None = None


def root(description: str, resolve: Resolver, *arguments: Argument) -> Any:
    """A root field that `resolve(engine, info, arguments)` answers with finished JSON; a subscription's with a feed."""
    return strawberry.field(description=description, metadata={DECLARED: Root(resolve, arguments)})


def root_one(target: str, description: str) -> Any:
    """The row with a given id."""

    async def resolve(engine: Engine, info: Info, arguments: dict[str, Any]) -> Any:
        required_viewer(info.context)
        entity = engine.entities[target]
        number = decode_id(entity.prefix, arguments["id"], type_name_words(target), ("id",))
        return await engine.one(info, target, number)

    return root(description, resolve, ("id", strawberry.ID, f"The {type_name_words(target)}'s id."))


def root_many(target: str, description: str, *, order: tuple[str, ...] = ()) -> Any:
    """A list of all rows that the viewer sees."""
    declared = Many(target, order=order)

    async def resolve(engine: Engine, info: Info, _: dict[str, Any]) -> Any:
        return await engine.listing(info, declared)

    return strawberry.field(description=description, metadata={DECLARED: Root(resolve, (), declared)})


async def resolve_node(engine: Engine, info: Info, arguments: dict[str, Any]) -> Any:
    """`node(id:)`."""
    required_viewer(info.context)
    return await engine.node(info, arguments["id"])


async def resolve_nodes(engine: Engine, info: Info, arguments: dict[str, Any]) -> Any:
    """`nodes(ids:)`."""
    required_viewer(info.context)
    return await engine.nodes(info, arguments["ids"])


@dataclass(frozen=True, slots=True)
class Built:
    """A schema with its read engine."""

    schema: strawberry.Schema
    graphql: GraphQLSchema
    engine: Engine


def build(
    *, query: type, mutation: type | None, subscription: type | None, entities: Iterable[type], secret: str
) -> Built:
    """The schema of these root types over these entities. Raises TypeError for what the engine could not read."""
    types = list(entities)
    declared: dict[str, Entity] = {cls.__entity__.name: cls.__entity__ for cls in types}  # type: ignore[attr-defined]
    check_entities(declared)
    inputs = Inputs(declared)
    objects: dict[str, Mapping[str, Over]] = {}
    for cls in types:
        for item in _fields(cls):
            _prepare(item, declared, inputs, objects)
    for item in [*_fields(query), *(_fields(subscription) if subscription else ())]:
        declaration = item.metadata.get(DECLARED)
        if isinstance(declaration, Root):
            listing = declaration.listing
            item.arguments = (
                _arguments(declaration.arguments, inputs)
                if listing is None
                else inputs.arguments(declared[listing.target])
            )
    schema = strawberry.Schema(
        query=query,
        mutation=mutation,
        subscription=subscription,
        types=types,
        config=StrawberryConfig(scalar_map=dict(SCALARS)),
    )
    core: GraphQLSchema = schema._schema
    check_types(core, declared, objects)
    engine = Engine(declared, objects, Selections(core, declared), secret)
    _resolve_roots(core, query, engine)
    if subscription is not None:
        _subscribe_roots(core, subscription, engine)
    _literal_defaults(core)
    _describe_inputs(core)
    return Built(schema, core, engine)


def sdl(core: GraphQLSchema) -> str:
    """The schema as text, sorted, so that two versions can be compared."""
    return print_schema(lexicographic_sort_schema(core)) + "\n"


def _describe_inputs(core: GraphQLSchema) -> None:
    """A mutation's one argument is what its type says."""
    for item in core.mutation_type.fields.values() if core.mutation_type else ():
        for argument in item.args.values():
            argument.description = argument.description or get_named_type(argument.type).description


def _literal_defaults(core: GraphQLSchema) -> None:
    """Writes defaults that are enum members as literals: a sorted copy of the schema cannot print the members."""
    inputs = [type_ for type_ in core.type_map.values() if isinstance(type_, GraphQLInputObjectType)]
    assert core.query_type is not None
    for items in (*(type_.fields for type_ in inputs), *(field.args for field in core.query_type.fields.values())):
        for item in items.values():
            if isinstance(item.default_value, enum.Enum):
                literal = EnumValueNode(value=item.default_value.name)
                item.default, item.default_value = GraphQLDefaultInput(literal=literal), Undefined


def _fields(cls: type) -> list[StrawberryField]:
    return list(cls.__strawberry_definition__.fields)  # type: ignore[attr-defined]


def _prepare(
    item: StrawberryField, entities: Mapping[str, Entity], inputs: Inputs, objects: dict[str, Mapping[str, Over]]
) -> None:
    """Gives a field its arguments, and notes an aggregated object's fields."""
    declaration = item.metadata[DECLARED]
    if isinstance(declaration, Many) and declaration.paged:
        item.arguments = inputs.arguments(entities[declaration.target])
    elif isinstance(declaration, Attached):
        item.arguments = _arguments(declaration.arguments, inputs)
    elif isinstance(declaration, Aggregate):
        cls: Any = item.type
        if not hasattr(cls, "__strawberry_definition__"):
            raise TypeError(f"{item.python_name} is aggregated: its type is an object, never null, not {cls}.")
        objects[cls.__strawberry_definition__.name] = _aggregated(cls)


def _aggregated(cls: type) -> Mapping[str, Over]:
    fields: dict[str, Over] = {}
    for item in _fields(cls):
        declaration = item.metadata.get(DECLARED)
        if not isinstance(declaration, Over) or not is_bare(item):
            raise TypeError(
                f"{cls.__name__}.{item.python_name} is aggregated, where no resolver, permission or extension runs:"
                " declare it with over()."
            )
        fields[item.graphql_name or camel(item.python_name)] = declaration
    return fields


def _arguments(arguments: Iterable[Argument], inputs: Inputs) -> list[StrawberryArgument]:
    made = []
    for name, type_, description, *default in arguments:
        of = inputs.where(type_.target) if isinstance(type_, Where) else type_
        for item in _fields(of) if has_object_definition(of) else ():
            if isinstance(declared := item.metadata.get(DECLARED), Where):
                item.type_annotation = StrawberryAnnotation(inputs.where(declared.target))
        given = default[0] if default else strawberry.UNSET
        made.append(StrawberryArgument(name, name, StrawberryAnnotation(of), description=description, default=given))
    return made


def _resolve_roots(core: GraphQLSchema, query: type, engine: Engine) -> None:
    assert core.query_type is not None
    for item in _fields(query):
        declaration = item.metadata.get(DECLARED)
        if isinstance(declaration, Root):
            core.query_type.fields[camel(item.python_name)].resolve = _resolver(declaration, engine)


def _subscribe_roots(core: GraphQLSchema, subscription: type, engine: Engine) -> None:
    assert core.subscription_type is not None
    for item in _fields(subscription):
        declaration = item.metadata.get(DECLARED)
        if isinstance(declaration, Root):
            made = core.subscription_type.fields[camel(item.python_name)]
            made.subscribe, made.resolve = _resolver(declaration, engine), _event


def _event(event: Any, *_: Any, **__: Any) -> Any:
    return event


def _resolver(declaration: Root, engine: Engine) -> Any:
    def resolve(_source: Any, info: Info, **arguments: Any) -> Awaitable[Any]:
        return declaration.resolve(engine, info, arguments)

    return resolve


__all__ = [
    "Attached",
    "Built",
    "Root",
    "Where",
    "build",
    "resolve_node",
    "resolve_nodes",
    "root",
    "root_many",
    "root_one",
    "where_field",
]
