"""The arguments below a compiled field, read per request: the shape that decides the SQL, and the values in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError, get_argument_values

from app.errors import GradbookError
from app.graphql.entity import Entity, Many
from app.graphql.filters import WhereParser
from app.graphql.paging import Page, key_types, order_tag, page_size, parse_cursor, parse_order
from app.graphql.selection import Call, Info, Template
from app.graphql.slots import put


@dataclass(slots=True)
class Bound:
    """The arguments of one request: a page per list, the values of all lists, and the arguments of attached fields."""

    pages: list[Page] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    attached: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Binder:
    """Reads arguments. `secret` signs cursors."""

    entities: Mapping[str, Entity]
    secret: str

    def bind(self, template: Template, info: Info, path: tuple[str | int, ...]) -> Bound:
        """The arguments of all fields below one whose path in the answer is `path`; errors carry their own path."""
        bound = Bound()
        for declared, call in template.lists:
            arguments = _arguments(call, info, path) if call is not None else {}
            try:
                bound.pages.append(self.page(declared, arguments, bound.values))
            except GradbookError as error:
                extensions = {"code": error.code, "argument": list(error.path)}
                node = None if call is None else call.node
                where = path if call is None else (*path, *call.path)
                raise GraphQLError(error.message, node, path=where, extensions=extensions) from error
        bound.attached.extend(_arguments(call, info, path) for _, call in template.attached)
        return bound

    def page(self, declared: Many, arguments: Mapping[str, Any], values: list[Any]) -> Page:
        """The shape of one list's arguments; appends their values."""
        target = self.entities[declared.target]
        size, backward = page_size(arguments, ()) if declared.paged else (0, False)
        where = arguments.get("where")
        where_shape = None if where is None else WhereParser(self.entities, values).parse(target, where, ("where",))
        order = parse_order(target, arguments.get("orderBy"), values, ("orderBy",))
        if not order:
            order = tuple((name, False) for name in declared.order)
        tag = order_tag(target, order, values)
        cursors: dict[str, tuple[int | None, ...] | None] = {"after": None, "before": None}
        for name in cursors:
            if (cursor := arguments.get(name)) is not None:
                keys = parse_cursor(cursor, self.secret, tag, key_types(target, order, self.entities), (name,))
                cursors[name] = tuple(None if key is None else put(values, key) for key in keys)
        numbers = put(values, size), put(values, size + 1), put(values, tag)
        text: str | None = arguments.get("search")
        terms = None if text is None or target.search is None else target.search.terms(text)
        search = None if terms is None else put(values, terms)
        return Page(*numbers, where_shape, order, backward, cursors["after"], cursors["before"], search)


def _arguments(call: Call, info: Info, path: tuple[str | int, ...]) -> Mapping[str, Any]:
    try:
        return get_argument_values(call.definition, call.node, info.variable_values)
    except GraphQLError as error:
        # Variables fit their types, but not always the place: a null in a nullable variable with a default.
        raise GraphQLError(error.message, error.nodes, path=(*path, *call.path), original_error=error) from error
