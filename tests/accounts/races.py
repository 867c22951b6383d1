"""What the processes of test_races.py run: importable by name, since they are spawned."""

import asyncio
from collections.abc import Awaitable, Callable
from multiprocessing.synchronize import Barrier
from typing import Any

from app.accounts.bootstrap import ensure_owner, ensure_workspace
from app.accounts.tables import Role
from app.accounts.users import UserChanges, update_user
from app.accounts.viewer import Viewer
from app.db import Database
from app.errors import GradbookError


async def _each(url: str, barrier: Barrier, rounds: int, attempt: Callable[[Database], Awaitable[Any]]) -> list[Any]:
    """Let all processes attempt at the same moment, so many times."""
    results = []
    async with await Database.open(url) as database:
        for _ in range(rounds):
            await asyncio.to_thread(barrier.wait, 60)
            try:
                results.append(await attempt(database))
            except GradbookError as error:
                results.append(error.code)
    return results


def start_up(urls: list[str], barrier: Barrier) -> list[Any]:
    """First start on each of several empty databases: the workspace's id and the owner's key, or Nones."""

    async def attempt(database: Database) -> tuple[int | None, str | None]:
        workspace, first = await database.transact(ensure_workspace), await database.transact(ensure_owner)
        return workspace, first and first.key

    async def all_of_them() -> list[Any]:
        return [result for url in urls for result in await _each(url, barrier, 1, attempt)]

    return asyncio.run(all_of_them())


def demote(url: str, barrier: Barrier, rounds: int, me: Viewer, other: Viewer) -> list[Any]:
    """Demote the other in each round; who was demoted is made OWNER again by the other, between two rounds."""

    async def attempt(database: Database) -> str:
        result = "ok"
        try:
            await database.transact(update_user, other.id, UserChanges(role=Role.ADMIN), viewer=me)
        except GradbookError as error:
            result = error.code
        await asyncio.to_thread(barrier.wait, 60)
        if result == "ok":
            await database.transact(update_user, other.id, UserChanges(role=Role.OWNER), viewer=me)
        return result

    return asyncio.run(_each(url, barrier, rounds, attempt))
