"""The schema keeps its conventions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_introspection_type,
    is_list_type,
    is_specified_scalar_type,
)

from app.schema import build_schema, sdl

COMMITTED = Path(__file__).parents[2] / "schema.graphql"


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema("").graphql


def test_the_committed_schema_is_the_code_s() -> None:
    assert sdl() == COMMITTED.read_text(), "Run `make schema`, and look at what changed."


def _described(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Everything of the schema that people read, with its description."""
    for name, type_ in schema.type_map.items():
        if is_introspection_type(type_) or is_specified_scalar_type(type_):
            continue
        yield name, type_.description
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in type_.fields.items():
                yield f"{name}.{field_name}", field.description
                for argument, definition in field.args.items():
                    yield f"{name}.{field_name}({argument})", definition.description
        elif isinstance(type_, GraphQLInputObjectType):
            yield from ((f"{name}.{item}", definition.description) for item, definition in type_.fields.items())
        elif isinstance(type_, GraphQLEnumType):
            yield from ((f"{name}.{item}", value.description) for item, value in type_.values.items())


def test_everything_is_described(schema: GraphQLSchema) -> None:
    assert [what for what, description in _described(schema) if not description] == []


def test_every_mutation_takes_one_input_and_answers_errors(schema: GraphQLSchema) -> None:
    assert schema.mutation_type is not None
    for name, field in schema.mutation_type.fields.items():
        assert list(field.args) == ["input"], name
        assert isinstance(field.args["input"].type, GraphQLNonNull), name
        payload = get_named_type(field.type)
        assert isinstance(payload, GraphQLObjectType)
        assert str(payload.fields["errors"].type) == "[UserError!]!", name


def test_every_list_of_nodes_is_a_connection_unless_it_is_bounded(schema: GraphQLSchema) -> None:
    bounded = {
        "User.workspaces", "Dataset.fields", "Dataset.questions", "Record.suggestions",
        "TrainTask.metrics",  # few by their nature
        "RecordChanges.records", "TrainTaskChanges.tasks",  # by message
        "NextRecordsPayload.records", "Query.nodes",  # by argument
        "Recommendation.basedOn",  # by the runs that are learned from
    }  # fmt: skip
    node = schema.type_map["Node"]
    found = set()
    for name, type_ in schema.type_map.items():
        if not isinstance(type_, GraphQLObjectType) or name.endswith("Connection"):
            continue
        for field_name, field in type_.fields.items():
            below = get_named_type(field.type)
            of_nodes = below is node or (isinstance(below, GraphQLObjectType) and node in below.interfaces)
            if is_list_type(get_nullable_type(field.type)) and of_nodes:
                found.add(f"{name}.{field_name}")
    assert found == bounded


def test_connections_offer_nodes_beside_edges(schema: GraphQLSchema) -> None:
    connections = [type_ for name, type_ in schema.type_map.items() if name.endswith("Connection")]
    assert connections
    for type_ in connections:
        assert isinstance(type_, GraphQLObjectType)
        assert set(type_.fields) == {"totalCount", "pageInfo", "edges", "nodes"}
