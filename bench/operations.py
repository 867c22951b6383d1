"""The operations that are measured, as they stand in `examples/operations`."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

_FOLDER = Path(__file__).parents[1] / "examples" / "operations"
PAGE_SIZE = 50


def operation(name: str, file: str = "annotation") -> str:
    """The text of one operation."""
    said = (_FOLDER / f"{file}.graphql").read_text("utf-8")
    found = re.search(rf"^(query|mutation) {name}\b.*?^}}$", said, re.DOTALL | re.MULTILINE)
    assert found, f"{file}.graphql has no operation {name}"
    return found[0]


RECORD_PAGE = operation("RecordPage")
SUBMIT_RESPONSE = operation("SubmitResponse")
REPORT_PROGRESS = operation("ReportProgress", "training")
CURVES = operation("Curves", "training")
TRAIN_TASKS = operation("TrainTasks", "training")


def page_variables(dataset_id: int) -> dict[str, object]:
    """The variables of RecordPage."""
    return {"dataset": f"dst_{dataset_id}", "first": PAGE_SIZE}


def submit_variables(record_id: int, values: dict[str, object]) -> dict[str, object]:
    """The variables of SubmitResponse."""
    return {"input": {"recordId": f"rec_{record_id}", "values": values}}


def without_cost(answer: bytes) -> bytes:
    """An answer without what it cost and what is left of a budget, which is another number in each."""
    before, found, _ = answer.rpartition(b',"extensions":{"cost":{')
    return before + b"}" if found else answer


def body(query: str, variables: dict[str, object]) -> bytes:
    """The body of a request."""
    return orjson.dumps({"query": query, "variables": variables})
