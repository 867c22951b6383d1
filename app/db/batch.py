"""Migrations that change a table which has triggers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import op
from alembic.operations import BatchOperations

_TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"


@contextmanager
def batch_alter_table(table: str, **options: Any) -> Iterator[BatchOperations]:
    """`op.batch_alter_table` that keeps the table's triggers: SQLite's are gone with the table that is rebuilt."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        with op.batch_alter_table(table, **options) as batch:
            yield batch
        return
    before = connection.exec_driver_sql(_TRIGGERS, (table,)).all()
    with op.batch_alter_table(table, **options) as batch:
        yield batch
    kept = {name for name, _ in connection.exec_driver_sql(_TRIGGERS, (table,))}
    for name, sql in before:
        if name not in kept:
            connection.exec_driver_sql(sql)
