"""Registered operations: what `app.graphql.registered` reads, written by whoever has the machine.

They give nobody a right: each is run as its caller, who sees what they may see.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, text
from sqlalchemy.dialects import postgresql, sqlite

from app.accounts.audit import Event, audit
from app.accounts.tables import AuditAction, RegisteredOperation
from app.db.changes import Clock
from app.db.database import Database
from app.db.statement import Statement
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError
from app.graphql.registered import Stored

MAX_OPERATIONS = 5_000
"""Registered at a time: every server holds all of them, some kilobytes each, and one statement stores them."""

_CLOCK_NAME = "operations"  # counts the changes; its row's lock makes others wait
_TURN = text(
    f"INSERT INTO clock (name, value) VALUES ('{_CLOCK_NAME}', 1)"
    " ON CONFLICT (name) DO UPDATE SET value = clock.value + 1"
)
_VERSION = Statement(select(Clock.value).where(Clock.name == _CLOCK_NAME))
_table = RegisteredOperation.__table__
_STORED = Statement(select(_table.c.id, _table.c.sha256, _table.c.document))


@dataclass(frozen=True, slots=True)
class Document:
    """A document to register. `name` is that of its operation, or of several, with commas."""

    id: str
    name: str | None
    text: str


@dataclass(frozen=True, slots=True)
class OperationRow:
    """A registered operation as a list shows it."""

    id: str
    name: str | None
    document: str
    sha256: str
    created_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class Registration:
    """How many operations are new, have another text than before, are as they were, and were removed."""

    new: int
    changed: int
    unchanged: int
    removed: int


def register_operations(uow: UnitOfWork, documents: Sequence[Document], *, replace: bool = False) -> Registration:
    """Register valid documents under their ids, which differ. `replace` removes all others.

    A fixed number of statements, and none for what is as it was. Raises LIMIT_EXCEEDED.
    """
    _take_turn(uow)
    before = {row.id: row for row in list_operations(uow)}
    wanted = {one.id for one in documents}
    gone = [row for row in before.values() if row.id not in wanted] if replace else []
    new = [one for one in documents if one.id not in before]
    changed = [one for one in documents if one.id in before and before[one.id].document != one.text]
    total = len(before) + len(new) - len(gone)
    if total > MAX_OPERATIONS:
        message = (
            f"With these {total:,} operations would be registered; at most {MAX_OPERATIONS:,} can be: remove old ones, "
            "or put these in the place of all others by --replace."
        )
        raise GradbookError(Code.LIMIT_EXCEEDED, message)
    _write(uow, [*new, *changed])
    _remove(uow, gone)
    return Registration(len(new), len(changed), len(documents) - len(new) - len(changed), len(gone))


def remove_operations(uow: UnitOfWork, names: Collection[str]) -> list[OperationRow]:
    """Remove the operations that have these ids, or names. Raises NOT_FOUND, and CONFLICT for a name of several."""
    _take_turn(uow)
    rows = list_operations(uow)
    found = {row.id: row for row in (_named(rows, name) for name in names)}
    _remove(uow, found.values())
    return list(found.values())


def list_operations(uow: UnitOfWork) -> list[OperationRow]:
    """All registered operations, by name and then by id; whoever asks."""
    columns = [getattr(RegisteredOperation, name) for name in OperationRow.__slots__]
    rows = uow.connection.execute(select(*columns)).all()
    return sorted((OperationRow(*row) for row in rows), key=lambda row: (row.name or "", row.id))


async def read_operations(database: Database, version: int) -> Stored | None:
    """What is registered; None while the version is still this one. One statement, two if something changed."""
    rows = await database.read(*_VERSION.on(database.dialect))
    found = int(rows[0][0]) if rows else 0
    if found == version:
        return None
    # What is committed between the two statements is read twice.
    stored = await database.read(*_STORED.on(database.dialect))
    return Stored(found, ((key, sha256, document) for key, sha256, document in stored))


def _named(rows: Sequence[OperationRow], name: str) -> OperationRow:
    found = [row for row in rows if row.id == name] or [row for row in rows if row.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(row.id for row in found)
        raise GradbookError(Code.CONFLICT, f"{len(found)} operations are called {name!r}: name one by its id: {ids}.")
    message = f"No operation is registered as {name!r}: `gradbook operations list` shows which are."
    raise GradbookError(Code.NOT_FOUND, message)


def _take_turn(uow: UnitOfWork) -> None:
    """Wait until no other transaction changes them, and give them another version."""
    uow.connection.execute(_TURN)


def _write(uow: UnitOfWork, documents: Sequence[Document]) -> None:
    if not documents:
        return
    on = postgresql if uow.dialect_name == "postgresql" else sqlite
    rows = [
        {
            "id": document.id,
            "name": document.name,
            "document": document.text,
            "sha256": hashlib.sha256(document.text.encode()).hexdigest(),
            "created_at": uow.now,
        }
        for document in documents
    ]
    # `values` of a list is one statement, `execute` with a list would be one for each.
    write = on.insert(RegisteredOperation).values(rows)
    given = {name: write.excluded[name] for name in ("name", "document", "sha256", "created_at")}
    uow.connection.execute(write.on_conflict_do_update(index_elements=["id"], set_=given))
    audit(uow, *(Event(AuditAction.OPERATION_REGISTERED, row.id, row.name) for row in documents))


def _remove(uow: UnitOfWork, rows: Collection[OperationRow]) -> None:
    if rows:
        uow.connection.execute(delete(RegisteredOperation).where(_table.c.id.in_([row.id for row in rows])))
        audit(uow, *(Event(AuditAction.OPERATION_REMOVED, row.id, row.name) for row in rows))
