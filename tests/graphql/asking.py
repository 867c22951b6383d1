"""Asking the engine: operations run as the server runs them, on one database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.accounts import viewer as accounts
from app.accounts.tables import Role
from app.db.database import Database
from app.graphql.engine import Viewer
from app.graphql.limits import Allowed, Limits
from app.graphql.operations import Operations, Request
from app.graphql.schema import Built

WIDE = Limits(
    tokens=10_000, fields=100_000, aliases=10_000, root_fields=1_000, overlap=10_000_000, lists=1_000, cost=10**15
)
"""The engine is asked for more than callers are allowed. Depth is as it is for them."""

SECRET = "a secret of the tests"


@dataclass
class Asker:
    """One schema on one database. `statements` are the reads that the last question took."""

    built: Built
    database: Database
    limits: Limits = WIDE
    operations: Operations = field(init=False)
    statements: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        counting: Any = _Counting(self.database, self.statements)
        self.operations = Operations(self.built, counting, None, Allowed(self.limits, self.limits))

    async def bytes(self, viewer: Viewer | None, query: str, variables: Mapping[str, Any] | None = None) -> bytes:
        """The response's bytes."""
        self.statements.clear()
        prepared = self.operations.prepare(Request(query, variables), viewer)
        return orjson.dumps(await self.operations.execute(prepared, viewer))

    async def ask(self, viewer: Viewer | None, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """The response."""
        return orjson.loads(await self.bytes(viewer, query, variables))

    async def data(self, viewer: Viewer | None, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """The data of a response without errors."""
        answer = await self.ask(viewer, query, variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def error(self, viewer: Viewer | None, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """The only error of a response."""
        answer = await self.ask(viewer, query, variables)
        assert len(answer.get("errors", ())) == 1, answer
        return answer["errors"][0]


class _Counting:
    """A database that notes what is read."""

    def __init__(self, database: Database, statements: list[str]) -> None:
        self._database = database
        self._statements = statements

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def read(self, sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        self._statements.append(sql)
        return await self._database.read(sql, params)


def viewer(number: int, role: Role = Role.OWNER) -> accounts.Viewer:
    """A viewer with this user id."""
    return accounts.Viewer(number, f"user {number}", role)


OWNER = viewer(1)
