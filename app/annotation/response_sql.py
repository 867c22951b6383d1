"""The statements that write responses and, in the same breath, the counts and statuses of their records.

A count is kept by difference: the row of a response holds its previous status, so that what a write changes is known
from the written rows alone. On PostgreSQL everything is one statement; it locks the records first, in the order of
their ids, as every writer of responses does: so none can wait for another in a circle. (Counting in such a
statement would be wrong after waiting for a lock, its snapshot being older; the difference is right.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from app.annotation.sql import CHANGE, IDS, JOIN, LOCK, POSTGRESQL, SQLITE, as_json, rows, rows_json, statement, status
from app.db import UnitOfWork
from app.db.statement import Statement

_COLUMNS = {"id": "bigint", "record_id": "bigint", "user_id": "bigint", "status": "text", "answers": "text"}
_INSERTED = 'id, dataset_id, record_id, user_id, status, "values", inserted_at, updated_at'

# Values that are not given leave the earlier ones.
_CONFLICT = """
    ON CONFLICT (record_id, user_id) DO UPDATE SET previous_status = response.status, status = excluded.status,
    "values" = coalesce(excluded."values", response."values"), updated_at = excluded.updated_at"""


def _count(name: str) -> str:
    """UPDATE of the records that `difference` names; COMPLETED as soon as enough are submitted."""
    return f"""
        UPDATE record SET submitted_count = record.submitted_count + difference.submitted,
        status = {status("record.submitted_count + difference.submitted", "record.required")},
        updated_at = :now, changed = {CHANGE[name]}
        FROM difference WHERE record.id = difference.record_id"""


@cache
def _upsert() -> Statement:
    return statement(f"""
        WITH locked AS MATERIALIZED (
            SELECT id, dataset_id FROM record WHERE id {IDS[POSTGRESQL]} ORDER BY id {LOCK[POSTGRESQL]}
        ), written AS (
            INSERT INTO response ({_INSERTED})
            SELECT rows.id, locked.dataset_id, locked.id, rows.user_id, rows.status,
                {as_json(POSTGRESQL, "rows.answers")}, :now, :now
            FROM locked JOIN {rows(POSTGRESQL, _COLUMNS)} ON rows.record_id = locked.id
            {_CONFLICT}
            RETURNING id, record_id, dataset_id, status, previous_status
        ), difference AS (
            SELECT record_id, sum(CASE WHEN status = 'SUBMITTED' THEN 1 ELSE 0 END
                - CASE WHEN previous_status = 'SUBMITTED' THEN 1 ELSE 0 END) AS submitted
            FROM written GROUP BY record_id
        ), counted AS ({_count(POSTGRESQL)})
        SELECT id, record_id, dataset_id FROM written""")


@cache
def _upsert_on_sqlite() -> tuple[Statement, Statement]:
    write = statement(f"""
        INSERT INTO response ({_INSERTED})
        SELECT rows.id, record.dataset_id, record.id, rows.user_id, rows.status, rows.answers, :now, :now
        FROM {rows(SQLITE, _COLUMNS)} {JOIN[SQLITE]} record ON record.id = rows.record_id WHERE true
        {_CONFLICT}
        RETURNING id, record_id, dataset_id""")
    count = statement(f"""
        WITH difference AS (
            SELECT record_id, sum((status = 'SUBMITTED') - (previous_status IS 'SUBMITTED')) AS submitted
            FROM response WHERE id {IDS[SQLITE]} GROUP BY record_id
        ) {_count(SQLITE)}""")
    return write, count


@cache
def _delete(which: str) -> Statement:
    return statement(f"""
        WITH locked AS MATERIALIZED (
            SELECT id FROM record WHERE id IN (SELECT response.record_id FROM response WHERE {which})
            ORDER BY id {LOCK[POSTGRESQL]}
        ), gone AS (
            DELETE FROM response USING locked WHERE response.record_id = locked.id AND {which}
            RETURNING response.dataset_id, response.record_id, response.status
        ), difference AS (
            SELECT record_id, -sum(CASE WHEN status = 'SUBMITTED' THEN 1 ELSE 0 END) AS submitted
            FROM gone GROUP BY record_id
        ), counted AS ({_count(POSTGRESQL)})
        SELECT dataset_id, count(*) FROM gone GROUP BY dataset_id""")


@cache
def _delete_on_sqlite(which: str) -> tuple[Statement, Statement, Statement]:
    find = statement(f"SELECT dataset_id, count(*) FROM response WHERE {which} GROUP BY dataset_id")
    count = statement(f"""
        WITH difference AS (
            SELECT record_id, -sum(status = 'SUBMITTED') AS submitted FROM response WHERE {which} GROUP BY record_id
        ) {_count(SQLITE)}""")
    return find, count, statement(f"DELETE FROM response WHERE {which}")


def upsert(uow: UnitOfWork, items: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Write responses and the statuses that follow; (id, record, dataset) of each.

    An item is {id, record_id, user_id, status, answers}: `id` is for a response that is not there yet, `answers` is
    JSON as text. No two have the same record and user. Items whose record is gone are left out.
    """
    given = rows_json(items)
    with uow.marked("response", "record"):
        if uow.dialect_name == POSTGRESQL:
            ids = sorted({item["record_id"] for item in items})
            return uow.fetch(*_upsert().on(uow.dialect, rows=given, ids=ids, now=uow.now))
        write, count = _upsert_on_sqlite()
        written = uow.fetch(*write.on(uow.dialect, rows=given, now=uow.now))
        uow.fetch(*count.on(uow.dialect, ids=[row[0] for row in written], now=uow.now))
        return written


def delete(uow: UnitOfWork, which: str, **values: Any) -> dict[int, int]:
    """Delete responses and let the statuses follow; how many there were, by dataset.

    `which` is a condition on `response` in SQL, the same text at each call; `values` are its parameters.
    """
    with uow.marked("response", "record"):
        if uow.dialect_name == POSTGRESQL:
            return dict(uow.fetch(*_delete(which).on(uow.dialect, now=uow.now, **values)))
        find, count, remove = _delete_on_sqlite(which)
        deleted = dict(uow.fetch(*find.on(uow.dialect, **values)))
        if deleted:
            uow.fetch(*count.on(uow.dialect, now=uow.now, **values))
            uow.fetch(*remove.on(uow.dialect, **values))
        return deleted


def delete_with_records(uow: UnitOfWork, dataset_id: int) -> None:
    """Delete the responses of a dataset whose records go with them, so that there is no status to keep."""
    with uow.marked("response"):
        uow.fetch(*_delete_of_dataset().on(uow.dialect, dataset_id=dataset_id))


@cache
def _delete_of_dataset() -> Statement:
    return statement("DELETE FROM response WHERE dataset_id = :dataset_id")
