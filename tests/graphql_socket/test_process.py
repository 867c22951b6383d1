"""A server process as in production, on uvloop: what idle sockets cost, and how it ends."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.graphql_socket.client import connected
from tests.graphql_socket.test_endings import vanish

ROOT = Path(__file__).parents[2]
IDLE = 1000


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    module = "tests.graphql_socket.service"
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def url(process: Process) -> str:
    assert process.stdout is not None
    port = await process.stdout.readline()
    assert port, await said(process)
    return f"ws://127.0.0.1:{int(port)}/graphql"


async def test_a_thousand_idle_sockets_cost_little(process: Process, url: str) -> None:
    server = psutil.Process(process.pid)

    def cpu_seconds() -> float:
        times = server.cpu_times()
        return float(times.user + times.system)

    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(url, init=True)) for _ in range(10)]
        memory, cpu = server.memory_info().rss, cpu_seconds()
        clients += [await stack.enter_async_context(connected(url, init=True)) for _ in range(IDLE)]
        assert (server.memory_info().rss - memory) / IDLE < 50_000  # 23 kB each when this was written
        assert (cpu_seconds() - cpu) / IDLE < 0.005  # 1.2 ms
        cpu = cpu_seconds()
        await asyncio.sleep(1)
        assert cpu_seconds() - cpu < 0.1
        assert await clients[0].is_well()
        for client in clients:
            vanish(client)
    async with connected(url, init=True) as client:
        assert await client.is_well()
    process.terminate()
    assert complaints(await said(process)) == []


async def test_clients_that_vanish_and_a_shutdown_cause_no_complaint(process: Process, url: str) -> None:
    for length in (10, 100_000):
        for _ in range(20):
            async with connected(url, init=True, slow=True) as client:
                for number in range(5):
                    await client.subscribe(str(number), f"subscription {{ texts(length: {length}) }}")
                await client.receive()
                vanish(client)
    async with (
        connected(url) as new,
        connected(url, init=True) as idle,
        connected(url, init=True) as busy,
        connected(url, init=True, slow=True) as deaf,
    ):
        await busy.subscribe("1", "subscription { silence }")
        await busy.subscribe("2", "subscription { count }")
        await busy.subscribe("3", "{ forever }")
        assert (await busy.receive())["id"] == "2"
        await deaf.subscribe("1", "subscription { texts(length: 1000000) }")
        await asyncio.sleep(0.3)
        process.terminate()
        for client in (new, idle, busy):
            assert (await client.closed())[0] == 1012
        vanish(deaf)
        log = await said(process)
    assert complaints(log) == []
    assert "Finished server process" in log
    assert process.returncode == -signal.SIGTERM


async def said(process: Process) -> str:
    """What it has logged, once it has ended."""
    _, errors = await asyncio.wait_for(process.communicate(), 15)
    return errors.decode()


def complaints(log: str) -> list[str]:
    """Lines that are neither information nor empty."""
    return [line for line in log.splitlines() if line and not line.startswith("INFO:")]
