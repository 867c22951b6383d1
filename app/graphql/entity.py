"""Entities: what a GraphQL type is in the database, declared beside its fields.

    @entity("rec", tables.Record, own=..., within=Within("dataset"))
    class Record(Node):
        '''One item of a dataset.'''
        status: RecordStatus = column("COMPLETED as soon as enough responses are submitted.")
        dataset: Annotated["Dataset", ...] = one("Dataset", "dataset_id", "The dataset it belongs to.")
        responses: Connection["Response"] = many("Response", "record_id", "Its responses.")

The declared fields are all that can be read below a compiled field: there are no resolvers there. Scope is written
once per entity and the compiler applies it at every level.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, cast

import strawberry
from sqlalchemy import ColumnElement, FromClause, Table, true
from strawberry.types.field import StrawberryField

T = TypeVar("T")
C = TypeVar("C", bound=type)

DECLARED = "declared"
"""Key of a field's declaration in the Strawberry field's metadata."""

Rows = FromClause
Condition = ColumnElement[bool]
Scope = Callable[[Rows, str], Condition]
"""(table or alias, viewer's kind) -> the condition that holds for the rows that such a viewer sees."""

Expression = Callable[[Rows], ColumnElement[Any]]
Loader = Callable[[Any, Sequence[int], Mapping[str, Any]], Awaitable[Mapping[int, Any]]]
"""(context, ids of the parents, arguments) -> a JSON value per parent's id."""


@dataclass(frozen=True, slots=True)
class Column:
    """A stored or computed value of a row. `id_of` is the prefix of the ids it holds.

    `order` may be what rows are ordered by in its stead, for values that are long or have no order.
    """

    source: Expression | None = None
    filter: bool = True
    order: bool | Expression = True
    id_of: str | None = None

    def of(self, rows: Rows, name: str) -> ColumnElement[Any]:
        """The column's SQL on the given table or alias; `name` is the declaring field's name."""
        return self.source(rows) if self.source is not None else rows.c[name]

    def ordered(self, rows: Rows, name: str) -> ColumnElement[Any]:
        """What rows are ordered by."""
        return self.of(rows, name) if isinstance(self.order, bool) else self.order(rows)

    def may_be_null(self, rows: Rows, name: str) -> bool:
        """Whether a row may have no value. Of expressions this is not known."""
        return self.source is not None or bool(getattr(rows.c[name], "nullable", True))


@dataclass(frozen=True, slots=True)
class One:
    """The row of `target` whose id stands in the column `key` of this row. Null when it is hidden or missing.

    With `at`, the row of `target` whose column `at` holds it: at most one of those of which `own` holds. Conditions
    take ids, and with `named` values of that field of `target`, which tells its rows apart, too; and it is what rows
    are ordered by.
    """

    target: str
    key: str
    at: str = "id"
    own: Scope | None = None
    named: str | None = None


@dataclass(frozen=True, slots=True)
class Many:
    """The rows of `target` that belong to this row: as a Relay connection, or as a plain list where it cannot grow.

    `key` is the column of `target` that holds this row's id; `on(child, parent)` says it for anything else.
    `order` is the default order, as field names of `target`; `filter` offers `{some, none}` in the parent's `where`,
    and with `named`, a field of `target` that tells a parent's rows apart, conditions on the one row of a name instead.
    """

    target: str
    key: str | None = None
    on: Callable[[Rows, Rows], Condition] | None = None
    paged: bool = True
    order: tuple[str, ...] = ()
    filter: bool = False
    named: str | None = None

    def joins(self, child: Rows, parent: Rows) -> Condition:
        """The condition under which a child row belongs to a parent row."""
        if self.on is not None:
            return self.on(child, parent)
        return child.c[cast("str", self.key)] == parent.c.id


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One object computed over the visible rows of `target` that belong to this row."""

    target: str
    key: str


@dataclass(frozen=True, slots=True)
class Over:
    """A value of an aggregated object: an SQL aggregate over the rows of the target."""

    source: Expression


@dataclass(frozen=True, slots=True)
class Attached:
    """What SQL cannot compute: loaded in Python once for all parents of the root field, then spliced in.

    `arguments` are (name, type, description).
    """

    loader: Loader
    arguments: tuple[tuple[str, Any, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PartOf:
    """In a payload: one field of a row of the entity `target`, which a ref to the row stands for."""

    target: str
    field: str


@dataclass(frozen=True, slots=True)
class JsonPart:
    """A filter on one key of a JSON column: `where: {answers: {question: "quality", int: {gte: 4}}}`.

    Without an `argument` that names the key, it is a filter on the column's whole value. Its `path` goes further in.
    """

    name: str
    column: str
    argument: str | None
    description: str


Declaration: TypeAlias = Column | One | Many | Aggregate | Attached


@dataclass(frozen=True, slots=True)
class Within:
    """A row is visible only if its parent is: the row of `target` whose id stands in `key`."""

    target: str
    key: str


@dataclass(frozen=True, slots=True)
class TermSearch:
    """How rows are found by words without an index: the column `text` holds a row's terms, with one blank between.

    `terms` is as with `Search`.
    """

    text: str
    terms: Callable[[str], tuple[str, ...] | None]
    description: str


@dataclass(frozen=True, slots=True)
class Search:
    """How rows are found by words: a table beside the entity's holds every row's terms, with one blank between.

    `key` is its column with the row's id, `text` the one with the terms, of which the first is `@` and the id of the
    row that it is `within`. `index` is SQLite's FTS5 table over it; PostgreSQL has a GIN index of the terms, each after
    the first one and a colon. `terms` makes the terms to look for of what is asked, None for a text that asks for
    nothing; it raises GradbookError. Terms hold letters, digits, marks and symbols beyond ASCII.
    """

    table: Table
    key: str
    text: str
    index: str
    terms: Callable[[str], tuple[str, ...] | None]
    description: str


@dataclass(frozen=True, eq=False)
class Entity:
    """A GraphQL type and its rows.

    `own` is what must hold of a row beyond the visibility of its parent (`within`). Lists of an entity with a `search`
    take a text to search for. Rows that have a value in the field `hidden` are there, and are found by their id, but
    lists and relations leave them out, unless their `where` mentions the field.
    """

    name: str
    prefix: str
    table: Table
    own: Scope | None
    within: Within | None
    fields: Mapping[str, tuple[str, Declaration]]
    parts: Sequence[JsonPart] = ()
    search: Search | TermSearch | None = None
    hidden: str | None = None

    def is_shown(self, rows: Rows) -> Condition:
        """Whether lists and relations that do not ask for what is hidden show the row."""
        return true() if self.hidden is None else rows.c[self.fields[self.hidden][0]].is_(None)

    def is_within(self, relation: One) -> bool:
        """Whether a row is visible only if the row that the relation leads to is."""
        return relation.at == "id" and self.within == Within(relation.target, relation.key)


@strawberry.interface(description="Anything with an id that is unique in the whole book.")
class Node:
    """Relay's Node."""

    id: strawberry.ID = strawberry.field(
        description="Opaque; says its kind by its prefix.", metadata={DECLARED: Column(id_of="")}
    )


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = strawberry.field(description="Whether the list goes on after this page.")
    has_previous_page: bool = strawberry.field(description="Whether something stands before this page.")
    start_cursor: str | None = strawberry.field(description="The first edge's cursor; null on an empty page.")
    end_cursor: str | None = strawberry.field(description="The last edge's cursor; null on an empty page.")


@strawberry.type(description="One place in a list.")
class Edge(Generic[T]):
    """Relay's edge."""

    cursor: str = strawberry.field(description="Pass it as `after` or `before` to go on from here.")
    node: T = strawberry.field(description="What stands at this place.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    """Relay's connection, with `nodes` beside `edges`."""

    total_count: int = strawberry.field(
        description="How many there are in the whole list under `where` and `search`. Counted only when selected."
    )
    page_info: PageInfo = strawberry.field(description="Where this page stands in the list.")
    edges: list[Edge[T]] = strawberry.field(description="The page's items with their cursors.")
    nodes: list[T] = strawberry.field(description="The page's items.")


def column(
    description: str,
    source: Expression | None = None,
    *,
    filter: bool = True,
    order: bool | Expression = True,
    id_of: str | None = None,
) -> Any:
    """A stored column of the field's own name, or the SQL expression `source(rows)`; `order` as in `Column`."""
    return _declare(description, Column(source, filter, order, id_of))


def one(target: str, key: str, description: str, *, named: str | None = None) -> Any:
    """The row of the entity `target` that this row's column `key` points to."""
    return _declare(description, One(target, key, named=named))


def own(target: str, at: str, description: str, scope: Scope) -> Any:
    """The only row of the entity `target` whose column `at` holds this row's id and of which `scope` holds."""
    return _declare(description, One(target, "id", at, scope))


def many(  # noqa: PLR0913 - a declaration, read by its keywords
    target: str,
    key: str | None,
    description: str,
    *,
    on: Callable[[Rows, Rows], Condition] | None = None,
    paged: bool = True,
    order: tuple[str, ...] = (),
    filter: bool = False,
    named: str | None = None,
) -> Any:
    """The rows of the entity `target` whose column `key` holds this row's id, or of which `on(child, parent)` holds."""
    return _declare(description, Many(target, key, on, paged, order, filter, named))


def aggregate(target: str, key: str, description: str) -> Any:
    """An object whose type's fields are declared by `over(...)`, computed over the visible rows of `target`.

    Its type is never null: without rows, aggregates are 0 or null.
    """
    return _declare(description, Aggregate(target, key))


def over(description: str, source: Expression) -> Any:
    """A field of an aggregated object: an SQL aggregate over the rows of the target."""
    return strawberry.field(description=description, metadata={DECLARED: Over(source)})


def attached(description: str, loader: Loader, *arguments: tuple[str, Any, str]) -> Any:
    """A field that `loader` computes in Python for all parents at once; arguments are (name, type, description)."""
    return _declare(description, Attached(loader, arguments))


def part_of(target: str, field: str, description: str) -> Any:
    """In a payload: the field `field` of a row of `target`; its value is a ref to the row."""
    return strawberry.field(description=description, metadata={DECLARED: PartOf(target, field)})


def _declare(description: str, declaration: Declaration) -> Any:
    return strawberry.field(description=description, metadata={DECLARED: declaration})


def entity(  # noqa: PLR0913 - a declaration, read by its keywords
    prefix: str,
    table: type[Any],
    *,
    own: Scope | None = None,
    within: Within | None = None,
    parts: Sequence[JsonPart] = (),
    search: Search | TermSearch | None = None,
    hidden: str | None = None,
) -> Callable[[C], C]:
    """Declares a class as a Strawberry type and as an entity with ids `<prefix>_<number>`.

    An entity with neither `own` nor `within` would be open to everybody and is refused.
    """
    if own is None and within is None:
        raise TypeError(f"The entity '{prefix}' has no scope: say `own` or `within`.")

    def declare(cls: C) -> C:
        made = strawberry.type(cls, description=inspect.cleandoc(cls.__doc__ or ""))
        definition = made.__strawberry_definition__  # type: ignore[attr-defined]
        made.__entity__ = Entity(  # type: ignore[attr-defined]
            name=definition.name,
            prefix=prefix,
            table=table.__table__,
            own=own,
            within=within,
            fields=_declared(definition.fields, definition.name, prefix),
            parts=parts,
            search=search,
            hidden=hidden,
        )
        return made

    return declare


def _declared(fields: Sequence[StrawberryField], type_name: str, prefix: str) -> dict[str, tuple[str, Declaration]]:
    """Python name and declaration of every field, by GraphQL name. Anything undeclared is an error."""
    declared: dict[str, tuple[str, Declaration]] = {}
    for item in fields:
        metadata: Mapping[Any, Any] = item.metadata
        declaration = metadata.get(DECLARED)
        if not isinstance(declaration, Declaration) or not is_bare(item):
            raise TypeError(
                f"{type_name}.{item.python_name} is read by the engine, which runs no resolver, permission or"
                " extension: declare it with column(), one(), own(), many(), aggregate() or attached()."
            )
        if isinstance(declaration, Column) and declaration.id_of == "":
            declaration = Column(declaration.source, declaration.filter, declaration.order, prefix)
        declared[item.graphql_name or camel(item.python_name)] = (item.python_name, declaration)
    return declared


def is_bare(item: StrawberryField) -> bool:
    """Whether nothing of ours would run for the field."""
    return item.base_resolver is None and not item.extensions and not item.permission_classes


def camel(name: str) -> str:
    """`submitted_count` as `submittedCount`."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
