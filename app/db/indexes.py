"""Columns of indexes in the order in which lists read them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import DDLCompiler
from sqlalchemy.sql.visitors import InternalTraversal


class descending(ColumnElement[Any]):  # noqa: N801 - reads like the SQL it stands for
    """A column of an index that gives its rows by descending values, those without a value last.

    SQLite reads any index backwards, and NULL is its least value. PostgreSQL's greatest is NULL: a plain index, read
    backwards, would begin with the rows without a value.
    """

    inherit_cache = True
    _traverse_internals = [("column", InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - as SQLAlchemy's have them

    def __init__(self, column: Column[Any]) -> None:
        self.column = column
        self.type = column.type


@compiles(descending, "postgresql")
def _on_postgresql(element: descending, compiler: DDLCompiler, **_: Any) -> str:
    return f"{compiler.preparer.quote(element.column.name)} DESC{' NULLS LAST' if element.column.nullable else ''}"


@compiles(descending, "sqlite")
def _on_sqlite(element: descending, compiler: DDLCompiler, **_: Any) -> str:
    return compiler.preparer.quote(element.column.name)
