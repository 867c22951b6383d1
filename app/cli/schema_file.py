"""The file of `--schema`: the input of the mutation createDataset as JSON, read by GraphQL's own rules."""

from dataclasses import replace
from pathlib import Path

import orjson
import strawberry
from graphql import GraphQLError
from strawberry.types import ExecutionContext
from typing_extensions import override

from app.annotation import datasets
from app.annotation.checks import raise_errors
from app.annotation.inputs import CreateDatasetInput
from app.errors import Code, GradbookError

_OPERATION = "query ($input: CreateDatasetInput!) { read(input: $input) }"
_AT = "Variable '$input' has invalid value"


class _Schema(strawberry.Schema):
    """Its errors are told as the command's own, and not logged."""

    @override
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        pass


def read_schema_file(path: Path, name: str) -> datasets.CreateDatasetInput:
    """The dataset that the file describes, under this name. Raises INVALID_INPUT with all that is wrong, OSError."""
    try:
        given = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        message = f"The schema {path} is not JSON: {error}."
        raise GradbookError(Code.INVALID_INPUT, message) from None
    if not isinstance(given, dict):
        raise GradbookError(Code.INVALID_INPUT, f'The schema {path} is no object {{"fields": …, "questions": …}}.')
    read: list[datasets.CreateDatasetInput] = []

    @strawberry.type
    class Query:
        @strawberry.field
        def read(self, input: CreateDatasetInput) -> bool:
            read.append(input.to_domain())
            return True

    result = _Schema(Query).execute_sync(_OPERATION, {"input": {**given, "name": name}})
    raise_errors(
        [
            GradbookError(
                Code.INVALID_INPUT, f"The schema {path}{error.message.removeprefix(_AT).replace(' at .', ', ', 1)}"
            )
            for error in result.errors or ()
        ]
    )
    return replace(read[0], name=name)
