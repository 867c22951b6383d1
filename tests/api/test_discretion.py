"""Callers who are not signed in learn no name of the schema from the errors of what they send."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import orjson
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    get_named_type,
    is_composite_type,
    is_required_argument,
)

from app.graphql.operations import Operations, Request, RequestError
from app.schema import build_schema
from tests.api.conftest import Book

SCHEMA = build_schema("").graphql
WORDS = {"Field"}
"""What messages say in English, and the schema calls something, too; also all that is in small letters."""

Sent = tuple[str, dict[str, Any] | None]


def all_names() -> set[str]:
    """Every name in the schema that is not GraphQL's own."""
    found: set[str] = set()
    for name, type_ in SCHEMA.type_map.items():
        if name.startswith("__") or name in {"Int", "Float", "String", "Boolean", "ID"}:
            continue
        found.add(name)
        if isinstance(type_, GraphQLEnumType):
            found.update(type_.values)
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            found.update(type_.fields)
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            found.update(argument for field in type_.fields.values() for argument in field.args)
    return found - {"Query", "Mutation", "Subscription"}


NAMES = all_names()


def leaked(message: str, sent: Sent) -> set[str]:
    """The schema's names in a message that were not sent."""
    known = set(re.findall(r"\w+", sent[0] + orjson.dumps(sent[1]).decode()))
    told = {name for name in re.findall(r"\w+", message) if not name.islower() and name not in WORDS}
    told.update(re.findall(r"['\[.(@](\w+)", message))
    return (told & NAMES) - known


BAD = ("1", '"x"', "true", "X", "{zzz: 1}", "[{}]", "null", "1.5")


def documents() -> Iterator[str]:
    """Documents that are wrong in many ways, about every type and field."""
    yield "{ zzz }"
    yield "query ($v: Zzz, $w: Datase) { __typename }"
    yield "{ __typename @zzz @skip }"
    for name, type_ in SCHEMA.type_map.items():
        if name.startswith("__"):
            continue
        yield f"query ($v: {name}) {{ __typename }}"
        yield f"{{ viewer {{ ... on {name} {{ zzz }} }} }}"
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for field, definition in type_.fields.items():
                for text in wrong_fields(field, definition):
                    yield f"{{ __typename }} fragment f on {name} {{ {text} }}"
            fields = list(type_.fields)
            for one, other in pairwise(fields):
                yield f"{{ __typename }} fragment f on {name} {{ a: {one} a: {other} }}"


def wrong_fields(name: str, field: GraphQLField) -> Iterator[str]:
    yield f"{name}zz {name[:-1]}  a: {name} {{ zzz }}  b: {name}(zzz: 1)  c: {name}"
    for argument, definition in field.args.items():
        yield f"{name}({argument}z: 1) " + " ".join(f"a{n}: {name}({argument}: {bad})" for n, bad in enumerate(BAD))
        type_ = get_named_type(definition.type)
        if isinstance(type_, GraphQLInputObjectType):
            members = [*type_.fields]
            for some in (members[start : start + 5] for start in range(0, len(members), 5)):
                yield " ".join(
                    f"{one}: {name}({argument}: {{{one}: {{zzz: X}}}}) {one}_: {name}({argument}: {{{one}: [[]]}})"
                    for one in some
                )


def wrong_values(type_: Any, seen: set[str]) -> Iterator[Any]:
    """Values for a variable of this type, nearly all of which do not fit; each type's members are gone into once."""
    yield from (1, "ADMI", True, None, [[]], {}, {"zzz": 1}, 1.5)
    if isinstance(type_, GraphQLInputObjectType) and type_.name not in seen:
        seen.add(type_.name)
        for name, field in type_.fields.items():
            for value in wrong_values(get_named_type(field.type), seen):
                yield {name: value}


def with_variables() -> Iterator[Sent]:
    seen: set[str] = set()
    for root in (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type):
        assert root is not None
        kind = {"Query": "query", "Mutation": "mutation", "Subscription": "subscription"}[root.name]
        for field, definition in root.fields.items():
            body = "{ __typename }" if is_composite_type(get_named_type(definition.type)) else ""
            for argument, item in definition.args.items():
                others = [
                    f"{n}: $o{n}" for n, o in definition.args.items() if n != argument and is_required_argument(o)
                ]
                declared = [
                    f"$o{n}: {o.type}" for n, o in definition.args.items() if n != argument and is_required_argument(o)
                ]
                given = ", ".join([f"{argument}: $v", *others])
                text = f"{kind} ({', '.join([f'$v: {item.type}', *declared])}) {{ {field}({given}) {body} }}"
                yield text, None
                for value in wrong_values(get_named_type(item.type), seen):
                    yield text, {"v": value}


