"""The operations that are measured, as they stand in `examples/operations`."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

_FILE = Path(__file__).parents[1] / "examples" / "operations" / "annotation.graphql"
PAGE_SIZE = 50


def operation(name: str) -> str:
    """The text of one operation."""
    found = re.search(rf"^(query|mutation) {name}\b.*?^}}$", _FILE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found, f"{_FILE} has no operation {name}"
    return found[0]


RECORD_PAGE = operation("RecordPage")
SUBMIT_RESPONSE = operation("SubmitResponse")


def page_variables(dataset_id: int) -> dict[str, object]:
    """The variables of RecordPage."""
    return {"dataset": f"dst_{dataset_id}", "first": PAGE_SIZE}


def submit_variables(record_id: int, values: dict[str, object]) -> dict[str, object]:
    """The variables of SubmitResponse."""
    return {"input": {"recordId": f"rec_{record_id}", "values": values}}


def body(query: str, variables: dict[str, object]) -> bytes:
    """The body of a request."""
    return orjson.dumps({"query": query, "variables": variables})
