"""The README's commands, run as they stand there, on SQLite and on PostgreSQL; what it shows is what they say.

Blocks of `sh` are one session in one terminal. Those marked `background` run in terminals of their own: the first is
the server, the other begins where it stands. A block of `text` is what the block before it says.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SECONDS = 120
END = "=== the end of block"

# What differs from run to run.
VARIES = [
    (r"\b(rec|rsp|dst|usr|wsp|key)_\d+", r"\1_…"),
    (r"\bgb_[\w-]{43}", "gb_…"),
    (r"in [\d.]+ s, [\d,]+ (\w+)/s", r"in … s, … \1/s"),
]


class Block(NamedTuple):
    language: str
    kind: str
    text: str


def blocks(text: str) -> list[Block]:
    found = re.findall(r"^```(\w+) ?(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(*parts) for parts in found]


def alike(text: str) -> list[str]:
    for pattern, replacement in VARIES:
        text = re.sub(pattern, replacement, text)
    return text.strip().splitlines()


README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = blocks(README)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a clone has as far as the README goes, with the environment that runs the tests."""
    for name in ("Makefile", "pyproject.toml", "requirements"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    # The environment is there: `make` is not to make it.
    wrapper = tmp_path / "bin" / "make"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("make")} -o .venv/.runtime-installed "$@"\n')
    wrapper.chmod(0o755)
    return tmp_path


@pytest.fixture
def environment(folder: Path, backend: str, database_url: str) -> dict[str, str]:
    """Of every terminal. On SQLite there is no setting but the port: a free one, for tests run side by side."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GRADBOOK_", "PYTHON"))}
    setting = {"GRADBOOK_DATABASE_URL": database_url} if backend == "postgresql" else {}
    return inherited | setting | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "GRADBOOK_PORT": "0"}


@contextmanager
def terminal(script: str, folder: Path, environment: dict[str, str], name: str) -> Iterator[tuple[int, Path]]:
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
    until = time.monotonic() + SECONDS
    while not (found := re.search(pattern, screen.read_text(), re.MULTILINE)):
        assert time.monotonic() < until, f"no {pattern!r} in:\n{screen.read_text()}"
        time.sleep(0.05)
    return found


def test_the_walk_through_is_as_it_is_written(folder: Path, environment: dict[str, str]) -> None:
    server, *background = [block for block in BLOCKS if block.kind == "background" and block.language == "sh"]
    assert len(background) == 1
    with terminal(server.text, folder, environment, "server") as (_, server_screen):
        port = wait_for(r"Gradbook is at http://127\.0\.0\.1:(\d+)/graphql", server_screen)[1]
        assert len(re.findall(r"gb_[\w-]{43}", server_screen.read_text())) == 1
        script = folder / "examples" / "watch_records.py"
        script.write_text(script.read_text().replace(":8000", f":{port}"))

        session, expected, last = [], {}, -1
        for number, block in enumerate(BLOCKS):
            text = block.text.replace(":8000", f":{port}")
            if block in background:
                (folder / "watcher.sh").write_text(text)
                session.append(
                    "bash watcher.sh > watcher.screen 2>&1 & until [ -s watcher.screen ]; do sleep 0.1; done"
                )
            elif block.language == "sh" and not block.kind:
                session.append(f"{text}\necho '{END} {number}'")
                last = number
            elif block.language == "text" and not block.kind:
                expected[last] = block.text
        with terminal("\n".join(session), folder, environment, "session") as (_, screen):
            wait_for(f"{END} {last}$", screen)
            said = dict(zip(*parts(screen.read_text()), strict=True))
            (seen,) = [block.text for block in BLOCKS if block == ("text", "background", block.text)]
            wait_for(re.escape(seen.strip().splitlines()[-2]) + r"\n.*\n\Z", folder / "watcher.screen")
            watched = (folder / "watcher.screen").read_text()
    assert len(expected) >= 7
    for number, text in expected.items():
        assert alike(said[number]) == alike(text), f"after:\n{BLOCKS[number].text}"
    assert [said[number] for number in said if number not in expected and said[number].strip()] == []
    # Changes that follow each other quickly come as one.
    lines = iter(seen.splitlines())
    assert all(line in lines for line in watched.splitlines()), watched
    assert watched.splitlines()[-2:] == seen.splitlines()[-2:]


def parts(screen: str) -> tuple[list[int], list[str]]:
    """The numbers of the blocks, and what each said."""
    texts = re.split(rf"^{END} (\d+)\n", screen, flags=re.MULTILINE)
    return [int(number) for number in texts[1::2]], texts[:-1:2]


def test_the_setting_that_the_readme_names_is_the_one() -> None:
    (setting,) = [block for block in BLOCKS if block.kind == "setting"]
    assert re.fullmatch(r"export GRADBOOK_DATABASE_URL=postgresql://\S+\n", setting.text)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), ROOT / "examples/README.md"], ids=str
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_what_is_made_and_tested_stands_near_the_top() -> None:
    top = README[:1500]
    assert "make serve" in top
    assert "make test" in top
