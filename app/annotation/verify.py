"""Whether every record's status is what its responses make it: counted anew, by nothing that writes statuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import bindparam, text

from app.annotation.tables import RecordStatus
from app.db import Database
from app.db.statement import Statement
from app.db.types import Snowflake

# Records recounted by one statement: some 0.1 s.
_PAGE = 10_000

_RECOUNT = Statement(
    text("""
        WITH page AS (
            SELECT id, dataset_id, external_id, status, submitted_count, required
            FROM record WHERE id > :after ORDER BY id LIMIT :size
        ), counted AS (
            SELECT page.*, dataset.min_submitted AS wanted, (
                SELECT count(*) FROM response WHERE response.record_id = page.id AND response.status = 'SUBMITTED'
            ) AS submitted
            FROM page JOIN dataset ON dataset.id = page.dataset_id
        ), drifted AS (
            SELECT * FROM counted
            WHERE submitted_count <> submitted OR required <> wanted
            OR status <> CASE WHEN submitted >= wanted THEN 'COMPLETED' ELSE 'PENDING' END
        )
        SELECT last.id, drifted.id, drifted.dataset_id, drifted.external_id, drifted.status, drifted.submitted_count,
            drifted.required, drifted.submitted, drifted.wanted
        FROM (SELECT max(id) AS id FROM page) AS last LEFT JOIN drifted ON true
        ORDER BY drifted.id""").bindparams(bindparam("after", type_=Snowflake), bindparam("size", type_=Snowflake))
)


@dataclass(frozen=True, slots=True)
class Count:
    """A record's status, and the numbers of responses that it follows from."""

    status: RecordStatus
    submitted: int
    required: int


@dataclass(frozen=True, slots=True)
class Drift:
    """A record whose stored count is not the true one."""

    record_id: int
    dataset_id: int
    external_id: str | None
    stored: Count
    true: Count


def expected(submitted: int, required: int) -> RecordStatus:
    """COMPLETED when at least as many responses are submitted as are required."""
    return RecordStatus.COMPLETED if submitted >= required else RecordStatus.PENDING


async def drifted(database: Database, page: int = _PAGE) -> AsyncIterator[Drift]:
    """The records that differ, in the order of their ids, in constant memory; none, if all is well.

    Each record is compared with its responses and its dataset within one statement, so writers need not pause.
    """
    after = 0
    while after is not None:
        rows = await database.read(*_RECOUNT.on(database.dialect, after=after, size=page))
        after = rows[0][0]
        for _, record_id, dataset_id, external_id, status, submitted_count, required, submitted, wanted in rows:
            if record_id is not None:
                stored = Count(RecordStatus[status], submitted_count, required)
                yield Drift(
                    record_id, dataset_id, external_id, stored, Count(expected(submitted, wanted), submitted, wanted)
                )
