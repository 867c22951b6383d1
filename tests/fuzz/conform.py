"""Whether an answer's data are what the schema and the operation promise, and what they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from graphql import GraphQLResolveInfo, GraphQLSchema, execute_sync, get_named_type, is_composite_type, parse


class Completed(NamedTuple):
    """What is wrong with the data, the ids of the rows in them, and how many places each field has that is no leaf.

    What stands in lists has one place, however many items there are.
    """

    violations: list[str]
    ids: set[str]
    places: Counter[str]


def completed(schema: GraphQLSchema, query: str, variables: Mapping[str, Any], data: Any) -> Completed:
    """What graphql-core says of the data when it completes them as if they were the objects behind the schema.

    The schema has to be built from its text: so no resolver of ours takes part. What is abstract needs its `__typename`
    among the data.
    """
    ids: set[str] = set()
    places: set[tuple[str, tuple[str, ...]]] = set()

    def again(source: Any, info: GraphQLResolveInfo, **_: Any) -> Any:
        value = source[info.path.key]
        type_ = get_named_type(info.return_type)
        if is_composite_type(type_) or type_.name == "JSON":
            path = tuple(part for part in info.path.as_list() if isinstance(part, str))
            places.add((f"{info.parent_type.name}.{info.field_name}", path))
        if info.field_name == "id" and any(one.name == "Node" for one in info.parent_type.interfaces):
            ids.add(value)
        return value

    def type_of(value: Any, *_: Any) -> str:
        return str(value["__typename"])

    result = execute_sync(
        schema, parse(query), data, variable_values=dict(variables), field_resolver=again, type_resolver=type_of
    )
    violations = [f"{error.path}: {error.message}" for error in result.errors or ()]
    if not violations and result.data != data:
        violations.append("there is more than was asked for, or a value of another type")
    return Completed(violations, ids, Counter(name for name, _ in places))
