"""The bounds of a document: each holds, is told with its number and setting, and is found out in little time."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from graphql import DocumentNode, OperationDefinitionNode, get_introspection_query, parse, print_ast

from app.accounts.tables import Role
from app.db.database import Database
from app.errors import GradbookError
from app.graphql.cost import Price, price
from app.graphql.documents import Document, Documents
from app.graphql.limits import ANONYMOUS, DEFAULTS, Limits, check_size, limits_of, measure, overlap
from app.graphql.operations import Operations, Request, RequestError
from app.graphql.schema import Built
from app.settings import load
from tests.graphql.asking import viewer

ROOT = Path(__file__).parents[2]
ROOM = 3
CPU_SECONDS = 1.0
"""Of the CPU, for a document. On a quiet machine none here takes 0.15."""


def read(built: Built, source: str, limits: Limits = DEFAULTS) -> Document:
    """The document, worked out within a second of CPU."""
    documents = Documents(built, limits)
    gc.disable()  # it would look through all that the tests before have left, which is not the document's doing
    try:
        began = time.thread_time()
        document = documents.get(source)
        took = time.thread_time() - began
    finally:
        gc.enable()
    assert took < CPU_SECONDS
    return document


def refused(built: Built, source: str, limits: Limits = DEFAULTS) -> str:
    """The message of the only error, which is LIMIT_EXCEEDED."""
    [error] = read(built, source, limits).errors
    assert error.extensions == {"code": "LIMIT_EXCEEDED"}
    return error.message


def dataset(name: str, body: str) -> str:
    return f"fragment {name} on Dataset {{ {body} }}"


def repeated(text: str, times: int) -> str:
    """The text so often, with N as the number of each."""
    return " ".join(text.replace("N", str(number)) for number in range(times))


DOUBLING = (
    "{ dataset(id: 1) { ...f0 } }"
    + "".join(dataset(f"f{n}", f"id ...f{n + 1} ...f{n + 1}") for n in range(100))
    + dataset("f100", "id")
)
NESTED_EQUALS = "{" + ("workspaces {" + "totalCount " * 30 + "}") * 30 + "}"
MANY_SPREADS = "{ dataset(id: 1) {" + repeated("...fN", 200) + "} }" + repeated(dataset("fN", "id name"), 200)
EQUAL_WITH_LISTS = (
    "{ dataset(id: 1) {" + ("records(where: {id: {in: [" + "1 " * 90 + "]}}) { totalCount }") * 30 + "} }"
)

TOO_MUCH = [
    ("source_length", "{ __typename }" + "#x\n" * 333_000),
    ("source_length", "{ __typename }" + "," * 1_000_000),
    ("source_length", '{ dataset(id: "' + "x" * 100_000),
    ("tokens", "{" + "a " * 40_000 + "}"),
    ("tokens", "{ nodes(ids: [" + "1 " * 6000 + "]) { id } }"),
    ("tokens", "{ a { ...f } b: a { ...f } c: a { ...f } } fragment f on Query { nodes(ids: [" + "1 " * 2000 + "]) }"),
    ("comments", "#\n" * 1500 + "{ __typename }"),
    ("comments", "{ __typename #\n" + "#x\n" * 1500 + "}"),
    ("depth", "{ datasets" * 26 + "}" * 26),
    ("depth", "{ a { ...f } } fragment f on A { b { ...g } } fragment g on A " + "{ d " * 24 + "}" * 24),
    ("fields", DOUBLING),
    ("fields", "{ viewer {" + "id " * 1000 + "} }"),
    ("fields", repeated("query aN { __typename }", 600)),
    ("fields", "query a {} " * 1001),
    ("aliases", "{ viewer {" + repeated("aN: id", 201) + "} }"),
    ("directives", "{ viewer {" + "id @skip(if: false) " * 201 + "} }"),
    ("root_fields", "{" + repeated("aN: __typename", 51) + "}"),
    ("root_fields", "{ __typename ...f ...f } fragment f on Query {" + "__typename " * 26 + "}"),
    ("overlap", NESTED_EQUALS),
    ("overlap", MANY_SPREADS),
    ("overlap", EQUAL_WITH_LISTS),
]


@pytest.mark.parametrize(("name", "source"), TOO_MUCH, ids=[f"{name}-{i}" for i, (name, _) in enumerate(TOO_MUCH)])
def test_a_document_beyond_a_limit_is_refused_by_it(built: Built, name: str, source: str) -> None:
    message = refused(built, source)
    number, _, limit = message.partition(";")
    assert re.search(r"\d", number)
    assert limit == f" at most {getattr(DEFAULTS, name):,} are allowed (GRADBOOK_MAX_{name.upper()})."


FINE = [
    # probes that are large and permitted, or wrong in another way: they take little time
    "," * 90_000 + "{ __typename }",
    ("#" + "x" * 80 + "\n") * 900 + "{ __typename }",
    "{ nodes(ids: [" + "1 " * 4900 + "]) { id } }",
    "{ datasets(where: {" + repeated("nameN: 1", 1500) + "}) { totalCount } }",
    "{ datasets(where: {" + "name: {eq: 1} " * 600 + "}) { totalCount } }",
    "query (" + repeated("$vN: Int", 1200) + ") { __typename }",
    "{ viewer {" + repeated("xN", 900) + "} }",
    "{ viewer {" + "x" * 90_000 + "} }",
    "{ viewer {" + "id " * 220 + "} }",
    repeated("query aN { __typename }", 490),
    repeated("{ __typename }", 490),
    "{ dataset(id: 1) { ...f0 } }" + repeated(dataset("fN", "...f0 ...f1 ...f2 ...f3"), 200),
    "{ dataset(id: 1) {" + repeated("aN: records { totalCount }", 190) + "} }",
]


@pytest.mark.parametrize("source", FINE, ids=lambda source: re.sub(r"\s+", " ", source)[:40])
def test_what_is_within_the_limits_takes_little_time(built: Built, source: str) -> None:
    assert all("LIMIT_EXCEEDED" not in str(error.extensions) for error in read(built, source).errors)


@pytest.mark.parametrize(
    "source",
    [
        "{a" * 10_000 + "}" * 10_000,
        "{a" * 4_000,
        "{ dataset(id: " + "[" * 5_000 + "]" * 5_000 + ") { id } }",
        "{ dataset(id: " + "{a:" * 5_000 + "1" + "}" * 5_000 + ") { id } }",
        "query ($a: " + "[" * 5_000 + "Int" + "]" * 5_000 + ") { __typename }",
        "{" + "...{" * 5_000 + "__typename" + "}" * 5_000 + "}",
    ],
    ids=["fields", "unclosed", "lists", "objects", "types", "inline fragments"],
)
def test_deep_nesting_is_a_syntax_error(built: Built, source: str) -> None:
    [error] = read(built, source).errors
    assert error.message == "Syntax Error: Document is nested too deeply. Parsing aborted."


def test_one_place_takes_few_directives(built: Built) -> None:
    message = refused(built, "{ __typename " + "@skip(if: false) " * 11 + "}")
    assert message == "11 directives stand in one place; at most 10 may."


@pytest.mark.parametrize("length", [1, 2, 300])
def test_fragments_in_a_circle_are_named(built: Built, length: int) -> None:
    circle = repeated("fragment fN on Dataset { ...f_N_ }", length)
    circle = re.sub(r"_(\d+)_", lambda found: str((int(found[1]) + 1) % length), circle)
    document = read(built, "{ dataset(id: 1) { ...f0 " + "id " * 2_000 + "} }" + circle)
    text = document.errors[0].message
    assert "within itself" in text
    assert document.operations == ()


def test_fragments_in_a_circle_by_a_name_that_two_have_are_refused(built: Built) -> None:
    """The specification's rule looks at one of the two only: found by the fuzzer."""
    first, second = "fragment b on Query { __typename }", "fragment b on Query { ...a }"
    for fragments in (first + second, second + first):
        document = read(built, "{ ...a unknown { id } } fragment a on Query { ...b }" + fragments)
        [error] = document.errors
        assert error.message == "Cannot spread fragment 'a' within itself via 'b'."
        assert len(error.locations or ()) == 2, "where each spreads the other"
        assert document.operations == ()


