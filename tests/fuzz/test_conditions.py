"""Conditions: what compares with one value divides a list without rest, on both databases alike."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLInputObjectType, get_named_type

from tests.fuzz.answers import hold
from tests.fuzz.dice import throws
from tests.fuzz.grammar import ABOUT, ASKED, MAX_WHERE, PREFIXES, SCHEMA, Grammar, Operation, literal
from tests.fuzz.library import Library
from tests.fuzz.test_pages import LISTS, field_of
from tests.graphql.asking import OWNER


@pytest.mark.parametrize("place", LISTS, ids="-".join)
async def test_conditions_divide_a_list(library: Library, place: tuple[str, str]) -> None:
    parent, name = place
    where = get_named_type(field_of(parent, name).args["where"].type)
    assert isinstance(where, GraphQLInputObjectType)
    fields = {one: filter_of(where, one) for one in where.fields if "eq" in filter_of(where, one).fields}
    kinds = {kind.name: [one for one in fields if fields[one] is kind] for kind in fields.values()}
    for d in throws(f"conditions {parent} {name}", 1):
        for names in kinds.values():
            tested = d.one(names)
            about = where.name.removesuffix("Where") if tested == "id" else tested[0].upper() + tested[1:]
            about = {**ABOUT, "actor": "User"}.get(tested, about)
            eq = fields[tested].fields["eq"].type
            value = Grammar(d, tested=tested).value(eq, "eq", MAX_WHERE, SCHEMA.type_map.get(about))
            if about in PREFIXES and PREFIXES[about] not in ASKED.ids and str(eq).startswith("ID"):
                value = f"{PREFIXES[about]}_1"
            values = {one: [value] if one in {"in", "notIn"} else value for one in fields[tested].fields}
            conditions = {one: f"{tested}: {{{one}: {literal(item)}}}" for one, item in values.items()}
            # What cannot be null is never null.
            conditions |= {"isNull": "or: []", "some": "and: []"}
            if "isNull" in values:
                conditions |= {"isNull": f"{tested}: {{isNull: true}}", "some": f"{tested}: {{isNull: false}}"}
            body = " ".join(f"{one}: {name}(where: {{{text}}}) {{ totalCount }}" for one, text in conditions.items())
            if parent in PREFIXES:
                row = literal(d.one(ASKED.ids[PREFIXES[parent]]))
                body = f"node(id: {row}) {{ __typename ... on {parent} {{ {body} }} }}"
            result = await hold(library, OWNER, Operation(f"{{ {body} }}", {}))
            assert "errors" not in result, result
            data = result["data"].get("node", result["data"])
            check({one: data[one]["totalCount"] for one in conditions}, body)


def filter_of(where: GraphQLInputObjectType, name: str) -> GraphQLInputObjectType:
    """What a field can be compared by; a type without `eq` for what is no comparison."""
    type_ = get_named_type(where.fields[name].type)
    assert isinstance(type_, GraphQLInputObjectType)
    return type_


def check(count: dict[str, Any], asked: str) -> None:
    """Whether the counts of rows that are so and not so add up."""
    total, equal = count["isNull"] + count["some"], count["eq"]
    assert count.get("ne", total - equal) == total - equal, (count, asked)
    assert count.get("in", equal) == equal, (count, asked)
    assert count.get("notIn", total - equal) == total - equal, (count, asked)
    if "lt" in count:
        assert count["lt"] + equal + count["gt"] == count["some"], (count, asked)
        assert count["lte"] == count["lt"] + equal, (count, asked)
        assert count["gte"] == count["gt"] + equal, (count, asked)
