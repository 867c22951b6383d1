"""Nearly valid: what is made of a valid operation by one or two changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import GraphQLError, Lexer, Source, TokenKind

from tests.fuzz.grammar import Operation, operation
from tests.graphql.drawing import Draw

SIGNS = [
    *"{}()[]:!$@=|&",
    "...",
    "#",
    '"',
    '"""',
    "\\",
    "\0",
    "\ufeff",
    "\ud800",
    "😀",
    "-",
    "0x1",
    "01",
    "1e999",
    "-0",
    "1.",
]
NAMES = [
    "Int",
    "String!",
    "[ID!]!",
    "JSON",
    "on",
    "true",
    "null",
    "fragment",
    "query",
    "mutation",
    "subscription",
    "skip",
    "include",
    "defer",
    "stream",
    "__schema",
    "__type",
    "__typename",
    "node",
    "id",
    "nodes",
    "edges",
    "where",
    "first",
    "after",
    "eq",
    "in",
    "and",
    "not",
    "F1",
    "a1",
    "v0",
    "Query",
    "Node",
    "Record",
    "TrainTask",
    "TextFilter",
]

HUGE = 10**400


def nearly_valid_operation(d: Draw) -> Operation:
    """A query of which the text or the variables are damaged."""
    query, variables = operation(d)
    if d.chance(75):
        return Operation(damaged(d, query), variables)
    return Operation(query, damaged_variables(d, variables))


def damaged(d: Draw, text: str) -> str:
    """The text after one to three changes of its tokens."""
    for _ in range(1 + d.upto(2)):
        text = d.one(CHANGES)(d, text)
    return text


def damaged_variables(d: Draw, variables: dict[str, Any]) -> dict[str, Any]:
    """The variables with one of another type, missing, or more."""
    made = dict(variables)
    name = d.one([*made, "v0", "more"])
    if d.chance(25):
        made.pop(name, None)
    else:
        made[name] = d.one(WRONG_VALUES)
    return made


def _nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


WRONG_VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 1e308, 2**63, HUGE, "", "\0", "text", "rec_1", [], [[]], [None], {}, {"": None}, {"a": 1},
    {"eq": None}, {"eq": {"eq": 1}}, [1, "a", None, {}], {"and": []}, {"not": None}, {"path": ""}, "x" * 10_000,
    ["x"] * 1_000, _nested(60, lambda value: [value]), _nested(60, lambda value: {"not": value}),
    _nested(300, lambda value: [value]), {str(n): n for n in range(1_000)},
]  # fmt: skip


def _tokens(text: str) -> list[tuple[int, int]]:
    """Where the words and signs stand, as far as the text can be read."""
    lexer = Lexer(Source(text))
    found = []
    try:
        while (token := lexer.advance()).kind is not TokenKind.EOF:
            found.append((token.start, token.end))
    except GraphQLError:
        pass
    return found or [(0, len(text))]


def _drop(d: Draw, text: str) -> str:
    start, end = d.one(_tokens(text))
    return text[:start] + text[end:]


def _double(d: Draw, text: str) -> str:
    start, end = d.one(_tokens(text))
    return f"{text[:end]} {text[start:end]}{text[end:]}"


def _swap(d: Draw, text: str) -> str:
    """Two tokens in each other's place."""
    tokens = _tokens(text)
    (start, end), (begin, stop) = sorted([d.one(tokens), d.one(tokens)])
    if end > begin:
        return text
    return text[:start] + text[begin:stop] + text[end:begin] + text[start:end] + text[stop:]


def _replace(d: Draw, text: str) -> str:
    start, end = d.one(_tokens(text))
    return f"{text[:start]}{d.one(NAMES) if d.chance(70) else d.one(SIGNS)}{text[end:]}"


def _insert(d: Draw, text: str) -> str:
    place = d.upto(len(text))
    return f"{text[:place]} {d.one(SIGNS) if d.chance(60) else d.one(NAMES)} {text[place:]}"


def _truncate(d: Draw, text: str) -> str:
    return text[: d.upto(len(text))]


def _circle(d: Draw, text: str) -> str:
    """A fragment that spreads another one, or itself."""
    ends = [end for start, end in _tokens(text) if text[start:end] == "{"]
    if not ends:
        return text
    end = d.one(ends)
    more = "" if "fragment F1 " in text else " fragment F1 on Query { __typename ...F2 } fragment F2 on Query { ...F1 }"
    return f"{text[:end]} ...F1 {text[end:]}{more}"


def _repeat(d: Draw, text: str) -> str:
    """A piece many times over."""
    tokens = _tokens(text)
    first = d.upto(len(tokens) - 1)
    last = min(len(tokens) - 1, first + d.upto(5))
    piece = text[tokens[first][0] : tokens[last][1]]
    return f"{text[: tokens[last][1]]} {' '.join([piece] * d.one([2, 5, 50, 300]))} {text[tokens[last][1] :]}"


CHANGES: list[Callable[[Draw, str], str]] = [
    _drop,
    _double,
    _swap,
    _replace,
    _replace,
    _insert,
    _truncate,
    _circle,
    _repeat,
]
