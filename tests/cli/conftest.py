"""The command as people run it: a process of its own, in a folder of its own."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli import process

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Result:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The rows of a table."""
        return [line.split("\t") for line in self.out.splitlines()]


class Gradbook:
    """Runs `gradbook` on one database; warnings are errors there too."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GRADBOOK_", "PYTHON"))},
            "GRADBOOK_DATABASE_URL": url,
            "PYTHONWARNINGS": "error",
        }

    def start(self, *arguments: str | Path, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """A command that goes on, with an interpreter of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "app.cli", *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, "PYTHONPATH": str(REPOSITORY)},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A shell that runs the tests in the background ignores Ctrl-C, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - takes no lock
            text=True,
        )

    def run(self, *arguments: str | Path, stdin: str | None = None) -> Result:
        """A command from beginning to end."""
        with tempfile.TemporaryDirectory() as folder:
            given, out, err = (Path(folder) / name for name in ("in", "out", "err"))
            given.write_text(stdin or "")
            code = process.run([*map(str, arguments)], self.environment, self.folder, (given, out, err))
            result = Result(code, out.read_text(), err.read_text())
        assert "Traceback" not in result.err, result.err
        return result

    def ok(self, *arguments: str | Path, stdin: str | None = None) -> Result:
        """A command that goes well."""
        result = self.run(*arguments, stdin=stdin)
        assert result.code == 0, result
        return result

    def refused(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """What is said about a mistake: one line."""
        result = self.run(*arguments, stdin=stdin)
        assert result.code == 1, result
        assert result.out == ""
        assert result.err.startswith("Error: ")
        assert result.err.count("\n") == 1, result.err
        return result.err.removeprefix("Error: ").rstrip("\n")


@pytest.fixture
def gradbook(database_url: str, tmp_path: Path) -> Gradbook:
    """The command on a migrated database without anybody in it."""
    return Gradbook(database_url, tmp_path)


@pytest.fixture
def unmigrated(tmp_path: Path) -> Callable[[str], Gradbook]:
    """The command on a SQLite file of that name."""
    return lambda name: Gradbook(f"sqlite:///{tmp_path}/{name}", tmp_path)
