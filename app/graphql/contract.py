"""What the engine promises of a schema, checked when it is built.

Below a compiled field nothing of ours runs: no resolver, no permission, no extension, and null passes for non-null. So
every field that can be reached there must be declared, and declared truly. Each check raises TypeError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import (
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
)

from app.db.types import TextList
from app.graphql.entity import Aggregate, Attached, Column, Declaration, Entity, Many, One, Over, is_bare
from app.graphql.kinds import type_of


def check_entities(entities: Mapping[str, Entity]) -> None:
    """Prefixes tell kinds apart, and every target, parent and column that is named exists."""
    prefixes: dict[str, str] = {}
    for entity in entities.values():
        other = prefixes.setdefault(entity.prefix, entity.name)
        if other != entity.name:
            raise TypeError(f"{other} and {entity.name} both have ids '{entity.prefix}_…'.")
        if entity.within is not None:
            _known(entity.name, entity.within.target, entities)
            _stored(f"{entity.name} is within", entity, entity.within.key)
        if entity.hidden is not None and entity.hidden not in entity.fields:
            raise TypeError(f"{entity.name} hides rows by '{entity.hidden}', which is no field of it.")
        for part in entity.parts:
            _stored(f"{entity.name}.{part.name}", entity, part.column)
        for name, (python_name, declared) in entity.fields.items():
            _check_names(f"{entity.name}.{name}", python_name, declared, entity, entities)


def _check_names(
    field: str, python_name: str, declared: Declaration, entity: Entity, entities: Mapping[str, Entity]
) -> None:
    if isinstance(declared, One | Many | Aggregate):
        _known(field, declared.target, entities)
    if isinstance(declared, Column) and declared.source is None:
        _stored(field, entity, python_name)
    elif isinstance(declared, One):
        _stored(field, entity, declared.key)
        _stored(field, entities[declared.target], declared.at)
    elif isinstance(declared, Aggregate) or (isinstance(declared, Many) and declared.on is None):
        _stored(field, entities[declared.target], str(declared.key))
    if isinstance(declared, Many):
        for name in declared.order:
            ordered = entities[declared.target].fields.get(name)
            if ordered is None or not isinstance(ordered[1], Column):
                raise TypeError(f"{field} is ordered by '{name}', which is no column of {declared.target}.")


def _known(field: str, target: str, entities: Mapping[str, Entity]) -> None:
    if target not in entities:
        raise TypeError(f"{field} points to '{target}', which is no entity of this schema: {', '.join(entities)}.")


def _stored(field: str, entity: Entity, column: str) -> None:
    if column not in entity.table.c:
        raise TypeError(f"{field}: the table '{entity.table.name}' has no column '{column}'.")


def check_types(core: GraphQLSchema, entities: Mapping[str, Entity], objects: Mapping[str, Mapping[str, Over]]) -> None:
    """What the schema says of a field's type is what the engine answers; nothing else passes for a row."""
    for entity in entities.values():
        type_ = core.type_map[entity.name]
        assert isinstance(type_, GraphQLObjectType)
        for name, (python_name, declared) in entity.fields.items():
            _check_field(f"{entity.name}.{name}", python_name, declared, entity, type_.fields[name].type)
            if isinstance(declared, Attached):
                _check_plain(f"{entity.name}.{name}", type_.fields[name].type, entities, {*entities, *objects})
        type_.is_type_of = _refuse(entity.name)


def _check_field(field: str, python_name: str, declared: Declaration, entity: Entity, type_: GraphQLOutputType) -> None:
    match declared:
        case Column(source=None) if isinstance(type_, GraphQLNonNull) and entity.table.c[python_name].nullable:
            raise TypeError(f"{field} is {type_}, but its column may be NULL: make one of them like the other.")
        case Column() if isinstance(type_of(entity, python_name, declared), TextList):
            _expect(field, str(type_), "[String!]!")
        case Column() if hasattr(get_named_type(type_), "fields") or isinstance(_bare(type_), GraphQLList):
            raise TypeError(f"{field} is {type_}: a column holds a scalar, an enum or a list of texts.")
        case One(target, key, _, _):
            hidden = not entity.is_within(declared) or entity.table.c[key].nullable
            if hidden and isinstance(type_, GraphQLNonNull):
                raise TypeError(f"{field} is {type_}, but scope can hide that {target}: make it nullable.")
            _expect(field, str(_bare(type_)), target)
        case Many(target):
            _expect(field, str(type_), f"{target}Connection!" if declared.paged else f"[{target}!]!")


def _bare(type_: GraphQLOutputType) -> GraphQLOutputType:
    return type_.of_type if isinstance(type_, GraphQLNonNull) else type_


def _expect(field: str, found: str, right: str) -> None:
    if found != right:
        raise TypeError(f"{field} is {found}, but the engine answers {right}: declare it so.")


def _check_plain(field: str, type_: GraphQLOutputType, entities: Mapping[str, Entity], seen: set[str]) -> None:
    """Objects that a loader gives are plain: their fields are looked up by name; rows of entities are refs in them."""
    named = get_named_type(type_)
    if isinstance(named, GraphQLInterfaceType | GraphQLUnionType) or named.name in entities:
        raise TypeError(f"{field} is attached and holds {named}: a loader cannot give rows, interfaces or unions.")
    if not isinstance(named, GraphQLObjectType) or named.name in seen:
        return
    seen.add(named.name)
    for name, item in named.fields.items():
        declared: Any = item.extensions["strawberry-definition"]
        if not is_bare(declared) or item.args:
            raise TypeError(
                f"{named.name}.{name} stands below {field}, where no resolver, permission or extension runs: let"
                " the loader of that field give its value."
            )
        if get_named_type(item.type).name not in entities:
            _check_plain(f"{named.name}.{name}", item.type, entities, seen)
        elif not isinstance(item.type, GraphQLObjectType):
            raise TypeError(
                f"{named.name}.{name} is {item.type}: a loaded object holds a ref to one row, which scope can hide."
            )


def _refuse(name: str) -> Any:
    def is_type_of(value: object, _info: Any) -> bool:
        raise TypeError(
            f"{type(value).__name__} {value!r:.100} stands where a {name} is answered: give a ref(), or what the engine"
            " read, for rows that it did not read have no scope."
        )

    return is_type_of
