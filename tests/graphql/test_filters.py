"""Conditions: every operator on every kind of value and on missing ones; and what is refused, with where and why."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import pytest

from app.accounts.tables import Role
from app.db.types import instant_text
from app.graphql.filters import MAX_DEPTH, MAX_LIST, MAX_RELATIONS, MAX_TESTS
from app.graphql.json_path import MAX_STEPS
from app.graphql.kinds import OPERATORS
from app.graphql.operations import RequestError
from app.graphql.paging import MAX_KEYS, MAX_PAGE
from tests.graphql.asking import OWNER, Asker, viewer
from tests.graphql.oracle import of_kind
from tests.graphql.oracle import test as holds
from tests.graphql.things import ALL, Shade, things
from tests.graphql.world import NOW, small

INSTANTS = [NOW, NOW + datetime.timedelta(microseconds=1), NOW + datetime.timedelta(days=1)]

# The field, and values from small to large as filters spell them.
KINDS: dict[str, tuple[str, Sequence[Any]]] = {
    "text": ("name", ["", "Abc", "a%b", "é中"]),
    "int": ("count", [-(2**31), 0, 7, 2**31 - 1]),
    "float": ("size", [-1.5, 5e-324, 0.1 + 0.2, 1e300]),
    "instant": ("at", [instant_text(value) for value in INSTANTS]),
    "enum": ("shade", ["DARK", "LIGHT", "MIDDLE"]),
    "bool": ("flag", [False, True]),
    "id": ("parent", ["thg_1", "thg_2"]),
}
JSON: list[Any] = [None, 0, 1, -1, 1.0, 0.1 + 0.2, "1", "", "Abc", True, False, [1], {}, 10**18 - 1, 10**18, 2**64 - 1]
JSON_OPERANDS: dict[str, list[Any]] = {
    "float": [1, 0.1 + 0.2, -1.5],
    "int": [1, 0, 2**31 - 1],
    "text": ["1", "", "a"],
    "bool": [True, False],
}


def operands(operator: str, values: Sequence[Any]) -> list[Any]:
    if operator == "isNull":
        return [True, False]
    if operator in ("in", "notIn"):
        return [[], [values[0]], [values[0], values[-1], values[-1]]]
    if operator in ("contains", "startsWith"):
        return ["", "a", "A", "B", "%", "é", "É", "bc", "中"]
    return list(values)


async def found(asker: Asker, where: dict[str, Any]) -> set[int]:
    """The numbers of the things for which a condition holds."""
    query = "query ($where: ThingWhere) { things(first: 500, where: $where) { nodes { id } } }"
    nodes = (await asker.data(ALL, query, {"where": where}))["things"]["nodes"]
    return {int(node["id"].removeprefix("thg_")) for node in nodes}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_operator_on_every_value_and_on_none(asker: Asker, kind: str) -> None:
    field, values = KINDS[kind]
    stored: list[Any] = [Shade[text] for text in values] if kind == "enum" else list(values)
    stored = INSTANTS if kind == "instant" else [1, 2] if kind == "id" else stored
    key = "parent_id" if kind == "id" else field
    missing = [] if kind == "enum" else [None]
    asker = await things(asker, *({key: value} for value in [*stored, *missing]))
    spelled = dict(enumerate([*values, *missing], 1))
    for operator in OPERATORS[kind]:
        for operand in operands(operator, values):
            right = {number for number, value in spelled.items() if holds(value, {operator: operand})}
            test = {field: {operator: operand}}
            assert await found(asker, test) == right, test
            assert await found(asker, {"not": test}) == spelled.keys() - right, test
            assert await found(asker, {"not": {"not": test}}) == right, test


async def test_every_operator_on_every_kind_of_json(asker: Asker) -> None:
    asker = await things(asker, {"data": None}, {"data": {}}, *({"data": {"a": value}} for value in JSON))
    stored = dict(enumerate([None, None, *JSON], 1))
    for kind, values in JSON_OPERANDS.items():
        for operator in OPERATORS[kind]:
            for operand in operands(operator, values):
                right = {number for number, value in stored.items() if holds(of_kind(value, kind), {operator: operand})}
                test = {"data": {"path": "a", kind: {operator: operand}}}
                assert await found(asker, test) == right, test
                assert await found(asker, {"not": test}) == stored.keys() - right, test
    missing = {number for number, value in stored.items() if value is None}
    for is_null, right in ((True, missing), (False, stored.keys() - missing)):
        assert await found(asker, {"data": {"path": "a", "isNull": is_null}}) == right


async def test_paths_into_json(asker: Asker) -> None:
    documents = [
        {"a.b": 1, "a": {"b": 2, "c d": [{"é": 3}, [4]]}, "0": 5, "": 6, "中文": 7},
        {"a": [{"b": 8}]},
        {"a": "b"},
        [9, {"a": 10}],
    ]
    asker = await things(asker, *({"data": document} for document in documents))
    table = {
        '"a.b"': 1,
        "a.b": 2,
        'a."c d"[0].é': 3,
        'a."c d"[1][0]': 4,
        '"0"': 5,
        "0": 5,
        "中文": 7,
        "a[0].b": 8,
        "[0]": 9,
        "[1].a": 10,
    }
    for path, value in table.items():
        holder = 1 if value < 8 else 2 if value == 8 else 4
        assert await found(asker, {"data": {"path": path, "int": {"eq": value}}}) == {holder}, path
    for path in ("a[5]", "a.b.c.d", "b[0]", "a.0", "[7]"):
        assert await found(asker, {"data": {"path": path, "isNull": False}}) == set(), path


async def test_and_or_not_some_and_none(asker: Asker) -> None:
    parents = {1: None, 2: None, 3: 1, None: 1, 5: 2}
    rows = [{"count": number, "parent_id": parent} for number, parent in parents.items()]
    asker = await things(asker, *rows)
    small, none = {"count": {"lt": 3}}, {"count": {"isNull": True}}
    table: list[tuple[dict[str, Any], set[int]]] = [
        ({}, {1, 2, 3, 4, 5}),
        ({"and": []}, {1, 2, 3, 4, 5}),
        ({"or": []}, set()),
        ({"not": {}}, set()),
        ({"or": [small, none]}, {1, 2, 4}),
        ({"and": [small, {"not": {"count": {"eq": 1}}}]}, {2}),
        ({"not": {"or": [small, none]}}, {3, 5}),
        ({"count": None, "not": None, "or": None}, {1, 2, 3, 4, 5}),
        ({"children": {"some": {}}}, {1, 2}),
        ({"children": {"none": {}}}, {3, 4, 5}),
        ({"children": {"some": none}}, {1}),
        ({"children": {"some": {"count": {"gte": 3}}, "none": none}}, {2}),
        ({"not": {"children": {"some": {"count": {"ne": 3}}}}}, {3, 4, 5}),
        ({"children": {"some": None}}, {1, 2, 3, 4, 5}),
        ({"parent": {"in": ["thg_1", "thg_7"]}}, {3, 4}),
        ({"children": {"some": {"children": {"some": {}}}}}, set()),
    ]
    for where, right in table:
        assert await found(asker, where) == right, where


async def test_a_condition_on_a_relation_sees_what_the_viewer_sees(small_book: Asker) -> None:
    query = """query ($where: RecordWhere) {
        dataset(id: "dst_20") { records(where: $where) { totalCount } }
    }"""
    some = {"responses": {"some": {"user": {"eq": "usr_4"}}}}
    none = {"responses": {"none": {"user": {"eq": "usr_4"}}}}
    for who, role, counts in ((1, Role.OWNER, (10, 0)), (3, Role.ANNOTATOR, (0, 10)), (4, Role.ANNOTATOR, (10, 0))):
        for where, right in zip((some, none), counts, strict=True):
            data = await small_book.data(viewer(who, role), query, {"where": where})
            assert data["dataset"]["records"]["totalCount"] == right


def nested(depth: int, relations: int = MAX_RELATIONS) -> dict[str, Any]:
    """A condition so many levels deep, the innermost of them relations."""
    where: dict[str, Any] = {"count": {"notIn": [5]}}
    for level in range(depth - 1):
        where = {"children": {"none": where}} if level < relations else {"not": where}
    return where


async def test_limits_are_reached_without_harm(asker: Asker) -> None:
    asker = await things(asker, {"count": 1}, {"count": 5, "parent_id": 1})
    assert await found(asker, nested(MAX_DEPTH)) <= {1, 2}
    mixed: dict[str, Any] = {"count": {"notIn": [5]}}
    for level in range(MAX_RELATIONS):
        mixed = {"children": {"none" if level else "some": {"not": mixed}}}
    assert await found(asker, mixed) <= {1, 2}
    assert await found(asker, {"count": {"in": list(range(MAX_LIST))}}) == {1, 2}
    assert await found(asker, {"or": [{"count": {"eq": number}} for number in range(MAX_TESTS)]}) == {1, 2}
    assert await found(asker, {"data": {"path": ".".join("a" * MAX_STEPS), "isNull": True}}) == {1, 2}


def order(*paths: str) -> list[dict[str, Any]]:
    return [{"json": {"path": path, "as": "INT"}} for path in paths]


REFUSED: list[tuple[dict[str, Any], str, str, list[Any]]] = [
    # the arguments of `things`; code, a part of the message, and where in the arguments
    ({"first": -1}, "LIMIT_EXCEEDED", "'first' is -1; it may be 0 to 500", ["first"]),
    ({"first": MAX_PAGE + 1}, "LIMIT_EXCEEDED", "'first' is 501", ["first"]),
    ({"last": MAX_PAGE + 1}, "LIMIT_EXCEEDED", "'last' is 501", ["last"]),
    ({"first": 1, "last": 1}, "INVALID_INPUT", "exclude each other", []),
    (
        {"where": {"count": {"in": [1] * 1_001}}},
        "LIMIT_EXCEEDED",
        "1001 values; at most 1,000",
        ["where", "count", "in"],
    ),
    ({"where": {"count": {"eq": None}}}, "INVALID_INPUT", "use 'isNull'", ["where", "count", "eq"]),
    ({"where": {"count": {"isNull": None}}}, "INVALID_INPUT", "not null", ["where", "count", "isNull"]),
    ({"where": {"name": {"eq": "a\0b"}}}, "INVALID_INPUT", "at position 1", ["where", "name", "eq"]),
    ({"where": {"name": {"in": ["a", "\0"]}}}, "INVALID_INPUT", "NUL", ["where", "name", "in", 1]),
    ({"where": {"name": {"contains": "\0"}}}, "INVALID_INPUT", "NUL", ["where", "name", "contains"]),
    ({"where": {"id": {"eq": "usr_1"}}}, "INVALID_ID", "'usr_1' is not the id of a thing", ["where", "id", "eq"]),
    ({"where": {"parent": {"in": ["thg_1", "thg_x"]}}}, "INVALID_ID", "'thg_x'", ["where", "parent", "in", 1]),
    ({"where": {"id": {"eq": f"thg_{2**63}"}}}, "INVALID_ID", "not the id", ["where", "id", "eq"]),
    ({"where": {"id": {"eq": "thg_-1"}}}, "INVALID_ID", "not the id", ["where", "id", "eq"]),
    ({"where": {"id": {"eq": "thg_１"}}}, "INVALID_ID", "not the id", ["where", "id", "eq"]),
    (
        {"where": {"or": [{}, {"not": {"count": {"lt": None}}}]}},
        "INVALID_INPUT",
        "not null",
        ["where", "or", 1, "not", "count", "lt"],
    ),
    (
        {"where": {"children": {"some": {"name": {"eq": "\0"}}}}},
        "INVALID_INPUT",
        "NUL",
        ["where", "children", "some", "name", "eq"],
    ),
    (
        {"where": {"or": [{"count": {"eq": 1}}] * 101}},
        "LIMIT_EXCEEDED",
        "100 comparisons",
        ["where", "or", 100, "count", "eq"],
    ),
    (
        {"where": {"data": {"path": "a", "float": {"eq": None}}}},
        "INVALID_INPUT",
        "not null",
        ["where", "data", "float", "eq"],
    ),
    ({"orderBy": [{"direction": "ASC"}]}, "INVALID_INPUT", "either 'field' or 'json'", ["orderBy", 0]),
    (
        {"orderBy": [{"field": "ID"}, {"field": "NAME", "json": {"path": "a", "as": "INT"}}]},
        "INVALID_INPUT",
        "either 'field' or 'json'",
        ["orderBy", 1],
    ),
    ({"orderBy": [{"field": "NAME"}] * (MAX_KEYS + 1)}, "LIMIT_EXCEEDED", "6 order keys; at most 5", ["orderBy"]),
    ({"orderBy": order("a", "a.")}, "INVALID_INPUT", "'a.' is no path", ["orderBy", 1, "json", "path"]),
]
PATHS = [
    "",
    ".",
    "a.",
    ".a",
    "a..b",
    "a[",
    "a[]",
    "a[-1]",
    "a[x]",
    "a]",
    '"',
    '"a',
    'a"b"',
    '""',
    '"a"b',
    "a\\b",
    'a."b\\""',
]
PATHS += ["a\0", "a\nb", ".".join("a" * (MAX_STEPS + 1)), "[1234567890]", "a b[0]c"]

THINGS = """query ($where: ThingWhere, $orderBy: [ThingOrder!], $first: Int, $last: Int) {
    %s(where: $where, orderBy: $orderBy, first: $first, last: $last) { nodes { id } }
}"""
BELOW = """query ($where: ThingWhere, $orderBy: [ThingOrder!], $first: Int, $last: Int) {
    root: thing(id: "thg_1") { a: parent { b: children { edges { c: node { ...F } } } } }
}
fragment F on Thing {
    d: children(where: $where, orderBy: $orderBy, first: $first, last: $last) { nodes { id } }
}"""


async def test_what_is_refused_says_why_and_where(asker: Asker) -> None:
    asker = await things(asker, {"count": 1})
    refused = REFUSED + [
        ({"where": {"data": {"path": path}}}, "INVALID_INPUT", "is no path into JSON", ["where", "data", "path"])
        for path in PATHS
    ]
    deep = ["where", *["not"] * (MAX_DEPTH - MAX_RELATIONS), *["children", "none"] * MAX_RELATIONS]
    wide = ["where", *["children", "none"] * (MAX_RELATIONS + 1)]
    for where, argument in ((nested(MAX_DEPTH + 1), deep), (nested(MAX_RELATIONS + 2, MAX_RELATIONS + 1), wide)):
        refused.append(({"where": where}, "LIMIT_EXCEEDED", "8 levels deep, and 3 relations", list(argument)))
    for arguments, code, message, argument in refused:
        for query, place in ((THINGS % "things", ["things"]), (BELOW, ["root", "a", "b", "edges", "c", "d"])):
            error = await asker.error(ALL, query, arguments)
            assert message in error["message"], arguments
            assert error["extensions"] == {"code": code, "argument": argument}, arguments
            assert error["path"] == place
            assert error["locations"]
    assert asker.statements == []


async def test_names_of_questions_are_checked(small_book: Asker) -> None:
    query = """query ($name: String!) { dataset(id: "dst_20") { records(where: {
        responses: {some: {answers: {question: $name, int: {eq: 3}}}}
    }) { totalCount } } }"""
    for name, count in (("quality", 10), ("a.b", 0), ("a b[0]", 0), ("质量", 0), ("'); --", 0)):
        data = await small_book.data(OWNER, query, {"name": name})
        assert data["dataset"]["records"]["totalCount"] == count
    for name in ("", '"', 'a"b', "\\", "a\nb", "\0"):
        error = await small_book.error(OWNER, query, {"name": name})
        assert "cannot be a name" in error["message"]
        argument = ["where", "responses", "some", "answers", "question"]
        assert error["extensions"] == {"code": "INVALID_INPUT", "argument": argument}
        assert error["path"] == ["dataset", "records"]


async def test_suggestions_by_their_value(small_book: Asker) -> None:
    query = """query ($tests: SuggestionValueFilter!) { dataset(id: "dst_20") {
        records(where: {suggestions: {some: {question: {eq: "quality"}, value: $tests}}}) { totalCount }
    } }"""
    table: list[tuple[Any, int]] = [
        ({"int": {"eq": 1}}, 10),
        ({"float": {"lt": 1}}, 0),
        ({"isNull": False}, 10),
        ({"text": {"ne": ""}}, 10),
    ]
    for tests, count in table:
        assert (await small_book.data(OWNER, query, {"tests": tests}))["dataset"]["records"]["totalCount"] == count


async def test_answers_and_suggestions_by_a_place_inside_them(asker: Asker) -> None:
    world = small()
    rows = world.rows
    for response in rows["response"][:3]:  # the three of record 100
        order = ("duty", "fear") if response["user_id"] == 2 else ("fear", "duty")
        response["values"] = {"appeal": [{"value": value, "rank": place + 1} for place, value in enumerate(order)]}
    rows["suggestion"][0]["value"] = ["peace", "war"]
    await asker.database.transact(world.fill)
    query = """query ($where: RecordWhere!) { dataset(id: "dst_20") {
        records(where: $where) { totalCount }
    } }"""
    first = {"question": "appeal", "path": "[0].value"}
    table: list[tuple[dict[str, Any], int]] = [
        ({"responses": {"some": {"answers": {**first, "text": {"eq": "duty"}}}}}, 1),
        ({"responses": {"some": {"answers": {**first, "text": {"eq": "hope"}}}}}, 0),
        ({"responses": {"some": {"answers": {"question": "appeal", "path": "[1].rank", "int": {"eq": 2}}}}}, 1),
        ({"responses": {"some": {"answers": {"question": "appeal", "path": "[2]", "isNull": False}}}}, 0),
        ({"responses": {"some": {"answers": {"question": "quality", "path": None, "int": {"eq": 3}}}}}, 9),
        ({"suggestions": {"some": {"value": {"path": "[1]", "text": {"eq": "war"}}}}}, 1),
        ({"suggestions": {"some": {"value": {"path": "[0]", "text": {"eq": "war"}}}}}, 0),
    ]
    for where, count in table:
        data = await asker.data(OWNER, query, {"where": where})
        assert data["dataset"]["records"]["totalCount"] == count, where
    wrong = {"suggestions": {"some": {"value": {"path": "[first]", "isNull": True}}}}
    error = await asker.error(OWNER, query, {"where": wrong})
    assert "is no path into JSON" in error["message"]
    assert error["extensions"]["argument"] == ["where", "suggestions", "some", "value", "path"]


async def test_instants_in_any_spelling(asker: Asker) -> None:
    asker = await things(asker, {"at": datetime.datetime(2026, 1, 31, 9, 30, tzinfo=datetime.UTC)})
    spellings = ["2026-01-31T09:30:00Z", "2026-01-31T10:30:00+01:00", "2026-01-30T23:30-10:00", "20260131T093000.0Z"]
    for text in spellings:
        assert await found(asker, {"at": {"eq": text}}) == {1}
    far = "9999-12-31T23:59:59.999999-10:00"
    for text in ("2026-01-31T09:30:00", "2026-01-31", "now", "", "0001-01-01T00:00:00Z", far):
        with pytest.raises(AssertionError, match="no instant"):
            await found(asker, {"at": {"eq": text}})
        query = f'{{ things(where: {{at: {{eq: "{text}"}}}}) {{ totalCount }} }}'
        with pytest.raises(RequestError, match="no instant"):
            await asker.ask(ALL, query)


async def test_a_variable_that_does_not_fit_its_place_is_an_error_of_that_place(asker: Asker) -> None:
    asker = await things(asker, {"count": 1})
    query = """query ($path: String = "a", $prefix: String = "p") {
        a: thing(id: "thg_1") { b: children(where: {data: {path: $path}}) { totalCount } }
        c: things { nodes { d: label(prefix: $prefix) } }
    }"""
    answer = await asker.ask(ALL, query, {"path": None, "prefix": None})
    assert [error["path"] for error in answer["errors"]] == [["a", "b"], ["c", "nodes", "d"]]
    assert "data" in answer


async def test_a_search_that_holds_no_word_is_refused_where_it_stands(small_book: Asker) -> None:
    query = 'query ($text: String) { dataset(id: "dst_20") { found: records(search: $text) { totalCount } } }'
    assert (await small_book.data(OWNER, query))["dataset"]["found"]["totalCount"] == 10
    error = await small_book.error(OWNER, query, {"text": "?!"})
    assert error["extensions"] == {"code": "INVALID_INPUT", "argument": ["search"]}
    assert error["path"] == ["dataset", "found"]