def test_what_fragments_come_to_counts() -> None:
    source = """{ a { ...f } b: a { ...f } ...g } fragment g on Q { c ...h }
        fragment h on Q { d @skip(if: true) e: d(x: [1, {y: 2}]) { i } } fragment f on Q { d: h { ...k } }
        fragment k on K { l { m } } fragment unused on K { n }"""
    size = measure(parse(source))
    # (definition, a, b, ...g, g, c, ...h, h, d, e, i) + 2 (...f, f, d, ...k, k, l, m) + (unused, n)
    assert size.fields == 11 + 2 * 7 + 2
    assert (size.aliases, size.directives, size.values) == (1 + 1 + 2, 1, 1 + 4)
    assert (size.depth, size.root_fields) == (4, 2 + 1 + 2)


def test_fields_under_one_name_count_with_their_square() -> None:
    assert overlap(parse("{ a b c }")) == 0
    assert overlap(parse("{ a a a }")) == 9
    assert overlap(parse("{ a { b } a { b c } a: d { b } }")) == 9 + 9
    assert overlap(parse("{ a(x: [1 2]) a }")) == 2 * (1 + 3 + 1)
    assert overlap(parse("{ a { ...f } a { ...f } } fragment f on T { b ... { b } }")) == 4 + 4 + 4


