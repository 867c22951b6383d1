"""Whether the caller of an HTTP request still waits for its answer."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from starlette.requests import ClientDisconnect
from starlette.types import Receive

LOOK_AFTER_SECONDS = 0.5
"""Most answers are there before: to look costs a task, a timer costs a microsecond."""


class WhileWaitedFor:
    """`async with WhileWaitedFor(receive)`: the block is cut off with ClientDisconnect when the caller has gone.

    The request's body must have been read.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._scope = asyncio.timeout(None)
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        self._timer = asyncio.get_running_loop().call_later(LOOK_AFTER_SECONDS, self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            raise ClientDisconnect from None

    def _begin(self) -> None:
        self._looking = asyncio.create_task(self._look(), name="request attendant")

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._scope.reschedule(0)
