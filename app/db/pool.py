"""A pool of connections without a round trip of its own: nothing is pinged, nothing is reset."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from app.errors import Code, GradbookError


class Poolable(Protocol):
    """What a pool needs to know of a connection."""

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone, as far as is known without asking the server."""

    async def close(self) -> None:
        """Close it; closing a closed one does nothing."""


T = TypeVar("T", bound=Poolable)


class Pool(Generic[T]):
    """Up to `size` connections, made when needed.

    The connection given back last is taken first, so that few stay warm. Who waits is served in order.
    """

    def __init__(self, connect: Callable[[], Awaitable[T]], size: int, patience: float) -> None:
        self._connect = connect
        self._size = size
        self._patience = patience
        self._made = 0
        self._is_closed = False
        self._free: list[T] = []
        self._waiting: deque[asyncio.Future[T | None]] = deque()

    async def acquire(self) -> T:
        """A connection for the caller alone, until `release`. Raises DATABASE_BUSY after waiting `patience` seconds."""
        while not self._is_closed:
            while self._free:
                connection = self._free.pop()
                if not connection.is_closed:
                    return connection
                self._made -= 1
            if self._made < self._size:
                return await self._make()
            handed = await self._wait()
            if handed is not None:
                return handed
        raise RuntimeError("The database was closed.")

    def release(self, connection: T) -> None:
        """Give it back, whatever its state; a closed one is replaced when needed."""
        if connection.is_closed:
            self._made -= 1
            self._hand_over(None)
        elif not self._hand_over(connection):
            self._free.append(connection)

    async def close(self) -> None:
        """Close all connections, those in use when they are given back."""
        self._is_closed = True
        while self._made:
            connection = self._free.pop() if self._free else await self._wait()
            if connection is not None:
                await connection.close()
                self._made -= 1

    async def _make(self) -> T:
        self._made += 1
        try:
            return await self._connect()
        except BaseException:
            self._made -= 1
            self._hand_over(None)
            raise

    async def _wait(self) -> T | None:
        turn: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                return await self._turn(turn)
        except TimeoutError:
            raise GradbookError(
                Code.DATABASE_BUSY,
                f"All {self._size} database connections were in use for {self._patience:g} seconds; try again.",
            ) from None

    async def _turn(self, turn: asyncio.Future[T | None]) -> T | None:
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # what we were just handed goes to the next
                handed = turn.result()
                self._hand_over(None) if handed is None else self.release(handed)
            raise

    def _hand_over(self, connection: T | None) -> bool:
        # None: there is room to make one.
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False
