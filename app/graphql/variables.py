"""The lists in a request's variables: counted before graphql-core looks at each item, while all others wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import (
    GraphQLInputType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_nullable_type,
    is_input_object_type,
    is_input_type,
    is_list_type,
    type_from_ast,
)

from app.errors import Code, GradbookError

MAX_VALUES = 100_000
"""Items of all lists of a request, and fields of all its objects: each takes graphql-core some 6 µs. What JSON scalars
hold is not looked at there."""

Given = tuple[tuple[str, GraphQLInputType], ...]
"""Variables of which something may be a list, with their types."""


def given_of(schema: GraphQLSchema, operation: OperationDefinitionNode) -> Given:
    """Such variables of a valid operation."""
    types = (
        (item.variable.name.value, type_from_ast(schema, item.type)) for item in operation.variable_definitions or ()
    )
    return tuple((name, type_) for name, type_ in types if is_input_type(type_) and _may_hold(type_))


def check_items(given: Given, variables: Mapping[str, Any], percent: int) -> None:
    """Raise LIMIT_EXCEEDED for more values than this share of what is allowed; the time is that of so many."""
    most = MAX_VALUES * percent // 100
    count = 0
    stack = [(variables.get(name), type_) for name, type_ in given]
    while stack:
        value, type_ = stack.pop()
        if not isinstance(value, list | dict):
            continue
        bare = get_nullable_type(type_)
        while is_list_type(bare) and isinstance(value, dict):  # a single item may stand for its list
            bare = get_nullable_type(bare.of_type)
        inner: Iterable[tuple[Any, GraphQLInputType]] = ()
        if is_list_type(bare) and isinstance(value, list):
            if _may_hold(bare.of_type):
                inner = ((item, bare.of_type) for item in value)
        elif is_input_object_type(bare) and isinstance(value, dict):
            fields = bare.fields
            inner = ((item, fields[name].type) for name, item in value.items() if name in fields)
        else:
            continue
        count += len(value)
        if count > most:
            message = f"The lists in the variables have {count:,} values or more; at most {most:,} are allowed."
            raise GradbookError(Code.LIMIT_EXCEEDED, message)
        stack.extend(inner)


def _may_hold(type_: GraphQLInputType) -> bool:
    bare = get_nullable_type(type_)
    return is_list_type(bare) or is_input_object_type(bare)
