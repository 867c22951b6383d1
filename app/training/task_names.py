"""How a task is named from outside: by its id, `tsk_…`, or by the UUID that scripts are handed."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, FromClause

from app.errors import Code, GradbookError
from app.graphql.scalars import decode_id

TaskName = int | str
"""A task's number, or its UUID as it is stored."""

_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)


def task_name(text: Any, *path: str | int) -> TaskName:
    """What `tsk_…` or a UUID means, with or without its hyphens. Raises INVALID_ID."""
    if isinstance(text, str) and _UUID.fullmatch(text):
        digits = text.replace("-", "").lower()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    try:
        return decode_id("tsk", text, "training task", path)
    except GradbookError as error:
        message = error.message.removesuffix(".") + " or a UUID, such as its taskId."
        raise GradbookError(Code.INVALID_ID, message, path) from None


def is_named(table: FromClause, name: TaskName) -> ColumnElement[bool]:
    """Whether a row of `train_task`, or an alias of it, is the task of this name."""
    return table.c.id == name if isinstance(name, int) else table.c.task_uuid == name


def shown_name(name: TaskName) -> str:
    """The name as messages show it."""
    return f"tsk_{name}" if isinstance(name, int) else name
