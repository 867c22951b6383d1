"""Pages whose commands are run as they stand there.

Blocks of `sh` are one session in one terminal. Those marked `background` run in terminals of their own, those marked
`setting` are shown only. A block of `text` is what the block before it says.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SECONDS = 300  # only a page that hangs takes so long, however busy the machine is
END = "=== the end of block"

# What differs from run to run.
VARIES = [
    (r"\b(rec|rsp|dst|usr|wsp|key|tsk)_\d+", r"\1_…"),
    (r"0\.\d{3} of the held-out", "0.… of the held-out"),
    (r"(?m)(,0\.\d+),\d{13}$", r"\1,…"),
    (r"\bgb_[\w-]{43}", "gb_…"),
    (r"\bgbl_[\w-]+", "gbl_…"),
    (r"in [\d.]+ s, [\d,]+ (\w+)/s", r"in … s, … \1/s"),
    (r"revision \d{4}", "revision …"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "2026-…Z"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:8000"),
    (r'"remaining":\d{7,8}\b', '"remaining":…'),
]


class Block(NamedTuple):
    """One block of a page: ```language kind."""

    language: str
    kind: str
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in their order."""
    found = re.findall(r"^```(\w+) ?(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(*parts) for parts in found]


def alike(text: str) -> list[str]:
    """The lines of a screen, without what differs from run to run."""
    for pattern, replacement in VARIES:
        text = re.sub(pattern, replacement, text)
    return text.strip().splitlines()


def like_a_clone(folder: Path) -> Path:
    """What a clone has as far as pages go, with the environment that runs the tests."""
    for name in ("Makefile", "pyproject.toml", "requirements"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copytree(ROOT / "examples", folder / "examples")
    # The environment is there: `make` is not to make it.
    wrapper = folder / "bin" / "make"
    wrapper.parent.mkdir()
    wrapper.write_text(
        f'#!/bin/sh\nexec {shutil.which("make")} -o .venv/.runtime-installed -o app/web/static/.build-hash "$@"\n'
    )
    wrapper.chmod(0o755)
    return folder


def environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """Of every terminal: the test's own settings are not the page's. The port is a free one."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GRADBOOK_", "PYTHON"))}
    return (
        inherited
        | settings
        | {"PATH": f"{folder / 'bin'}:{folder / '.venv' / 'bin'}:{os.environ['PATH']}", "GRADBOOK_PORT": "0"}
    )


@contextmanager
def terminal(script: str, folder: Path, environment: Mapping[str, str], name: str) -> Iterator[tuple[int, Path]]:
    """A shell, and the file that stands for its screen; all that it started ends with the block."""
    screen = folder / f"{name}.screen"
    (folder / f"{name}.sh").write_text(script)
    with screen.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-eo", "pipefail", f"{name}.sh"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process.pid, screen
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(SECONDS)


def wait_for(pattern: str, screen: Path) -> re.Match[str]:
    """Until the screen shows it."""
    until = time.monotonic() + SECONDS
    while not (found := re.search(pattern, screen.read_text(), re.MULTILINE)):
        assert time.monotonic() < until, f"no {pattern!r} in:\n{screen.read_text()}"
        time.sleep(0.05)
    return found


@contextmanager
def server(folder: Path, environment: Mapping[str, str], command: str = "make serve") -> Iterator[tuple[str, str]]:
    """A server in a terminal of its own: its port, and what it said when it was ready."""
    with terminal(command, folder, environment, "server") as (_, screen):
        port = wait_for(r"Gradbook is at http://127\.0\.0\.1:(\d+)\b", screen)[1]
        yield port, screen.read_text()


@contextmanager
def session(page: Sequence[Block], folder: Path, environment: Mapping[str, str], port: str) -> Iterator[dict[int, str]]:
    """Run the page's session against the server at the port: what each of its blocks said, by their numbers.

    A background block, which must say something, runs as long as the `with`; its screen is `background-N.screen`.
    """
    lines, last = [], -1
    for number, block in enumerate(page):
        text = block.text.replace(":8000", f":{port}")
        if block.language != "sh":
            continue
        if block.kind == "background":
            name = f"background-{number}"
            (folder / f"{name}.sh").write_text(text)
            lines.append(f"bash {name}.sh > {name}.screen 2>&1 & until [ -s {name}.screen ]; do sleep 0.1; done")
        elif not block.kind:
            lines.append(f"{text}\necho '{END} {number}'")
            last = number
    with terminal("\n".join(lines), folder, environment, "session") as (pid, screen):
        until = time.monotonic() + SECONDS
        while not re.search(rf"^{END} {last}$", screen.read_text(), re.MULTILINE):
            assert not _ended(pid), f"A command of the page failed:\n{screen.read_text()}"
            assert time.monotonic() < until, f"The page's commands take too long:\n{screen.read_text()}"
            time.sleep(0.05)
        texts = re.split(rf"^{END} (\d+)\n", screen.read_text(), flags=re.MULTILINE)
        yield dict(zip(map(int, texts[1::2]), texts[:-1:2], strict=True))


def _ended(pid: int) -> bool:
    """Whether the shell is done, without taking its exit code from whoever waits for it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def compare(page: Sequence[Block], said: Mapping[int, str]) -> int:
    """Each block of `text` is what the block before it said, and what says something has one. The number compared."""
    expected, last = {}, -1
    for number, block in enumerate(page):
        if block.language == "sh" and not block.kind:
            last = number
        elif block.language == "text" and not block.kind:
            expected[last] = block.text
    for number, text in expected.items():
        assert alike(said[number]) == alike(text), f"after:\n{page[number].text}"
    silent = [number for number in said if number not in expected]
    assert {number: said[number] for number in silent if said[number].strip()} == {}
    return len(expected)
