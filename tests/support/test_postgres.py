"""The PostgreSQL that every other test stands on."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.postgres import PostgresError, PostgresServer, find_binaries

STARTS_AND_WAITS = """
import time
from tests.support.postgres import PostgresServer
with PostgresServer() as server:
    print(server.pid, server.folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
async def table(server: PostgresServer) -> AsyncIterator[str]:
    connection = await server.connect()
    await connection.execute("CREATE TABLE point (id bigint PRIMARY KEY)")
    yield "point"
    await connection.execute("DROP TABLE point")
    await connection.close()


async def test_twenty_connections_work_side_by_side(server: PostgresServer) -> None:
    connections = [await server.connect() for _ in range(20)]
    started = time.monotonic()
    answers = await asyncio.gather(*(c.fetchval("SELECT pg_backend_pid() FROM pg_sleep(0.2)") for c in connections))
    assert time.monotonic() - started < 20 * 0.2
    assert len(set(answers)) == 20
    for connection in connections:
        await connection.close()


async def test_tests_do_not_wait_for_the_disk_and_durable_servers_do(server: PostgresServer) -> None:
    async def settings(of: PostgresServer) -> set[str]:
        connection = await of.connect()
        rows = await connection.fetch("SELECT setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit')")
        await connection.close()
        return {row[0] for row in rows}

    assert await settings(server) == {"off"}
    with PostgresServer(durable=True, settings={"work_mem": "8MB"}) as durable:
        assert await settings(durable) == {"on"}


async def test_statements_are_counted_by_postgresql(server: PostgresServer, table: str) -> None:
    connection = await server.connect()
    await server.forget_statement_calls()
    await connection.executemany(f"INSERT INTO {table} VALUES ($1)", [(i,) for i in range(7)])
    await connection.close()
    calls = await server.statement_calls("postgres")
    assert calls[f"INSERT INTO {table} VALUES ($1)"] == 7


async def test_a_crashed_server_comes_back_on_its_port_with_what_was_committed() -> None:
    with PostgresServer(durable=True) as server:
        port = server.port
        connection = await server.connect()
        await connection.execute("CREATE TABLE point (id bigint); INSERT INTO point VALUES (1)")
        server.kill()
        assert not psutil.pid_exists(server.pid)
        connection.terminate()
        server.start()
        again = await server.connect()
        assert await again.fetchval("SELECT count(*) FROM point") == 1
        assert server.port == port
        await again.close()


def test_the_server_and_its_folder_are_gone_at_the_end() -> None:
    with PostgresServer() as server:
        assert psutil.pid_exists(server.pid)
        assert (server.folder / "data").exists()
    assert not psutil.pid_exists(server.pid)
    assert not server.folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: it alone tells a child that its parent died")
def test_the_server_dies_with_a_parent_that_is_killed() -> None:
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", STARTS_AND_WAITS], cwd=root, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent, parent.stdout:
        pid, folder = parent.stdout.readline().split()
        postmaster = psutil.Process(int(pid))
        backends = postmaster.children()
        assert postmaster.name() == "postgres"
        assert backends
        parent.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs([postmaster, *backends], timeout=10)
    subprocess.run(["rm", "-rf", folder], check=True)
    assert alive == []


def test_a_wrong_test_pg_bin_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEST_PG_BIN", str(tmp_path))
    with pytest.raises(PostgresError, match=f"{tmp_path} does not contain initdb and postgres"):
        find_binaries()


def test_a_server_that_refuses_its_settings_says_why() -> None:
    with (
        pytest.raises(PostgresError, match='invalid value for parameter "work_mem"'),
        PostgresServer(settings={"work_mem": "lots"}),
    ):
        raise AssertionError("it started")


def test_binaries_below_a_private_folder_are_copied_for_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TEST_PG_BIN", raising=False)
    package = find_binaries().parent.parent
    private = tmp_path / "home"
    private.mkdir(mode=0o700)
    for source in (package, *package.parent.glob(package.name + ".libs")):
        (private / source.name).symlink_to(source)
    monkeypatch.setenv("TEST_PG_BIN", str(private / package.name / "pginstall" / "bin"))
    with PostgresServer() as server:
        assert (server.folder / "binaries").is_dir() == (os.geteuid() == 0)
