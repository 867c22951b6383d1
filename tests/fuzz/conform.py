"""Whether an answer's data are what the schema and the operation promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLResolveInfo, GraphQLSchema, execute_sync, parse


def violations(schema: GraphQLSchema, query: str, variables: Mapping[str, Any], data: Any) -> list[str]:
    """What graphql-core has against the data when it completes them as if they were the objects behind the schema.

    The schema has to be built from its text: so no resolver of ours takes part. What is abstract needs its `__typename`
    among the data.
    """

    def again(source: Any, info: GraphQLResolveInfo, **_: Any) -> Any:
        return source[info.path.key]

    def type_of(value: Any, *_: Any) -> str:
        return str(value["__typename"])

    result = execute_sync(
        schema, parse(query), data, variable_values=dict(variables), field_resolver=again, type_resolver=type_of
    )
    if result.errors:
        return [f"{error.path}: {error.message}" for error in result.errors]
    return [] if result.data == data else ["there is more than was asked for, or a value of another type"]
