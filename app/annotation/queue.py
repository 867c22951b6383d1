"""The queue: which records a person answers next, each reserved for them for a while.

A reservation *lives* until its time has come or its holder has submitted or discarded a response: so writers of
responses need not know of reservations. A record is available to somebody if fewer others have a live reservation of
it than answers are missing. Of reservations made before theirs, that is: should a threshold fall, the first stay, and
nobody waits for each other.

Who asks takes the dataset's turn first: of two at a time the second sees what the first reserved.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import cache

from sqlalchemy import bindparam, select

from app.accounts.tables import Role
from app.annotation import scope
from app.annotation.checks import invalid
from app.annotation.sql import IDS, dataset_turn, statement
from app.annotation.tables import Dataset
from app.db import UnitOfWork
from app.db.statement import Statement
from app.db.types import Snowflake
from app.errors import Code, GradbookError

MAX_FIRST = 100
"""Records reserved by one call: more would be kept from others for nothing."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """Records in the order in which to answer them. `until`: see `next_records`."""

    record_ids: list[int]
    until: datetime.datetime | None


def next_records(uow: UnitOfWork, dataset_id: int, first: int, keep: datetime.timedelta) -> Reserved:
    """Up to `first` records for the viewer to answer, reserved for them from now on for the time `keep`.

    Those that are reserved for them already come first, then the oldest, their drafts last. `until` is when the
    reservations end; without records, when the next one of others ends that keeps a record from the viewer, and None if
    there is none. Four statements. Raises NOT_FOUND, and INVALID_INPUT or LIMIT_EXCEEDED for `first`.
    """
    _check_first(first)
    viewer = uow.viewer
    if not uow.fetch(*_TURN[viewer.kind].on(uow.dialect, viewer_id=viewer.id, dataset_id=dataset_id)):
        message = f"There is no dataset dst_{dataset_id} that you can see."
        raise GradbookError(Code.NOT_FOUND, message, ("datasetId",))
    whose = {"viewer_id": viewer.id, "dataset_id": dataset_id}
    uow.fetch(*_CLEAN.on(uow.dialect, dataset_id=dataset_id, now=uow.now))
    ids = [row[0] for row in uow.fetch(*_CHOOSE.on(uow.dialect, **whose, now=uow.now, first=first))]
    if not ids:
        return Reserved([], _instant(uow.fetch(*_WAIT.on(uow.dialect, **whose, now=uow.now))[0][0]))
    until = uow.now + keep
    uow.fetch(*_reserve(uow.dialect_name).on(uow.dialect, viewer_id=viewer.id, ids=ids, now=uow.now, until=until))
    return Reserved(ids, until)


def _check_first(first: int) -> None:
    if first < 1:
        raise invalid(f"{first} is no number of records: ask for 1 to {MAX_FIRST}.", "first")
    if first > MAX_FIRST:
        message = f"{first:,} records: at most {MAX_FIRST} are reserved at once."
        raise GradbookError(Code.LIMIT_EXCEEDED, message, ("first",))


def _instant(value: datetime.datetime | str | None) -> datetime.datetime | None:
    """An instant as the drivers give it: text on SQLite."""
    return datetime.datetime.fromisoformat(value) if isinstance(value, str) else value


def _turn(kind: str) -> Statement:
    dataset = Dataset.__table__
    this = dataset.c.id == bindparam("dataset_id", type_=Snowflake)
    visible = scope.dataset(dataset, kind)
    return Statement(select(dataset_turn()).select_from(dataset).where(this, visible, scope.active_viewer()))


_TURN = {role.name: _turn(role.name) for role in Role}


def _answered(reservation: str) -> str:
    return f"""EXISTS (
        SELECT 1 FROM response WHERE response.record_id = {reservation}.record_id
        AND response.user_id = {reservation}.user_id AND response.status <> 'DRAFT')"""


# Removed users answer nothing more.
_CLEAN = statement(f"""
    DELETE FROM reservation WHERE dataset_id = :dataset_id AND (
        until <= :now OR {_answered("reservation")}
        OR user_id IN (SELECT id FROM user_account WHERE deleted_at IS NOT NULL)
    )""")

# `record` and the viewer's own live reservation `mine`, if there is one.
_AVAILABLE = f"""
    record.dataset_id = :dataset_id AND record.status = 'PENDING' AND (
        SELECT count(*) FROM reservation AS other
        WHERE other.record_id = record.id AND other.user_id <> :viewer_id AND other.until > :now
        AND (mine.since IS NULL OR (other.since, other.user_id) < (mine.since, mine.user_id))
        AND NOT {_answered("other")}
    ) < record.required - record.submitted_count"""
_MINE = "reservation AS mine ON mine.record_id = record.id AND mine.user_id = :viewer_id AND mine.until > :now"
_UNTOUCHED = """NOT EXISTS (
        SELECT 1 FROM response WHERE response.record_id = record.id AND response.user_id = :viewer_id)"""

# CROSS JOIN tells SQLite to begin with the few rows on its left, not with all pending records.
_CHOOSE = statement(f"""
    WITH kept AS (
        SELECT record.id FROM reservation AS mine CROSS JOIN record
        WHERE mine.user_id = :viewer_id AND mine.until > :now AND record.id = mine.record_id
        AND {_AVAILABLE} AND {_UNTOUCHED}
        ORDER BY record.id LIMIT :first
    ), fresh AS (
        SELECT record.id FROM record LEFT JOIN {_MINE} WHERE {_AVAILABLE} AND {_UNTOUCHED} AND mine.record_id IS NULL
        ORDER BY record.id LIMIT :first - (SELECT count(*) FROM kept)
    ), drafts AS (
        SELECT record.id FROM response CROSS JOIN record LEFT JOIN {_MINE}
        WHERE response.user_id = :viewer_id AND response.status = 'DRAFT' AND record.id = response.record_id
        AND {_AVAILABLE}
        ORDER BY record.id LIMIT :first - (SELECT count(*) FROM kept) - (SELECT count(*) FROM fresh)
    )
    SELECT id FROM (
        SELECT 0 AS turn, id FROM kept UNION ALL SELECT 1, id FROM fresh UNION ALL SELECT 2, id FROM drafts
    ) AS chosen ORDER BY turn, id""")

_WAIT = statement("""
    SELECT min(other.until) FROM reservation AS other JOIN record ON record.id = other.record_id
    WHERE other.dataset_id = :dataset_id AND other.user_id <> :viewer_id AND other.until > :now
    AND record.status = 'PENDING' AND NOT EXISTS (
        SELECT 1 FROM response
        WHERE response.record_id = record.id AND response.user_id = :viewer_id AND response.status <> 'DRAFT'
    )""")


@cache
def _reserve(dialect_name: str) -> Statement:
    """Reserves what is not, and makes the others last longer."""
    return statement(f"""
        INSERT INTO reservation (record_id, user_id, dataset_id, since, until)
        SELECT record.id, :viewer_id, record.dataset_id, :now, :until FROM record WHERE record.id {IDS[dialect_name]}
        ON CONFLICT (record_id, user_id) DO UPDATE SET until = excluded.until""")
