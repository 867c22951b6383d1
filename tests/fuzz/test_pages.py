"""Lists: every page is that piece of the whole list which its arguments say, and what it says of itself is true."""

from __future__ import annotations

from typing import Any

from graphql import GraphQLField, GraphQLNonNull, GraphQLObjectType, get_named_type, is_composite_type

from tests.fuzz.answers import hold
from tests.fuzz.dice import throws
from tests.fuzz.grammar import ASKED, MAX_WHERE, PREFIXES, SCHEMA, Grammar, Operation
from tests.fuzz.library import Library
from tests.graphql.asking import OWNER
from tests.graphql.drawing import Draw

WHOLE = "totalCount nodes { id } edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage }"
PARTS = ["totalCount", "nodes { id }", "edges { cursor node { id } }", "pageInfo { startCursor endCursor }",
         "pageInfo { hasNextPage }", "pageInfo { hasPreviousPage }"]  # fmt: skip
LISTS = [
    (type_.name, name)
    for type_ in SCHEMA.type_map.values()
    if isinstance(type_, GraphQLObjectType)
    for name, item in type_.fields.items()
    if "last" in item.args
]
CHOICES = ("where", "orderBy", "search")
PLACES = ("after", "before", "first", "last")


async def test_a_page_is_a_piece_of_the_list(library: Library) -> None:
    for number, d in enumerate(throws("pages", 4 * len(LISTS))):
        parent, name = LISTS[number % len(LISTS)]
        viewer = OWNER if number < len(LISTS) else library.someone(d)
        ids = [d.one(ASKED.ids[PREFIXES[parent]]) for _ in range(1 + d.upto(2))] if parent in PREFIXES else []
        chosen = choices(d, parent, name) if number >= len(LISTS) else {}
        grammar = Grammar(d, most_fields=10)
        node = _node_type(parent, name)
        more = f"shown: nodes {everything(node) if number < len(LISTS) else grammar.selection(node, 2)}"
        asked = listing((parent, name), f"{WHOLE} {more}", {**chosen, "first": 500}, ids, grammar)
        result = await hold(library, viewer, asked)
        if result is None or "errors" in result:
            continue
        wholes = lists_in(result)
        for whole in wholes:
            rows = [edge["node"]["id"] for edge in whole["edges"]]
            assert rows == [node["id"] for node in whole["nodes"]]
            assert len(set(rows)) == len(rows) == whole["totalCount"] == len(whole["shown"]), (viewer, asked, whole)
            assert whole["pageInfo"] == {"hasNextPage": False, "hasPreviousPage": False}, (viewer, asked, whole)
        longest: Any = max(wholes, key=lambda whole: whole["totalCount"], default={"edges": []})
        for _ in range(3 if longest["edges"] else 1):
            given = piece(d, longest["edges"])
            parts = " ".join(dict.fromkeys(d.one(PARTS) for _ in range(3)))
            asked = listing((parent, name), parts, {**chosen, **given}, ids)
            pages = lists_in(await hold(library, viewer, asked))
            for whole, page in zip(wholes, pages, strict=True):
                # A cursor of one row's list need not be in another one's.
                if whole is longest or not ({"after", "before"} & set(given)):
                    check(whole["edges"], given, page, asked)


def field_of(parent: str, name: str) -> GraphQLField:
    """A field of a type."""
    type_ = SCHEMA.type_map[parent]
    assert isinstance(type_, GraphQLObjectType)
    field: GraphQLField = type_.fields[name]
    return field


def _node_type(parent: str, name: str) -> GraphQLObjectType:
    node = get_named_type(field_of(get_named_type(field_of(parent, name).type).name, "nodes").type)
    assert isinstance(node, GraphQLObjectType)
    return node


def everything(type_: GraphQLObjectType) -> str:
    """A selection of all fields that can do without arguments."""
    made = []
    for name, item in type_.fields.items():
        if not any(isinstance(argument.type, GraphQLNonNull) for argument in item.args.values()):
            made.append(f"{name} {{ __typename }}" if is_composite_type(get_named_type(item.type)) else name)
    return f"{{ {' '.join(made)} }}"


def choices(d: Draw, parent: str, name: str) -> dict[str, Any]:
    """What makes the list: conditions, an order, terms."""
    arguments = field_of(parent, name).args
    grammar = Grammar(d)
    made = {}
    for one in CHOICES:
        if one in arguments and d.chance({"where": 50, "orderBy": 70, "search": 30}[one]):
            made[one] = grammar.value(arguments[one].type, one, MAX_WHERE, get_named_type(arguments[one].type))
    # Most conditions hold for few rows.
    if "where" in made and d.chance(60):
        made["where"] = {"not": made["where"]}
    return made


def listing(
    where: tuple[str, str], parts: str, given: dict[str, Any], ids: list[str], grammar: Grammar | None = None
) -> Operation:
    """A query of one list, below some rows or none; the grammar's variables and fragments go with its parts."""
    parent, name = where
    declared = ", ".join(f"${one}: {field_of(parent, name).args[one].type}" for one in given)
    fragments = ""
    values = given
    if grammar is not None:
        declared = ", ".join([declared, *grammar.declared])
        fragments = " ".join(grammar.fragments)
        values = {**given, **grammar.variables}
    body = f"list: {name}({', '.join(f'{one}: ${one}' for one in given)}) {{ {parts} }}"
    if not ids:
        return Operation(f"query ({declared}) {{ {body} }} {fragments}", values)
    query = f"query ($ids: [ID!]!, {declared}) {{ nodes(ids: $ids) {{ __typename ... on {parent} {{ {body} }} }} }}"
    return Operation(f"{query} {fragments}", {**values, "ids": ids})


def lists_in(result: Any) -> list[Any]:
    """The lists of an answer, of those rows that the viewer sees."""
    data = result["data"]
    return [data["list"]] if "list" in data else [node["list"] for node in data["nodes"] if node]


def piece(d: Draw, edges: list[Any]) -> dict[str, Any]:
    """Arguments of a page: a size, and cursors of the list."""
    made: dict[str, Any] = {d.one(["first", "last"]): d.one([0, 1, 1, 2, 2, 3, 5, len(edges), len(edges) + 1])}
    for one in ("after", "before"):
        if edges and d.chance(40):
            made[one] = d.one(edges)["cursor"]
    return made


def check(edges: list[Any], given: dict[str, Any], page: dict[str, Any], asked: Operation) -> None:
    """Whether a page is what its arguments cut out of the list."""
    cursors = [edge["cursor"] for edge in edges]
    start = cursors.index(given["after"]) + 1 if "after" in given else 0
    end = cursors.index(given["before"]) if "before" in given else len(edges)
    end = max(start, end)
    if "first" in given:
        end = min(end, start + given["first"])
    else:
        start = max(start, end - given["last"])
    expected: dict[str, Any] = {
        "totalCount": len(edges),
        "edges": edges[start:end],
        "nodes": [edge["node"] for edge in edges[start:end]],
    }
    # What a cursor stands for is there, also where the cursors leave nothing between them.
    info = {"hasPreviousPage": start > 0 or "after" in given, "hasNextPage": end < len(edges) or "before" in given}
    found = {"startCursor": cursors[start], "endCursor": cursors[end - 1]} if start < end else {}
    for name, value in page.items():
        for inner, said in value.items() if name == "pageInfo" else ():
            assert said == (info | found).get(inner), (inner, said, given, asked, edges)
        if name != "pageInfo":
            assert value == expected[name], (name, given, asked, edges)
