"""What callers who are not signed in are told of what does not fit the schema: nothing of the schema.

graphql-core's messages name types, fields, arguments and values, whichever rule they come from. So that each stays
readable and none tells what its caller did not know, names of the schema that the request does not hold are left out.
Whoever guesses a name learns that it exists: from the answer, if not from its message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    is_introspection_type,
    is_specified_directive,
    is_specified_scalar_type,
)

HIDDEN = "…"
ADVICE = "Sign in to be told the names."

_SUGGESTION = re.compile(r" Did you mean [^?]*\?")
# `field` and `value` are names, and words of messages as well: those are names that quotation marks, brackets and the
# like stand next to. A name with a capital or an underscore within is no word.
_NAME = re.compile(
    r"(?<=['\"(\[.@$])[_A-Za-z]\w*|\b[_A-Za-z]\w*(?=['\"!\])(])|\b[A-Za-z_]\w*[A-Z_]\w*|\b[A-Z]\w*[A-Z_]\w*", re.ASCII
)


def names_of(schema: GraphQLSchema) -> frozenset[str]:
    """What the schema calls its types, fields, arguments, values and directives, but for what every schema has."""
    return frozenset(_names_of(schema)) - {"Query", "Mutation", "Subscription"}


def _names_of(schema: GraphQLSchema) -> Iterator[str]:
    for directive in schema.directives:
        if not is_specified_directive(directive):
            yield directive.name
            yield from directive.args
    for name, type_ in schema.type_map.items():
        if is_introspection_type(type_) or is_specified_scalar_type(type_):
            continue
        yield name
        if isinstance(type_, GraphQLEnumType):
            yield from type_.values
        elif isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field, definition in type_.fields.items():
                yield field
                yield from getattr(definition, "args", ())


class Discretion:
    """What may be told in one response: names of the schema that are in what was `sent`, and whatever is no such name.

    The time grows with what was sent, once for each name.
    """

    def __init__(self, sent: str, names: frozenset[str]) -> None:
        self._sent = sent
        self._names = names
        self._known: dict[str, bool] = {}

    def told(self, message: str) -> str:
        """The message without suggestions and without other names; instead of those, the advice to sign in."""
        bare = _SUGGESTION.sub("", message)
        told = _NAME.sub(self._shown, bare)
        return bare if told == bare else f"{told} {ADVICE}"

    def _shown(self, found: re.Match[str]) -> str:
        name = found[0]
        if name not in self._names:
            return name
        if name not in self._known:
            sent = self._sent  # the first look is the quick one, and mostly the last
            self._known[name] = name in sent and re.search(rf"\b{name}\b", sent, re.ASCII) is not None
        return name if self._known[name] else HIDDEN


def words_of(query: str, variables: Mapping[str, Any] | None) -> str:
    """All that a request says: its document and its variables."""
    try:
        return f"{query}\n{orjson.dumps(variables).decode()}"
    except TypeError:  # they are nested too deep to be written
        return query
