"""An application without a server: started, asked and stopped within the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette

from bench.operations import without_cost

Ask = Callable[[str, bytes], Awaitable[bytes]]
"""(API key, body of a POST to /graphql) -> body of the answer."""


@asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[tuple[Mapping[str, Any], Ask]]:
    """The application's state, and how it is asked."""
    async with app.router.lifespan_context(app) as state:

        async def ask(key: str, asked: bytes) -> bytes:
            sent: list[Any] = []
            unread = [{"type": "http.request", "body": asked}]

            async def receive() -> Any:
                return unread.pop() if unread else await asyncio.Future()  # who asks waits for the answer

            async def send(message: Any) -> None:
                sent.append(message)

            headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
            scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "headers": headers}
            await app({**scope, "state": dict(state or {})}, receive, send)
            assert sent[0]["status"] == 200, sent
            return without_cost(b"".join(message["body"] for message in sent[1:]))

        yield state or {}, ask
