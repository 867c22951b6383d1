"""The lock files are what pyproject.toml asks for, and nothing in them can change; packages hold all that runs."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.server import Server

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["build"]]
DEV = [*RUNTIME, *PROJECT["dependency-groups"]["dev"]]
LOCKS = {"runtime.txt": RUNTIME, "dev.txt": DEV, "web.txt": PROJECT["dependency-groups"]["web"]}


def locked(name: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Each locked requirement of that file with its hashes."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield Requirement(line.split("--hash")[0]), re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)


@pytest.mark.parametrize(("lock", "wanted"), LOCKS.items())
def test_the_lock_holds_all_that_pyproject_asks_for(lock: str, wanted: list[str]) -> None:
    pins = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin, _ in locked(lock)}
    for line in wanted:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in requirements/{lock}: run make lock"
        assert requirement.specifier.contains(pins[name], prereleases=True), (
            f"{line}, locked {pins[name]}: run make lock"
        )


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_locked_is_pinned_and_hashed_and_comes_from_no_particular_index(lock: str) -> None:
    assert [str(pin) for pin, hashes in locked(lock) if not hashes or not str(pin.specifier).startswith("==")] == []
    assert not re.search(r"://|--(extra-)?index-url|--find-links", (ROOT / "requirements" / lock).read_text())


def test_both_locks_agree() -> None:
    runtime, dev = ({str(pin) for pin, _ in locked(lock)} for lock in ("runtime.txt", "dev.txt"))
    assert runtime <= dev


def test_the_environment_is_the_locked_one() -> None:
    here = [pin for pin, _ in locked("dev.txt") if pin.marker is None or pin.marker.evaluate()]
    assert [str(pin) for pin in here if version(pin.name) not in pin.specifier] == []


def test_a_package_builds_with_the_node_that_is_locked() -> None:
    (node,) = LOCKS["web.txt"]
    assert f'NODE = "{node}"' in (ROOT / "hatch_build.py").read_text()


# What stands for built pages: the hook believes the stamp.
PAGES = {
    "graphiql/index.html": "<title>Gradbook</title>",
    "sign-in/index.html": "<title>Sign in</title>",
    "assets/main-1a2b.js": "export {};",
    "third-party-licenses.txt": "MIT",
}
STAMP = """
import sys, pathlib
sys.path.insert(0, ".")
import hatch_build
pathlib.Path("app/web/static/.build-hash").write_text(hatch_build.content_hash(pathlib.Path.cwd()))
"""
BUILD = """
from hatchling import build
build.build_{}({!r})
"""


def run(command: list[str], **options: Any) -> str:
    """What it says."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(code: str, folder: Path) -> None:
    """Run it there, where there is no npm, and where going on without would be an error."""
    environment = {"PATH": "/nowhere", "GRADBOOK_WEB_BUILD": "require", "SOURCE_DATE_EPOCH": "1750000000"}
    run([sys.executable, "-c", code], cwd=folder, env=environment)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project's wheel and sdist, of a checkout in which the pages are built."""
    checkout, packages = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("packages")
    ignored = shutil.ignore_patterns("static", "node_modules", "__pycache__")
    for name in ("app", "migrations", "web"):
        shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
    for name in (
        "pyproject.toml",
        "hatch_build.py",
        ".gitignore",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "schema.graphql",
    ):
        shutil.copy(ROOT / name, checkout)
    for name, text in PAGES.items():
        page = checkout / "app/web/static" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text)
    (checkout / "web/node_modules/vite").mkdir(parents=True)
    (checkout / "web/node_modules/vite/index.js").write_text("")
    (checkout / "app/__pycache__").mkdir()
    (checkout / "app/__pycache__/left.pyc").write_text("")
    (checkout / "gradbook.db").write_text("someone's work")
    python(STAMP + BUILD.format("wheel", str(packages)) + BUILD.format("sdist", str(packages)), checkout)
    return packages


def wheel(folder: Path) -> dict[str, bytes]:
    """What the folder's only wheel holds."""
    (found,) = folder.glob("*.whl")
    with zipfile.ZipFile(found) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_what_runs_and_nothing_else(packages: Path) -> None:
    held = wheel(packages)
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "app").rglob("*.py")}
    migrations = {f"app/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "migrations").rglob("*.py")}
    pages = {f"app/web/static/{name}" for name in (*PAGES, ".build-hash")}
    demo = {"app/annotation/demo/passages.jsonl", "app/training/demo/runs.jsonl"}
    data = {"app/py.typed", "app/migrations/script.py.mako", *demo}
    package = {name for name in held if name.startswith("app/")}
    assert package == code | migrations | pages | data
    about = {name.partition("/")[2] for name in set(held) - package}
    assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_sdist_makes_the_same_wheel_without_npm(packages: Path, tmp_path: Path) -> None:
    (sdist,) = packages.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    names = {path.relative_to(source).parts[0] for path in source.rglob("*") if path.is_file()}
    assert {"app", "migrations", "web", "hatch_build.py", "schema.graphql", "PKG-INFO"} <= names
    assert names.isdisjoint({"gradbook.db", "tests", "docs"})
    assert not (source / "web/node_modules").exists()
    assert not (source / "app/__pycache__").exists()

    python(BUILD.format("wheel", str(tmp_path)), source)
    assert wheel(tmp_path) == wheel(packages)


def test_the_wheel_alone_serves_the_pages_and_the_demo(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed beside its dependencies, and run where there is no checkout."""
    (found,) = packages.glob("*.whl")
    site = tmp_path / "site"
    install = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(site)]
    run([sys.executable, "-m", *install, str(found)])
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.chdir(tmp_path)
    imported = run([sys.executable, "-c", "import app; print(app.__file__)"])
    assert Path(imported.strip()).is_relative_to(site)
    gradbook = str(site / "bin/gradbook")
    url = f"sqlite:///{tmp_path}/book.db"
    run([gradbook, "migrate", "--database-url", url])
    assert "The demo was made" in run([gradbook, "demo", "--database-url", url])
    with Server(url, tmp_path, command=[gradbook]) as server:
        for path, text in {"/graphiql": "<title>Gradbook</title>", "/assets/main-1a2b.js": "export {};"}.items():
            assert httpx2.get(server.address + path).text == text
