"""What a running server consists of: the open database, the bus, the watches, what works in the background."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.accounts import audit
from app.accounts.budgets import Budgeted, Budgets
from app.accounts.credentials import still_valid
from app.accounts.shared_budgets import sharing
from app.accounts.users import DeleteResponses
from app.annotation.responses import delete_responses_of_user
from app.annotation.status import PROTECTED, StatusSession
from app.db import Database, Options
from app.db.secrets import CURSORS, ensure_secret
from app.live import Bus, open_bus
from app.live.access import AccessWatch, Grant
from app.settings import Settings
from app.training.compactor import compacting
from app.training.watch import Patience, watching


@dataclass(frozen=True, slots=True)
class Services:
    """What requests share."""

    settings: Settings
    database: Database
    bus: Bus
    watch: AccessWatch
    cursor_secret: str
    budgets: Budgets
    delete_responses: DeleteResponses = delete_responses_of_user


async def open_book(settings: Settings, write_timeout: float | None = None) -> Database:
    """Open the book's database as the settings say, with the guard over what only one module may write.

    `write_timeout` is in seconds; commands may write as long as they do.
    """
    options = Options(
        synchronous=settings.sqlite_synchronous,
        readers=settings.database_readers,
        writers=settings.database_writers,
        read_timeout=settings.read_timeout_seconds,
        busy_timeout=settings.busy_timeout_seconds,
        write_timeout=write_timeout,
        patience=settings.pool_timeout_seconds,
    )
    protect = (*PROTECTED, *audit.PROTECTED)
    return await Database.open(settings.database_url, options=options, protect=protect, session_class=StatusSession)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """The services for the length of the block. The database must have been migrated."""
    async with await open_book(settings, settings.operation_seconds) as database:
        secret = await database.transact(ensure_secret, CURSORS)
        poll = settings.live_poll_ms / 1000
        async with open_bus(database, poll_seconds=poll, heal_seconds=settings.live_heal_seconds) as bus:

            async def valid(grants: Collection[Grant]) -> Collection[Grant]:
                found = await still_valid(database, {grant.credential_id for grant in grants})
                return {
                    grant
                    for grant in grants
                    if (viewer := found.get(grant.credential_id)) is not None
                    and (viewer.id, viewer.kind) == (grant.user_id, grant.kind)
                }

            budgets = Budgets(Budgeted.by(settings))
            watch = AccessWatch(bus, valid)
            await watch.start()
            try:
                async with (
                    compacting(database, settings.compact_seconds),
                    watching(database, _patience(settings)),
                    sharing(database, budgets),
                ):
                    yield Services(settings, database, bus, watch, secret, budgets)
            finally:
                await watch.close()


def _patience(settings: Settings) -> Patience:
    return Patience(
        lost=datetime.timedelta(seconds=settings.lost_after_seconds),
        failed=datetime.timedelta(hours=settings.failed_after_hours),
    )
