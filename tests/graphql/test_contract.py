"""What could not be read truly is refused when the schema is built, or when it is answered."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest
import strawberry
from sqlalchemy import func
from strawberry.extensions import FieldExtension
from strawberry.permission import BasePermission
from strawberry.types.field import StrawberryField

from app.graphql import schema
from app.graphql.entity import (
    Connection,
    JsonPart,
    Node,
    Within,
    aggregate,
    attached,
    column,
    entity,
    many,
    one,
    over,
)
from app.graphql.schema import Built
from tests.graphql.asking import SECRET, Asker
from tests.graphql.things import ALL, Mark, Row, Sum, Thing, load_label, scope, things


class Nobody(BasePermission):
    """Permits nothing."""

    message = "no"

    def has_permission(self, source: Any, info: strawberry.Info, **_: Any) -> bool:
        return False


class Shout(FieldExtension):
    """An extension of a field."""

    def resolve(self, next_: Callable[..., Any], source: Any, info: strawberry.Info, **arguments: Any) -> Any:
        return next_(source, info, **arguments)


def build(*entities: type, query: type | None = None) -> Built:
    @strawberry.type(description="Queries.")
    class Query:
        """One root field."""

        thing: entities[0] | None = schema.root_one(entities[0].__entity__.name, "By id.")  # type: ignore[valid-type, attr-defined]

    known = (*entities, Mark) if Thing in entities else entities
    return schema.build(query=query or Query, mutation=None, subscription=None, entities=known, secret=SECRET)


def declare(name: str, fields: dict[str, tuple[Any, Any]], *, prefix: str = "tst", **options: Any) -> type:
    """An entity over the table of things, with these (type, field)s."""
    body = {"__annotations__": {key: type_ for key, (type_, _) in fields.items()}, "__doc__": "One."}
    made = type(name, (Node,), body | {key: item for key, (_, item) in fields.items()})
    return entity(prefix, Row, **({"own": scope} | options))(made)


def resolved(**options: Any) -> Any:
    def resolve(self: Any) -> str:
        return "x"

    return strawberry.field(resolve, description="Resolved.", **options)


FIELDS: dict[str, tuple[dict[str, tuple[Any, Any]], dict[str, Any], str]] = {
    # name: fields, the entity's options, what the error says
    "a resolver": ({"name": (str, resolved())}, {}, "runs no resolver"),
    "a plain field": ({"name": (str | None, strawberry.field(description="x"))}, {}, "runs no resolver"),
    "no description of a field at all": ({"name": (str | None, None)}, {}, "runs no resolver"),
    "an aggregate's field": ({"name": (int, over("x", lambda _: func.count()))}, {}, "runs no resolver"),
    "no scope": ({}, {"own": None}, "has no scope"),
    "no such column": ({"nope": (str | None, column("x"))}, {}, "has no column 'nope'"),
    "no such key": ({"up": (Thing | None, one("Thing", "nope", "x"))}, {}, "has no column 'nope'"),
    "no such key of a list": ({"all": (list[Thing], many("Thing", "nope", "x", paged=False))}, {}, "no column 'nope'"),
    "no such key of an aggregate": ({"sum": (Sum, aggregate("Thing", "nope", "x"))}, {}, "has no column 'nope'"),
    "no such target": ({"up": (Thing | None, one("Nope", "parent_id", "x"))}, {}, "no entity of this schema"),
    "no such target of a list": ({"all": (Connection[Thing], many("Nope", "id", "x"))}, {}, "no entity of this schema"),
    "no such target of an aggregate": ({"sum": (Sum, aggregate("Nope", "id", "x"))}, {}, "no entity of this schema"),
    "no such parent": ({}, {"within": Within("Nope", "parent_id")}, "no entity of this schema"),
    "no such key of the parent": ({}, {"within": Within("Thing", "nope")}, "has no column 'nope'"),
    "no such column of a part": ({}, {"parts": (JsonPart("p", "nope", None, "x"),)}, "has no column 'nope'"),
    "no such order": (
        {"all": (list[Thing], many("Thing", "parent_id", "x", paged=False, order=("children",)))},
        {},
        "'children', which is no column of Thing",
    ),
    "null for non-null": ({"name": (str, column("x"))}, {}, "its column may be NULL"),
    "a list in a column": ({"name": (list[str] | None, column("x"))}, {}, "a column holds a scalar, an enum"),
    "an object in a column": ({"name": (Thing | None, column("x"))}, {}, "a column holds a scalar, an enum"),
    "a hidden row": ({"parent": (Thing, one("Thing", "parent_id", "x"))}, {}, "make it nullable"),
    "another type": ({"parent": (str | None, one("Thing", "parent_id", "x"))}, {}, "the engine answers Thing"),
    "a list for a row": ({"parent": (list[Thing] | None, one("Thing", "id", "x"))}, {}, "the engine answers Thing"),
    "a plain list for a connection": ({"all": (list[Thing], many("Thing", "id", "x"))}, {}, "ThingConnection!"),
    "a connection for a plain list": (
        {"all": (Connection[Thing], many("Thing", "id", "x", paged=False))},
        {},
        r"\[Thing!\]!",
    ),
    "a list that may be null": (
        {"all": (list[Thing] | None, many("Thing", "id", "x", paged=False))},
        {},
        r"\[Thing!\]!",
    ),
    "an aggregate that may be null": ({"sum": (Sum | None, aggregate("Thing", "id", "x"))}, {}, "never null"),
    "the same ids": ({}, {"prefix": "thg"}, "both have ids 'thg_…'"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_what_is_refused_when_a_schema_is_built(case: str) -> None:
    fields, options, message = FIELDS[case]
    with pytest.raises(TypeError, match=message):
        build(declare("Test", fields, **options), Thing)


@pytest.mark.parametrize(
    "options", [{"permission_classes": [Nobody]}, {"extensions": [Shout()]}], ids=["permission", "extension"]
)
def test_permissions_and_extensions_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="runs no resolver, permission or extension"):
        build(declare("Test", {"name": (str, resolved(**options))}), Thing)
    declared = column("x")
    assert isinstance(declared, StrawberryField)
    for name, value in options.items():
        setattr(declared, name, value)
    with pytest.raises(TypeError, match="runs no resolver, permission or extension"):
        build(declare("Test", {"name": (str | None, declared)}), Thing)


def objects() -> list[tuple[Any, str]]:
    @strawberry.type(description="x")
    class WithRows:
        things: list[Thing] = strawberry.field(description="x")

    @strawberry.type(description="x")
    class WithNode:
        node: Node | None = strawberry.field(description="x")

    @strawberry.type(description="x")
    class WithResolver:
        @strawberry.field(description="x")
        def name(self) -> str:
            return "x"

    @strawberry.type(description="x")
    class WithArguments:
        inner: list[WithResolver] = strawberry.field(description="x")

    return [
        (WithRows, "a ref to one row"),
        (Thing, "cannot give rows"),
        (WithNode, "cannot give rows"),
        (WithResolver, "WithResolver.name stands below Test.x"),
        (WithArguments, "WithResolver.name stands below WithArguments.inner"),
    ]


@pytest.mark.parametrize("case", range(5))
def test_what_loaders_give_is_plain(case: int) -> None:
    type_, message = objects()[case]
    with pytest.raises(TypeError, match=message):
        build(declare("Test", {"x": (type_ | None, attached("x", load_label))}), Thing)


def test_aggregated_objects_have_aggregates_alone() -> None:
    @strawberry.type(description="x")
    class Plain:
        name: str = strawberry.field(description="x")

    @strawberry.type(description="x")
    class Resolved:
        name: str = resolved()

    for type_ in (Plain, Resolved, Thing):
        with pytest.raises(TypeError, match=r"declare it with over\(\)"):
            build(declare("Test", {"sum": (type_, aggregate("Thing", "id", "x"))}), Thing)


async def test_a_row_that_the_engine_did_not_read_is_refused(asker: Asker) -> None:
    class Found:
        id = 1
        name = "not read by the engine"

    async def resolve(engine: Any, info: Any, _: dict[str, Any]) -> Any:
        return Found()

    @strawberry.type(description="Queries.")
    class Query:
        """Answers with objects."""

        thing: Thing | None = schema.root("x", resolve)
        node: Node | None = schema.root("x", resolve)

        @strawberry.field(description="x")
        def resolved(self) -> Thing | None:
            return Found()  # type: ignore[return-value]

    asker = Asker(build(Thing, query=Query), asker.database)
    for field in ("thing { name }", "node { id }", "resolved { name }"):
        error = await asker.error(ALL, f"{{ {field} }}")
        assert error["extensions"]["code"] == "INTERNAL"


async def test_a_missing_row_is_none_and_a_hidden_relation_null(asker: Asker) -> None:
    rows: list[dict[str, Any]] = [{"owner_id": 7}, {"owner_id": 8, "parent_id": 1}, {"owner_id": 7, "parent_id": 9}]
    asker = await things(asker, *rows)
    seven = type(ALL)(7, "OWN")
    query = """{ a: thing(id: "thg_1") { id children { totalCount } } b: thing(id: "thg_2") { id }
        c: thing(id: "thg_3") { parent { id } upper } d: thing(id: "thg_4") { id } }"""
    found = await asker.data(seven, query)
    nothing = {"id": "thg_1", "children": {"totalCount": 0}}
    assert found == {"a": nothing, "b": None, "c": {"parent": None, "upper": None}, "d": None}
    found = await asker.data(type(ALL)(8, "OWN"), '{ thing(id: "thg_2") { parent { id } } }')
    assert found == {"thing": {"parent": None}}


async def test_a_missing_row_of_a_non_null_field_is_an_error(asker: Asker) -> None:
    @strawberry.type(description="Queries.")
    class Query:
        """Promises too much."""

        thing: Thing = schema.root_one("Thing", "By id.")

    await things(asker)
    asker = Asker(build(Thing, query=Query), asker.database)
    answer = await asker.ask(ALL, '{ thing(id: "thg_1") { id } }')
    assert answer["data"] is None
    assert [error["path"] for error in answer["errors"]] == [["thing"]]


def test_enums_and_instants_of_entities_are_scalars_of_the_schema() -> None:
    made = declare("Test", {"at": (datetime.datetime | None, column("x"))})
    assert "at: DateTime" in schema.sdl(build(made).graphql)
