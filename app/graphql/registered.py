"""Registered operations: documents that were stored beforehand, which callers name by an id.

Each server holds all of them, so that a request costs a look into a dict. It reads anew what changed every few seconds,
and when somebody names what it does not know, at most once a second, however many ask for whatever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

_log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often it is looked whether something was removed or registered: one small statement."""

GAP_SECONDS = 1.0
"""Between two looks for what is not known. What is not there costs the database one statement a second, at most."""

PATIENCE_SECONDS = 2.0
"""How long who names something unknown waits for the database; then it is not known."""


class Stored(NamedTuple):
    """All registered operations: (id, SHA-256, text). `version` is another one after every change."""

    version: int
    operations: Iterable[tuple[str, str, str]]


Read = Callable[[int], Awaitable[Stored | None]]
"""What is stored; None where the version is still this one."""


async def _nothing(_version: int) -> None:
    return None


class Registered:
    """The registered operations as this server knows them. `only`: it runs no others."""

    def __init__(self, read: Read = _nothing, *, only: bool = False) -> None:
        self.only = only
        self._read = read
        self._version = -1
        self._by_id: dict[str, str] = {}
        self._texts: frozenset[str] = frozenset()
        self._loading = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._looked = float("-inf")

    def text(self, name: str) -> str | None:
        """The text of the operation with this id, or with this SHA-256, or `sha256:` and that."""
        return self._by_id.get(name)

    def holds(self, text: str) -> bool:
        """Whether this very text is registered."""
        return text in self._texts

    async def load(self) -> None:
        """Read what is stored, if it changed."""
        async with self._loading:
            stored = await self._read(self._version)
            if stored is not None:
                self._take(stored)

    def _take(self, stored: Stored) -> None:
        hashes: dict[str, str] = {}
        ids: dict[str, str] = {}
        for name, sha256, text in stored.operations:
            ids[name] = hashes[sha256] = hashes[f"sha256:{sha256}"] = text
        self._by_id = hashes | ids  # an id means what was registered under it, whatever it looks like
        self._texts = frozenset(ids.values())
        self._version = stored.version

    async def look(self) -> None:
        """Read what changed, because something is not known, unless that was done a moment ago; never fails."""
        loop = asyncio.get_running_loop()
        if self._looking is None and loop.time() >= self._looked + GAP_SECONDS:
            self._looking = asyncio.create_task(self._look(), name="registered operations: look")
            self._looking.add_done_callback(self._looked_now)
        if self._looking is not None:
            await asyncio.wait([self._looking])

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Read what is stored, and then what changes, for the length of the block."""
        await self.load()
        following = asyncio.create_task(self._follow(), name="registered operations")
        try:
            yield
        finally:
            tasks = {following} | ({self._looking} if self._looking else set())
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.load()
        except Exception:  # noqa: BLE001 - the database may be away for a while; what is known holds meanwhile
            _log.exception("registered operations could not be read; they stay as they are")

    def _looked_now(self, task: asyncio.Task[None]) -> None:
        self._looked = task.get_loop().time()
        self._looking = None
