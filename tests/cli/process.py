"""A process that runs one command. It is forked from one that has imported everything: 10 ms instead of a second.

`tests/cli/test_usage.py` and the tests of `serve` start it as people do.
"""

import multiprocessing
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

_SECONDS = 120


def run(arguments: Sequence[str], environment: Mapping[str, str], folder: Path, files: tuple[Path, Path, Path]) -> int:
    """Run `gradbook` with these files as standard input, output and error; its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["app.cli", "app.cli.schema_file", "app.cli.watching", "app.db.migrate", "app.schema"]
    )
    process = context.Process(target=_become, args=(list(arguments), dict(environment), folder, files))
    process.start()
    process.join(_SECONDS)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"gradbook {' '.join(arguments)} did not end in {_SECONDS} s")
    return process.exitcode


def _become(arguments: list[str], environment: dict[str, str], folder: Path, files: tuple[Path, Path, Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate(files):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
    warnings.simplefilter("error")
    sys.argv = ["gradbook", *arguments]
    from app.cli import main  # noqa: PLC0415 - here, where it has been imported

    main()
