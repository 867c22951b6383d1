"""Chunks as rows: any number of them goes into one statement, and comes out of one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from app.annotation.sql import POSTGRESQL, SQLITE, rows, rows_json, statement
from app.db.statement import Statement
from app.db.unit_of_work import UnitOfWork
from app.training.metrics.chunks import Chunk

_BYTES = ("steps", "values", "times", "arrivals", "pyramid")
_NUMBERS = {"id": "bigint", "metric_id": "bigint", "first_arrival": "bigint", "last_arrival": "bigint"}
_NUMBERS |= {"lowest_step": "bigint", "highest_step": "bigint", "points": "integer"}
_NUMBERS |= {"minimum": "double precision", "maximum": "double precision"}
_PLACES = {f"{name}_{what}": "integer" for name in _BYTES for what in ("at", "size")}
_DATA = {POSTGRESQL: "CAST(:data AS bytea)", SQLITE: ":data"}


def insert_chunks(uow: UnitOfWork, task_id: int, chunks: Iterable[tuple[int, Chunk]]) -> None:
    """Store chunks of the task's metrics, given by their ids: one statement."""
    made = list(chunks)
    parts: list[bytes] = []
    items = [
        _item(number, metric_id, chunk) for number, (metric_id, chunk) in zip(uow.new_ids(len(made)), made, strict=True)
    ]
    at = 1
    for item, (_, chunk) in zip(items, made, strict=True):
        for name in _BYTES:
            column: bytes | None = getattr(chunk, name)
            if column is not None:
                item[f"{name}_at"], item[f"{name}_size"] = at, len(column)
                parts.append(column)
                at += len(column)
    given = {"rows": rows_json(items), "data": b"".join(parts), "task_id": task_id}
    uow.fetch(*_insert(uow.dialect_name).on(uow.dialect, **given))


def _item(number: int, metric_id: int, chunk: Chunk) -> dict[str, Any]:
    return {
        "id": number,
        "metric_id": metric_id,
        "first_arrival": chunk.first_arrival,
        "last_arrival": chunk.last_arrival,
        "lowest_step": chunk.min_step,
        "highest_step": chunk.max_step,
        "points": chunk.count,
        "minimum": chunk.minimum,
        "maximum": chunk.maximum,
    }


@cache
def _insert(name: str) -> Statement:
    """All columns' bytes come in one parameter, `data`: JSON holds none."""
    parts = ", ".join(f"substr({_DATA[name]}, {part}_at, {part}_size)" for part in _BYTES)
    numbers = ", ".join(_NUMBERS)
    return statement(f"""
        INSERT INTO metric_chunk (task_id, {numbers}, compacted, steps, "values", times, arrivals, pyramid)
        SELECT :task_id, {numbers}, pyramid_at IS NOT NULL, {parts} FROM {rows(name, _NUMBERS | _PLACES)}""")
