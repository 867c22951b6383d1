"""The search index: filled with what the records say, and looked through for whether it still holds that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, bindparam, cast, insert, literal_column, select, text
from sqlalchemy import Text as SqlText

from app.annotation.fields import parse_fields
from app.annotation.search_text import search_text, searchable_texts
from app.annotation.sql import fields_text
from app.annotation.tables import Dataset, Record, RecordSearch
from app.db import Database
from app.db.statement import Statement
from app.db.types import Snowflake

# Records at a time: each may have 10 MB.
_PAGE = 200

_SAID = (
    select(
        Record.id,
        Record.dataset_id,
        Record.external_id,
        cast(Record.__table__.c.fields, SqlText).label("fields"),
        fields_text().label("known"),
    )
    .join(Dataset, Dataset.id == Record.dataset_id)
    .where(Record.id > bindparam("after", type_=Snowflake))
    .order_by(Record.id)
    .limit(literal_column(str(_PAGE)))
)
_COMPARED = Statement(
    _SAID.add_columns(RecordSearch.search_text).outerjoin(RecordSearch, RecordSearch.record_id == Record.id)
)
# Of some datasets' records, which are in SQLite's index: one look for each dataset, for all records between two.
_INDEXED = Statement(
    text("""
        SELECT record_fts.rowid FROM json_each(:datasets) AS dataset
        JOIN record_fts ON record_fts MATCH '"@' || dataset.value || '"' AND record_fts.rowid BETWEEN :first AND :last
    """).bindparams(bindparam("first", type_=Snowflake), bindparam("last", type_=Snowflake))
)


@dataclass(frozen=True, slots=True)
class Unsearchable:
    """A record that a search does not find by what it says, or finds by what it does not say."""

    record_id: int
    dataset_id: int
    external_id: str | None
    reason: str


def fill(connection: Connection) -> None:
    """Write the terms of all records into the empty table `record_search`; memory does not grow with them."""
    after = 0
    while found := connection.execute(_SAID, {"after": after}).all():
        given = [
            {"record_id": row.id, "search_text": _true_text(row.dataset_id, row.fields, row.known)} for row in found
        ]
        connection.execute(insert(RecordSearch).values(given))
        after = found[-1].id


async def unsearchable(database: Database) -> AsyncIterator[Unsearchable]:
    """The records whose terms are not those of their texts, or that SQLite's index lacks, in the order of their ids."""
    after = 0
    while found := await database.read(*_COMPARED.on(database.dialect, after=after)):
        indexed = await _indexed(database, {row[1] for row in found}, found[0][0], found[-1][0])
        for record_id, dataset_id, external_id, fields, known, stored in found:
            reason = None
            if stored is None:
                reason = "has no search text"
            elif stored != _true_text(dataset_id, fields, known):
                reason = "has a search text that is not what it says"
            elif indexed is not None and record_id not in indexed:
                reason = "is missing in the index"
            if reason is not None:
                yield Unsearchable(record_id, dataset_id, external_id, reason)
        after = found[-1][0]


async def _indexed(database: Database, dataset_ids: set[int], first: int, last: int) -> set[int] | None:
    if database.dialect_name != "sqlite":
        return None  # an index is PostgreSQL's own affair
    datasets = orjson.dumps(sorted(dataset_ids)).decode()
    found = await database.read(*_INDEXED.on(database.dialect, datasets=datasets, first=first, last=last))
    return {record_id for (record_id,) in found}


def _true_text(dataset_id: int, fields: str, known: str) -> str:
    return search_text(dataset_id, searchable_texts(parse_fields(known), orjson.loads(fields)))
