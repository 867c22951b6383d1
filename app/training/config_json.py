"""All inputs of tasks as one JSON each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import select

from app.annotation.sql import among_ids
from app.db.statement import Statement
from app.training.tables import TrainTask
from app.training.task_values import COLUMNS, as_shown

_task = TrainTask.__table__
_STORED = Statement(select(_task.c.id, *(_task.c[name] for name in COLUMNS.values())).where(among_ids(_task.c.id)))
_JSON = ("extraParams", "tags")


async def load_configs(context: Any, ids: Sequence[int], _arguments: Mapping[str, Any]) -> dict[int, Any]:
    """The inputs of the tasks by their names, in the order of `fingerprint.INPUTS`; one statement for all."""
    database = context.database
    rows = await database.read(*_STORED.on(database.dialect, ids=ids))
    return {row[0]: _config(dict(zip(COLUMNS, row[1:], strict=True))) for row in rows}


def _config(stored: dict[str, Any]) -> dict[str, Any]:
    for name in _JSON:
        stored[name] = None if stored[name] is None else orjson.loads(stored[name])
    return as_shown(stored)
