"""What schemathesis needs to know of us: values of our scalars, ids that there are, and what every answer keeps.

Loaded by its command line, which reads the module's name from SCHEMATHESIS_HOOKS; the ids come by GRADBOOK_FUZZ_IDS.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import orjson
import schemathesis
from graphql import NameNode, ObjectFieldNode, ValueNode
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from app.errors import Code
from tests.fuzz.grammar import ODD_IDS, ODD_INSTANTS
from tests.graphql.drawing import INTS, KEYS, TEXTS

BUSY = {Code.OVERLOADED.name, Code.DATABASE_BUSY.name}
IDS: list[str] = orjson.loads(os.environ["GRADBOOK_FUZZ_IDS"])
# Lone surrogates are no text that could be sent.
GOOD_AND_ODD_IDS = [*IDS, *IDS, *(text for text in ODD_IDS if text.isprintable())]


def columns(items: st.SearchStrategy[Any]) -> st.SearchStrategy[ValueNode]:
    """A list as one value."""
    return st.lists(items, max_size=5).map(nodes.List)


LEAVES = st.one_of(
    st.sampled_from(TEXTS).map(nodes.String),
    st.sampled_from(INTS).map(nodes.Int),
    st.floats(allow_nan=False, allow_infinity=False).map(nodes.Float),
    st.booleans().map(nodes.Boolean),
    st.just(nodes.Null),
)
NAMES = [key for key in [*KEYS, "text", "quality", "topic", "tone"] if key.isidentifier() and key.isascii()]


def object_of(values: st.SearchStrategy[ValueNode]) -> st.SearchStrategy[ValueNode]:
    """An object with some fields that there are."""
    return st.dictionaries(st.sampled_from(NAMES), values, max_size=3).map(
        lambda made: nodes.Object(
            [ObjectFieldNode(name=NameNode(value=name), value=value) for name, value in made.items()]
        )
    )


JSON = st.recursive(LEAVES, lambda inner: object_of(inner) | columns(inner), max_leaves=5)

schemathesis.graphql.scalar("ID", st.sampled_from(GOOD_AND_ODD_IDS).map(nodes.String))
schemathesis.graphql.scalar("JSON", JSON | object_of(JSON))
schemathesis.graphql.scalar("DateTime", st.sampled_from(ODD_INSTANTS).map(nodes.String))
schemathesis.graphql.scalar("SafeInt", (st.integers(-2, 2**53) | st.sampled_from(INTS)).map(nodes.Int))
schemathesis.graphql.scalar("Steps", columns(st.integers(-1, 2**53).map(nodes.Int)))
schemathesis.graphql.scalar("Values", columns(LEAVES))
schemathesis.graphql.scalar("Times", columns(st.integers(-1, 2**42).map(nodes.Int)))
schemathesis.graphql.scalar("Counts", columns(st.integers(-1, 2**53).map(nodes.Int)))


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """A fourth of the operations, always the same ones, come from nobody."""
    if crc32(str(case.body).encode(errors="replace")) % 4 == 0:
        case.headers.pop("Authorization", None)
        kwargs.get("headers", {}).pop("Authorization", None)


@schemathesis.check
def every_error_has_a_code(_: Any, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """JSON, errors that say what is wrong, no 5xx but for a server that has too much to do."""
    kind = response.headers.get("content-type", [""])[0]
    assert kind == "application/json", f"the content type is {kind!r}"
    body = orjson.loads(response.content)
    codes = [error["extensions"]["code"] for error in body.get("errors", ())]
    codes += [value for key, value in _values(body.get("data")) if key == "code"]
    unknown = [code for code in codes if code not in Code.__members__]
    assert not unknown, f"unknown codes: {unknown}"
    assert Code.INTERNAL.name not in codes, f"an error that nobody foresaw: {body['errors']}"
    assert response.status_code < 500 or (response.status_code == 503 and set(codes) <= BUSY), response.status_code


def _values(data: Any) -> Iterator[tuple[str, Any]]:
    """Every leaf of an answer, with the name it stands under."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield key, value
            yield from _values(value)
    elif isinstance(data, list):
        for item in data:
            yield from _values(item)
