"""Worlds: rows of every table of the domains, written as they are and read back by the ORM."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, insert, select

from app.accounts import tables as accounts
from app.annotation import tables as annotation
from app.db import UnitOfWork

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC)

TABLES: tuple[Any, ...] = (
    accounts.User,
    accounts.Workspace,
    accounts.Membership,
    accounts.Credential,
    annotation.Dataset,
    annotation.Field,
    annotation.Question,
    annotation.Record,
    annotation.Response,
    annotation.Suggestion,
)
"""Parents before their children."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "user_account": {"role": accounts.Role.ANNOTATOR, "created_at": NOW, "updated_at": NOW},
    "workspace": {"created_at": NOW},
    "membership": {"created_at": NOW},
    "credential": {"kind": accounts.CredentialKind.KEY, "prefix": "gb_", "created_at": NOW},
    "dataset": {"min_submitted": 1, "created_at": NOW, "updated_at": NOW},
    "field": {"title": "", "type": annotation.FieldType.TEXT, "required": True, "position": 0},
    "question": {
        "title": "",
        "type": annotation.QuestionType.TEXT,
        "required": True,
        "position": 0,
        "settings": {"text": {}},
    },
    "record": {
        "fields": {"text": "t"},
        "status": annotation.RecordStatus.PENDING,
        "submitted_count": 0,
        "required": 1,
        "inserted_at": NOW,
        "updated_at": NOW,
        "changed": 1,
    },
    "response": {"status": annotation.ResponseStatus.SUBMITTED, "inserted_at": NOW, "updated_at": NOW},
    "suggestion": {"value": 1},
}


@dataclass
class World:
    """Rows by table name; what a row does not say is filled up from DEFAULTS."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: str, **row: Any) -> int:
        """Notes a row and returns its id."""
        made = {**DEFAULTS[table], **row}
        self.rows.setdefault(table, []).append(made)
        return int(made.get("id", 0))

    def fill(self, uow: UnitOfWork) -> None:
        """Writes all rows."""
        for cls in TABLES:
            table = cls.__table__
            # Rows that leave out different columns cannot share an executemany.
            names = {column.name for column in table.columns}
            rows = [{name: row.get(name) for name in names} for row in self.rows.get(table.name, ())]
            for start in range(0, len(rows), 1_000):
                uow.connection.execute(insert(table), rows[start : start + 1_000])

    def records(self, count: int, *, dataset: int, start: int, **row: Any) -> Iterator[int]:
        """Adds records with ids from `start`."""
        for number in range(start, start + count):
            yield self.add("record", id=number, dataset_id=dataset, **row)


def empty(uow: UnitOfWork) -> None:
    """Removes every row."""
    for cls in reversed(TABLES):
        uow.connection.execute(delete(cls.__table__))


def load(uow: UnitOfWork) -> dict[str, list[Any]]:
    """All rows as objects of the ORM, by class name."""
    return {cls.__name__: list(uow.session.scalars(select(cls))) for cls in TABLES}


def small() -> World:
    """An owner (1), an admin (2) and two annotators (3, 4) of a workspace; beside them an admin (5) of another one.

    Dataset 20 is in the first workspace (10), with records 100 to 109, of which each has a response of 2, 3 and 4 and a
    suggestion; dataset 21 in the second (11), with record 200, answered by 5.
    """
    world = World()
    roles = {1: "OWNER", 2: "ADMIN", 3: "ANNOTATOR", 4: "ANNOTATOR", 5: "ADMIN"}
    for number, role in roles.items():
        world.add("user_account", id=number, username=f"user {number}", role=accounts.Role[role])
    for workspace, members in ((10, (2, 3, 4)), (11, (5,))):
        world.add("workspace", id=workspace, name=f"workspace {workspace}")
        for user in members:
            world.add("membership", workspace_id=workspace, user_id=user)
    world.add("dataset", id=20, workspace_id=10, name="here")
    world.add("dataset", id=21, workspace_id=11, name="there")
    for dataset in (20, 21):
        world.add("question", id=dataset + 20, dataset_id=dataset, name="quality")
        world.add("field", id=dataset + 30, dataset_id=dataset, name="text")
    for place, record in enumerate(world.records(10, dataset=20, start=100)):
        for user in (2, 3, 4):
            number = 1_000 + place * 10 + user
            values = {"quality": user}
            world.add("response", id=number, dataset_id=20, record_id=record, user_id=user, values=values)
        world.add("suggestion", id=2_000 + place, dataset_id=20, record_id=record, question="quality", score=place / 4)
    (record,) = world.records(1, dataset=21, start=200)
    world.add("response", id=1_205, dataset_id=21, record_id=record, user_id=5)
    return world
