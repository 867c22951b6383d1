"""Checking an upload's Parquet in a process of its own, whose memory is bounded.

Arrow allocates what a page's header claims, which the rest of the file need not bear out: one that is packed into
30 kB can take 2 GB. What came through this check takes no more when it is read again. Other formats are read by code
that bounds itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import orjson

from app.annotation.transfer.formats import Source
from app.annotation.transfer.parquet_format import ParquetSource, load_arrow
from app.errors import Code, GradbookError

MEMORY_BYTES = 1_000_000_000  # beyond what the process has when the file is opened

_ROOT = Path(__file__).parents[3]  # where `app` is found
_ALLOCATOR = {"ARROW_DEFAULT_MEMORY_POOL": "system"}  # the others reserve memory that they do not use


def check(source: Source, file: BinaryIO) -> None:
    """`source.check`, for a file on disk that others sent. Raises what it raises, and LIMIT_EXCEEDED.

    RuntimeError if it could not be checked at all.
    """
    if not isinstance(source, ParquetSource):
        source.check()
        return
    command = [sys.executable, "-m", "app.annotation.transfer.apart"]
    done = subprocess.run(command, stdin=file, capture_output=True, cwd=_ROOT, env=os.environ | _ALLOCATOR, check=False)
    if done.returncode < 0:  # by a signal: Arrow's own code was left without memory
        raise _too_large()
    if done.returncode > 0:
        raise RuntimeError(f"The check of a Parquet file failed: {done.stderr.decode(errors='replace')}")
    if done.stdout:
        refusal = orjson.loads(done.stdout)
        raise GradbookError(Code[refusal["code"]], refusal["message"])


def _check_here() -> None:
    """Check the file that is the standard input; what is wrong with it goes to the standard output as JSON."""
    load_arrow()
    _bound_memory()
    try:
        with open(0, "rb") as file:
            _check_parquet(file)
    except GradbookError as error:
        sys.stdout.buffer.write(orjson.dumps({"code": error.code, "message": error.message}))


def _check_parquet(file: BinaryIO) -> None:
    try:
        ParquetSource(file).check()
    except MemoryError:
        raise _too_large() from None


def _too_large() -> GradbookError:
    message = f"The Parquet file could not be read with {MEMORY_BYTES:,} bytes of memory. Nothing was imported."
    return GradbookError(Code.LIMIT_EXCEEDED, message)


def _bound_memory() -> None:
    if sys.platform == "linux":  # others do not keep to such a limit
        import resource  # noqa: PLC0415 - not everywhere

        used = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:"))
        limit = int(used.split()[1]) * 1024 + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _check_here()
