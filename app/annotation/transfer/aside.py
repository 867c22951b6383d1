"""Work beside the event loop, which has others to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")


async def aside(fn: Callable[..., R], *args: Any) -> R:
    """Run the function in a thread. Whoever is cancelled meanwhile still waits for it: it may hold a file."""
    running = asyncio.ensure_future(asyncio.to_thread(fn, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