def test_fifty_fragments_with_an_id_each_have_room() -> None:
    source = (
        "{ datasets { nodes {" + repeated("...fN", 50) + "} } }" + repeated(dataset("fN", "__typename id name"), 50)
    )
    document = parse(source)
    check_size(document, DEFAULTS)
    assert overlap(document) * ROOM < DEFAULTS.overlap
    assert measure(document).fields * ROOM < DEFAULTS.fields


# Our own operations


def own_documents() -> Iterator[tuple[str, str]]:
    for file in sorted([*ROOT.glob("examples/**/*.graphql"), *ROOT.glob("web/src/**/*.graphql")]):
        yield str(file.relative_to(ROOT)), file.read_text()
    for file in sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")]):
        blocks = re.findall(r"^```graphql\n(.*?)^```", file.read_text(), re.DOTALL | re.MULTILINE)
        yield from ((f"{file.relative_to(ROOT)} {number}", block) for number, block in enumerate(blocks))
    yield (
        "GraphiQL",
        get_introspection_query(
            specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
        ),
    )


OWN = dict(own_documents())


def separate(document: DocumentNode) -> Iterator[tuple[OperationDefinitionNode, DocumentNode]]:
    """Each operation with all fragments, as a client sends it."""
    fragments = [item for item in document.definitions if not isinstance(item, OperationDefinitionNode)]
    for item in document.definitions:
        if isinstance(item, OperationDefinitionNode):
            yield item, DocumentNode(definitions=(item, *fragments))


def most(operation: OperationDefinitionNode) -> dict[str, Any]:
    """Variables with which it costs much: pages of 100, 1,000 points, lists of 10."""
    given: dict[str, Any] = {}
    for item in operation.variable_definitions or ():
        type_ = print_ast(item.type)
        if type_.startswith("Int"):
            given[item.variable.name.value] = 1000 if item.variable.name.value == "maxPoints" else 100
        elif type_.startswith("["):
            given[item.variable.name.value] = ["x"] * 10
    return given


@pytest.mark.parametrize("name", OWN)
def test_our_own_operations_have_room(built: Built, name: str) -> None:
    if re.match(r"\s*(type|input|enum|interface|directive)\b", OWN[name]):
        pytest.skip("it shows types")
    for operation, document in separate(parse(OWN[name])):
        size = measure(document)
        text = print_ast(document)
        cost = price(built.graphql, built.engine.entities, document, operation)
        asked = {
            "source_length": len(text), "tokens": len(re.findall(r'"[^"]*"|\w+|[^\s\w,]', text)), "fields": size.fields,
            "aliases": size.aliases, "directives": size.directives, "root_fields": size.root_fields,
            "overlap": overlap(document), "lists": cost.lists, "cost": cost.cost(most(operation)),
        }  # fmt: skip
        # Introspection's depth never reaches the database.
        assert size.depth * (1.5 if size.introspects else ROOM) <= DEFAULTS.depth
        for limit, number in asked.items():
            assert number * ROOM <= getattr(DEFAULTS, limit), (operation.name, asked)
            # Who is signed out learns that, not that the operation is too large.
            assert size.introspects or number <= getattr(ANONYMOUS, limit), (operation.name, asked)


# Cost


def priced(built: Built, source: str) -> Price:
    document = parse(source)
    [(operation, _)] = separate(document)
    return price(built.graphql, built.engine.entities, document, operation)


def cost(built: Built, source: str, **variables: Any) -> int:
    return priced(built, source).cost(variables)


PAGE = "query ($n: Int = 20) { datasets(first: $n) { nodes { id records(first: 10) { nodes { id } } } } }"


def test_page_sizes_multiply_through_lists(built: Built) -> None:
    inner = 10 * 2  # a row and its id
    outer = 1 + 1 + 1 + inner
    assert cost(built, PAGE, n=7) == 1 + 1 + 7 * outer
    assert cost(built, PAGE) == 2 + 20 * outer
    assert cost(built, PAGE, n=None) == 2 + 50 * outer
    assert cost(built, PAGE, n=0) == 2
    assert cost(built, PAGE, n=10**9) == 2 + 500 * outer
    assert cost(built, PAGE.replace("first: $n", "last: $n"), n=7) == 2 + 7 * outer


@pytest.mark.parametrize("wrong", ["many", [], {}, float("nan"), float("inf"), -1, True, 1e308, [1] * 9])
def test_a_page_size_that_is_none_is_left_to_who_refuses_it(built: Built, wrong: Any) -> None:
    assert 0 < cost(built, PAGE, n=wrong) <= cost(built, PAGE, n=500)