def errors_of_document(operations: Operations, text: str) -> list[dict[str, Any]]:
    try:
        operations.prepare(Request(text), None)
    except RequestError as error:
        found: list[dict[str, Any]] = error.result["errors"]
        return found
    return []


def test_no_invalid_document_tells_a_name() -> None:
    operations = Operations(build_schema(""), None, None)  # type: ignore[arg-type]
    asked = failed = 0
    for text in documents():
        asked += 1
        errors = errors_of_document(operations, text)
        failed += bool(errors)
        for error in errors:
            assert not leaked(error["message"], (text, None)), (text, error)
            assert "Did you mean" not in error["message"], text
    assert asked > 1000
    assert failed > 0.9 * asked


async def test_no_variable_that_does_not_fit_tells_a_name(empty_book: Book) -> None:
    asked = refused = 0
    for text, variables in with_variables():
        asked += 1
        try:
            prepared = empty_book.operations.prepare(Request(text, variables), None)
        except RequestError as refusal:
            result = refusal.result
        else:
            if prepared.is_subscription:
                told = await empty_book.operations.subscribe(prepared, None, _unheard)
                result = told or {}
            else:
                result = await empty_book.operations.execute(prepared, None)
        for error in result.get("errors", ()):
            refused += error["extensions"]["code"] == "INVALID_INPUT"
            assert error["extensions"]["code"] != "INTERNAL", (text, variables, error)
            assert not leaked(error["message"], (text, variables)), (text, variables, error)
            assert "Did you mean" not in error["message"], (text, variables, error)
    assert refused > 1000, (asked, refused)


async def _unheard(_message: Any) -> None:
    pytest.fail("a subscription of somebody who is not signed in said something")


INTROSPECTION = (
    "{ __schema { types { name } } }",
    '{ viewer { id } __type(name: "Query") { name } }',
    "query { ...f } fragment f on Query { ... { __schema { description } } }",
    "query A { __typename } query B { __schema { description } }",
)


@pytest.mark.parametrize("text", INTROSPECTION)
def test_the_schema_is_not_read(text: str) -> None:
    operations = Operations(build_schema(""), None, None)  # type: ignore[arg-type]
    with pytest.raises(RequestError) as refused:
        operations.prepare(Request(text, operation_name="A" if "query A" in text else None), None)
    [error] = refused.value.result["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


MESSAGES = {
    "{ dataset(id: 1) { nam } }": "Cannot query field 'nam' on type '…'. Sign in to be told the names.",
    "{ dataset }": "Field 'dataset' of type '…' must have a selection of subfields. Sign in to be told the names.",
    "{ viewe }": "Cannot query field 'viewe' on type 'Query'.",
    "{ datasets(where: 1) { totalCount } }": (
        "Expected value of type '…' to be an object, found: 1. Sign in to be told the names."
    ),
    "{": "Syntax Error: Expected Name, found <EOF>.",
}  # fmt: skip


def test_messages_stay_readable() -> None:
    operations = Operations(build_schema(""), None, None)  # type: ignore[arg-type]
    told = {text: errors_of_document(operations, text)[0]["message"] for text in MESSAGES}
    assert told == MESSAGES


async def test_whoever_is_signed_in_is_told_all(book: Book) -> None:
    with pytest.raises(RequestError) as refused:
        await book.run("ann", "{ datasts { totalCount } }")
    assert refused.value.result["errors"][0]["message"] == (
        "Cannot query field 'datasts' on type 'Query'. Did you mean 'datasets' or 'dataset'?"
    )
    answer = await book.run(
        "ann", "query ($w: RecordWhere) { dataset(id: 1) { records(where: $w) { totalCount } } }", {"w": {"ids": 1}}
    )
    [error] = answer["errors"]
    assert "'RecordWhere'" in error["message"]
    assert "Did you mean" in error["message"]
