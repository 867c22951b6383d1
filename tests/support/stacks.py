"""Where tasks wait, for tests that wait for them no longer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any


async def ended(task: asyncio.Task[Any], seconds: float) -> None:
    """Wait until a task has ended, in whatever way. Raises AssertionError with what everybody waits for."""
    await asyncio.wait([task], timeout=seconds)
    assert task.done(), f"{task.get_name()} goes on after {seconds:g} s.\n{stacks()}"


def stacks() -> str:
    """Of every task of the event loop but the caller's what it awaits, and what that awaits: a line for each frame."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return "\n".join("\n  ".join([task.get_name(), *_awaited(task.get_coro())]) for task in tasks)


def _awaited(awaited: Any) -> Iterator[str]:
    while awaited is not None:
        if isinstance(awaited, CoroutineType):
            frame, following = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, AsyncGeneratorType):
            frame, following = awaited.ag_frame, awaited.ag_await
        elif isinstance(awaited, GeneratorType):
            frame, following = awaited.gi_frame, awaited.gi_yieldfrom
        else:  # the next item of an asynchronous generator does not say whose it is
            generators = [item for item in gc.get_referents(awaited) if isinstance(item, AsyncGeneratorType)]
            frame, following = None, next(iter(generators), None)
        yield f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}" if frame else repr(awaited)
        awaited = following