def test_edges_cost_as_nodes_and_merged_fields_once(built: Built) -> None:
    fragments = repeated("fragment fN on DatasetConnection { nodes { id name } }", 5)
    spread = "{ datasets { " + repeated("...fN", 5) + " nodes { id } } } " + fragments
    assert cost(built, spread) == cost(built, "{ datasets { nodes { id name } } }") == 1 + 1 + 50 * 3
    assert cost(built, "{ datasets { edges { cursor node { id } } } }") == 2 + 50 * (1 + 1 + 2)
    assert priced(built, spread).lists == 1


def test_lists_of_ids_and_points_multiply(built: Built) -> None:
    nodes = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert cost(built, nodes, ids=["a"] * 40) == 1 + 40 * 2
    assert cost(built, '{ nodes(ids: ["a", "b"]) { id } }') == 1 + 2 * 2
    curves = "query ($t: [ID!]!, $m: [String!]!, $p: Int!) { curves(tasks: $t, metrics: $m, maxPoints: $p) { values } }"
    assert cost(built, curves, t=["a"] * 3, m=["b"] * 2, p=1000) == 1 + 3 * 2 * 50 * 2


def test_counts_and_what_is_computed_cost_more(built: Built) -> None:
    assert cost(built, "{ datasets { totalCount } }") == 2 + 10
    assert cost(built, "{ datasets { nodes { agreement { question { id } } } } }") > 50 * 50
    assert cost(built, "{ datasets { nodes { progress { total } } } }") > 50 * 10


def test_bulk_mutations_cost_by_their_items(built: Built) -> None:
    source = """mutation ($input: SubmitResponsesInput!) { submitResponses(input: $input) {
        results { record { responses(first: 500) { nodes { id } } } } } }"""
    one, many = (cost(built, source, input={"responses": [{}] * number}) for number in (1, 1000))
    assert many > 900 * one > 900 * 500


def test_a_first_compile_is_bounded(built: Built, database: Database) -> None:
    operations = Operations(built, database, None)
    lists = "{ dataset(id: 1) {" + repeated("aN: records(first: 1) { totalCount }", 51) + "} }"
    with pytest.raises(
        RequestError, match=r"The operation has 51 lists; at most 50 are allowed \(GRADBOOK_MAX_LISTS\)"
    ):
        operations.prepare(Request(lists), viewer(1))


def test_an_operation_that_costs_too_much_is_told_where(built: Built, database: Database) -> None:
    operations = Operations(built, database, None)
    source = PAGE.replace("first: 10", "first: 500")
    operations.prepare(Request(source, {"n": 500}), viewer(1))
    source = source.replace("{ nodes { id } }", "{ nodes { id responses(first: $n) { nodes { id } } } }")
    operations.prepare(Request(source, {"n": 20}), viewer(1))
    with pytest.raises(RequestError) as raised:
        operations.prepare(Request(source, {"n": 400}), viewer(1))
    [error] = raised.value.result["errors"]
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert re.fullmatch(
        r"The operation may cost 160,\d{3},\d{3}, most of it \(160,000,000\) at "
        r"'datasets.nodes.records.nodes.responses.nodes'; at most 1,000,000 are allowed \(GRADBOOK_MAX_COST\)\.",
        error["message"],
    )


# Callers


def test_callers_who_are_not_signed_in_may_ask_for_less(built: Built, database: Database) -> None:
    operations = Operations(built, database, None)
    source = "{ viewer {" + "id " * 110 + "} }"
    for _ in range(2):  # what one kind of caller is told is not kept for the other
        operations.prepare(Request(source), viewer(1, Role.ANNOTATOR))
        with pytest.raises(RequestError, match="callers who are not signed in, GRADBOOK_ANONYMOUS_PERCENT"):
            operations.prepare(Request(source), None)
    with pytest.raises(RequestError, match="more than 500 words"):
        operations.prepare(Request("{" + "a " * 600 + "}"), None)


def test_the_limits_are_settings() -> None:
    assert limits_of(load()) == DEFAULTS
    assert limits_of(load(max_fields=7_000)) == replace(DEFAULTS, fields=7_000)
    for item in fields(ANONYMOUS):
        share = getattr(ANONYMOUS, item.name) / getattr(DEFAULTS, item.name)
        assert share == (1 if item.name == "depth" else 0.1)


@pytest.mark.parametrize("name", [item.name for item in fields(Limits) if item.name != "percent"])
def test_a_limit_is_the_last_number_that_is_allowed(name: str) -> None:
    limit = getattr(DEFAULTS, name)
    DEFAULTS.check(name, limit, "{}")
    with pytest.raises(GradbookError, match=f"{limit + 1:,}; at most {limit:,} are allowed"):
        DEFAULTS.check(name, limit + 1, "{}")
