"""The search index of records.

On SQLite it is an FTS5 table over `record_search`, kept by triggers of that table. Its terms are made by us: the
tokenizer splits at blanks and changes nothing.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.annotation.search_index import fill
from app.db.types import Snowflake, Text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Each term bears its dataset, `@7312:war`: to intersect a word's records with all those of a dataset costs more than to
# read them. Inserts first gather in a list, which every search reads through: 256 kB of it cost a millisecond.
_POSTGRESQL = """
    CREATE INDEX ix_record_search_terms ON record_search USING gin (array_to_tsvector(string_to_array(
        replace(search_text, ' ', ' ' || split_part(search_text, ' ', 1) || chr(58)), ' '
    ))) WITH (gin_pending_list_limit = 256)"""

_DROP = "INSERT INTO record_fts (record_fts, rowid, search_text) VALUES ('delete', old.record_id, old.search_text);"
_ADD = "INSERT INTO record_fts (rowid, search_text) VALUES (new.record_id, new.search_text);"
_SQLITE = (
    """
    CREATE VIRTUAL TABLE record_fts USING fts5(search_text, content='record_search', content_rowid='record_id',
        detail='none', columnsize=0, tokenize="ascii tokenchars '@'")""",
    "INSERT INTO record_fts (record_fts) VALUES ('rebuild')",
    f"CREATE TRIGGER record_search_inserted AFTER INSERT ON record_search BEGIN {_ADD} END",
    f"CREATE TRIGGER record_search_updated AFTER UPDATE ON record_search BEGIN {_DROP} {_ADD} END",
    f"CREATE TRIGGER record_search_deleted AFTER DELETE ON record_search BEGIN {_DROP} END",
)


def upgrade() -> None:
    op.create_table(
        "record_search",
        sa.Column("record_id", Snowflake(), autoincrement=False, nullable=False),
        sa.Column("search_text", Text(), nullable=False),
        sa.ForeignKeyConstraint(["record_id"], ["record.id"], name="fk_record_search_record_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("record_id", name="pk_record_search"),
    )
    # The index is made when all is there, which is faster.
    fill(op.get_bind())
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else (_POSTGRESQL,):
        op.execute(sa.text(statement))


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE record_fts")
    op.drop_table("record_search")
