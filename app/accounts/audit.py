"""The audit log: who changed what, written in the transaction of the change, and never altered.

Whatever grants, takes or deletes calls `audit`, once for all it did: tests/accounts/test_audit.py demands it of every
function of accounts that writes, and of every mutation. The guard lets no other module write the table, and triggers
refuse to change or delete its rows to whoever opens the database itself.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select

from app.accounts.tables import AuditAction, AuditDoor, AuditEvent
from app.accounts.viewer import Viewer
from app.db.guard import Protection
from app.db.unit_of_work import UnitOfWork
from app.origin import ORIGIN

PROTECTED = (Protection("audit_event"),)

_AT_ONCE = 1_000  # events: databases take some 32,000 parameters, and each has 12


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `subject` is the id of what it happened to, `name` what that was called.

    `details` are JSON. Never put a secret there: no password, no key, no link, nor what somebody typed as a username.
    """

    action: AuditAction
    subject: str | None
    name: str | None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as a list shows it."""

    id: int
    created_at: datetime.datetime
    action: AuditAction
    actor_name: str | None
    credential_id: int | None
    door: AuditDoor
    address: str | None
    request_id: str | None
    subject: str | None
    subject_name: str | None
    details: Any


def audit(uow: UnitOfWork, *events: Event, actor: Viewer | None = None) -> None:
    """Write what happened, by `actor` or else the viewer. One statement for a thousand events."""
    if not events:
        return
    who: Viewer | None = actor or uow.viewer
    origin = ORIGIN.get()
    common = {
        "created_at": uow.now,
        "actor_id": (who.id or None) if who else None,
        "actor_name": who.username if who else None,
        "credential_id": who.credential_id if who else None,
        "door": AuditDoor.COMMAND if origin is None else AuditDoor[origin.kind.upper()],
        "address": origin.address if origin else None,
        "request_id": origin.request_id if origin else None,
    }
    rows = [
        {
            "id": number,
            "action": event.action,
            "subject": event.subject,
            "subject_name": event.name,
            "details": dict(event.details) or None,
            **common,
        }
        for number, event in zip(uow.new_ids(len(events)), events, strict=True)
    ]
    with uow.marked("audit_event"):
        # `values` of a list is one statement, `execute` with a list would be one for each.
        for first in range(0, len(rows), _AT_ONCE):
            uow.connection.execute(insert(AuditEvent).values(rows[first : first + _AT_ONCE]))


def change(before: object, after: object) -> dict[str, object]:
    """A value before and after, as `details` has it."""
    return {"before": before, "after": after}


def list_events(uow: UnitOfWork, limit: int) -> list[EventRow]:
    """The newest events, at most `limit`, the oldest of these first; whoever asks."""
    names = (name for name in EventRow.__slots__)
    columns = [getattr(AuditEvent, name) for name in names]
    rows = uow.connection.execute(select(*columns).order_by(AuditEvent.id.desc()).limit(limit)).all()
    return [EventRow(*row) for row in reversed(rows)]
