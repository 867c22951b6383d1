"""Which comparisons a column takes: decided by its SQL type."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Integer
from sqlalchemy.types import TypeEngine

from app.db.types import EnumText, Float, Instant, JsonText, Snowflake, Text, TextList
from app.graphql.entity import Column, Entity

EQUALITY = ("eq", "ne", "in", "notIn")
ORDERED = (*EQUALITY, "gt", "gte", "lt", "lte", "isNull")
OPERATORS: dict[str, tuple[str, ...]] = {
    "id": (*EQUALITY, "isNull"),
    "enum": EQUALITY,
    "text": (*ORDERED, "contains", "startsWith"),
    "int": ORDERED,
    "safe_int": ORDERED,
    "float": ORDERED,
    "instant": ORDERED,
    "bool": ("eq", "ne", "isNull"),
    "texts": ("has", "hasAny", "hasAll"),
}
LIST_OPERATORS = frozenset({"in", "notIn", "hasAny", "hasAll"})

JSON_TYPES: dict[str, TypeEngine[Any]] = {"float": Float(), "int": Snowflake(), "text": Text(), "bool": Boolean()}
"""The kinds of value inside JSON that can be compared, with the SQL type that each has."""


def kind_of(type_: TypeEngine[Any], *, is_id: bool) -> str | None:
    """The kind of operators that a column of this type takes; None where it takes none."""
    if is_id:
        return "id"
    kinds: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
        (EnumText, "enum"),
        (TextList, "texts"),
        (Text, "text"),
        (Instant, "instant"),
        (Float, "float"),
        (Boolean, "bool"),
        (BigInteger, "safe_int"),
        (Integer, "int"),
    )
    return next((kind for type_class, kind in kinds if isinstance(type_, type_class)), None)


def type_of(entity: Entity, name: str, declared: Column) -> TypeEngine[Any]:
    """The SQL type of a declared column; `name` is the declaring field's Python name."""
    return declared.of(entity.table, name).type


def is_json(type_: TypeEngine[Any]) -> bool:
    """Whether a column holds any JSON, which is looked into by paths."""
    return isinstance(type_, JsonText) and not isinstance(type_, TextList)


@cache
def json_columns(entity: Entity) -> dict[str, str]:
    """The entity's filterable JSON columns by the member of `orderBy` that means them: the first is `json`."""
    names = [
        (field, name)
        for field, (name, declared) in entity.fields.items()
        if isinstance(declared, Column) and declared.filter and is_json(type_of(entity, name, declared))
    ]
    return {field if place else "json": name for place, (field, name) in enumerate(names)}
