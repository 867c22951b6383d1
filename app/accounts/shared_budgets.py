"""Servers on one database tell each other what was charged to buckets: once a second, all in a few statements.

Each adds what it charged itself to the rows, and takes over what they come to. Buckets of which less than a tenth is
used are in no row. So within the second before servers hear of each other, each of them may give away what it knows to
be left; what was given too much is owed, and comes back before anything else is given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

import orjson
from sqlalchemy import ARRAY, String, any_, bindparam, func, select, text

from app.accounts.budgets import DEBT, WINDOW, Budgets
from app.accounts.tables import RateBucket
from app.accounts.throttle import forget_full
from app.background import in_background
from app.db.database import Database
from app.db.statement import Statement
from app.db.types import Float
from app.db.unit_of_work import UnitOfWork

SECONDS = 1.0

_log = logging.getLogger(__name__)


def sharing(database: Database, budgets: Budgets) -> AbstractAsyncContextManager[None]:
    """Share buckets while the block lasts."""
    return in_background(_keep_sharing(database, budgets))


async def _keep_sharing(database: Database, budgets: Budgets) -> None:
    is_alone = False
    while True:
        await asyncio.sleep(SECONDS)
        try:
            await share(database, budgets)
            is_alone = False
        except Exception:  # noqa: BLE001 - whatever the database says: servers go on, each by itself
            if not is_alone:  # once for each time that the database is away
                _log.exception("budgets could not be shared: until they can, this server goes by what it knows itself")
            is_alone = True


async def share(database: Database, budgets: Budgets) -> None:
    """Tell other servers what was charged here, and hear what they charged; nothing where nobody spends much."""
    shared = budgets.to_share()
    charged = {key: seconds for key, seconds in shared.items() if seconds}
    if charged:
        try:
            await database.transact(add_charges, charged, budgets.now)
        except BaseException:
            budgets.take_back(charged)
            raise
    if shared:
        keys = orjson.dumps([*shared]).decode() if database.dialect_name == "sqlite" else [*shared]
        budgets.learn(dict(await database.read(*_FULL_AT[database.dialect_name].on(database.dialect, keys=keys))))


def add_charges(uow: UnitOfWork, charged: Mapping[str, float], now: float) -> None:
    """Add seconds to buckets by their keys, and clear away those that are full."""
    rows = orjson.dumps([{"key": key, "seconds": seconds} for key, seconds in sorted(charged.items())]).decode()
    values = {"rows": rows, "now": now, "most": now + WINDOW + DEBT}
    uow.connection.execute(_ADD[uow.dialect_name], values)
    forget_full(uow, RateBucket, now)


def _add(rows: str, least: str, greatest: str) -> str:
    # In the order of keys, or two servers could wait for each other.
    return f"""
        INSERT INTO rate_bucket (key, full_at)
        SELECT key, CAST(:now AS double precision) + seconds FROM {rows} WHERE true ORDER BY key
        ON CONFLICT (key) DO UPDATE SET full_at = {least}(
            {greatest}(rate_bucket.full_at, CAST(:now AS double precision))
                + excluded.full_at - CAST(:now AS double precision),
            CAST(:most AS double precision)
        )"""


_ADD = {
    "postgresql": text(
        _add("json_to_recordset(CAST(:rows AS json)) AS rows(key text, seconds double precision)", "LEAST", "GREATEST")
    ),
    "sqlite": text(
        _add(
            "(SELECT json_extract(value, '$.key') AS key, json_extract(value, '$.seconds') AS seconds"
            " FROM json_each(:rows)) AS rows",
            "MIN",
            "MAX",
        )
    ),
}
_NOW = [bindparam(name, type_=Float()) for name in ("now", "most")]
_ADD = {name: statement.bindparams(*_NOW) for name, statement in _ADD.items()}

_ROWS = select(RateBucket.key, RateBucket.full_at)
_FULL_AT = {
    "postgresql": Statement(_ROWS.where(RateBucket.key == any_(bindparam("keys", type_=ARRAY(String))))),
    "sqlite": Statement(
        _ROWS.where(
            RateBucket.key.in_(select(func.json_each(bindparam("keys", type_=String)).table_valued("value").c.value))
        )
    ),
}
