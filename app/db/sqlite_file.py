"""SQLite files: opening one with our settings, and telling ours from others'."""

from __future__ import annotations

import os
import sqlite3
import time
from urllib.parse import quote

from app.db import functions
from app.db.options import Options
from app.errors import Code, GradbookError

# "Grdb" in the file's header, where `file` and we can see it.
APPLICATION_ID = 0x47726462

# 16 MB of page cache a connection, in KiB; SQLite's default is 2 MB.
_CACHE_KIB = 16_000
# Statements whose bytecode a connection keeps; the driver's default is 128.
_CACHED_STATEMENTS = 512


def connect(path: str, options: Options, *, read_only: bool = False) -> sqlite3.Connection:
    """Open an existing file. Transactions are begun and ended by nobody but us: the driver adds none.

    Raises DATABASE_UNAVAILABLE or DATABASE_MISMATCH.
    """
    if not os.path.exists(path):
        raise GradbookError(
            Code.DATABASE_UNAVAILABLE,
            f"There is no file {path}: run `gradbook migrate` to make it, or give another path.",
        )
    pragmas = (
        "foreign_keys=ON",
        f"cache_size=-{_CACHE_KIB}",
        f"synchronous={options.synchronous}",
        f"query_only={'ON' if read_only else 'OFF'}",
    )
    return _open(path, "rw", options.busy_timeout, pragmas)


def connect_to_migrate(path: str, patience: float) -> sqlite3.Connection:
    """Open a file, or make it, with foreign keys off: rebuilding a parent table would cascade its children away."""
    return _open(path, "rwc", patience, ("foreign_keys=OFF", "synchronous=FULL"))


def _open(path: str, mode: str, timeout: float, pragmas: tuple[str, ...]) -> sqlite3.Connection:
    connection: sqlite3.Connection | None = None
    try:
        _check_size(path)
        connection = sqlite3.connect(
            f"file:{quote(path)}?mode={mode}",
            uri=True,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )
        _check_is_ours(connection, path)
        _use_wal(connection, timeout)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        functions.register(connection)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.DatabaseError):
            raise explained(error, path) from error
        raise
    return connection


def _use_wal(connection: sqlite3.Connection, timeout: float) -> None:
    """Of two processes that switch a new file to WAL at once, SQLite tells one BUSY without letting it wait."""
    until = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _check_size(path: str) -> None:
    # SQLite takes a file of a few bytes for an empty one, and writes over it. Its smallest page has 512. (Looking into
    # the file ourselves would be wrong: to close it drops the locks that this process has on it.)
    if os.path.isfile(path) and 0 < os.path.getsize(path) < 512:
        raise GradbookError(
            Code.DATABASE_MISMATCH, f"{path} is not a SQLite database: it was left as it is. Give another path."
        )


def _check_is_ours(connection: sqlite3.Connection, path: str) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    [(application_id,)] = connection.execute("PRAGMA application_id")
    if application_id == APPLICATION_ID or (application_id == 0 and not tables):
        return
    some = ", ".join(sorted(tables)[:3])
    raise GradbookError(
        Code.DATABASE_MISMATCH,
        f"{path} is another program's SQLite database"
        + (f" (with tables such as {some})" if some else "")
        + ": it was "
        "left as it is. Give the path of a Gradbook database, or of a new file.",
    )


def explained(error: sqlite3.DatabaseError, path: str) -> GradbookError:
    """What is the matter with a file that cannot be opened or locked, and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
        return GradbookError(
            Code.DATABASE_MISMATCH,
            f"{path} is not a SQLite database, or is damaged ({error}): it was left as it is. Give another path, or "
            "put a backup in its place.",
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return GradbookError(Code.DATABASE_BUSY, f"{path} stayed locked by another process ({error}); try again.")
    return GradbookError(
        Code.DATABASE_UNAVAILABLE,
        f"{path} cannot be opened ({error}): it must be a file that this user may read and write, in an existing "
        "folder where it may write too.",
    )
