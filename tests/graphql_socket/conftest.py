"""A server with the socket, of which every test demands that it leaves nothing behind and complains of nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from tests.graphql_socket.service import Deeds, running, socket


@pytest.fixture
async def deeds(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Deeds]:
    """What the operations of this test's servers do; at the end all of them have ended, and nobody complained."""
    deeds = Deeds()
    yield deeds
    deeds.gate.set()
    left = [task for task in asyncio.all_tasks() if task.get_name().startswith("socket ")]
    assert left == []
    assert deeds.open == 0
    assert deeds.ends == []
    complaints = [r for when in ("setup", "call", "teardown") for r in caplog.get_records(when)]
    assert [r.getMessage() for r in complaints if r.levelno >= logging.WARNING] == []


@pytest.fixture
async def url(deeds: Deeds) -> AsyncIterator[str]:
    """A server's address."""
    async with running(socket(deeds)) as url:
        yield url
