"""The lock files are what pyproject.toml asks for, and nothing in them can change under us."""

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["build"]]
DEV = [*RUNTIME, *PROJECT["dependency-groups"]["dev"]]


def locked(name: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Each locked requirement of that file with its hashes."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield Requirement(line.split("--hash")[0]), re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)


@pytest.mark.parametrize(("lock", "wanted"), [("runtime.txt", RUNTIME), ("dev.txt", DEV)])
def test_the_lock_holds_all_that_pyproject_asks_for(lock: str, wanted: list[str]) -> None:
    pins = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin, _ in locked(lock)}
    for line in wanted:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in requirements/{lock}: run make lock"
        assert requirement.specifier.contains(pins[name], prereleases=True), (
            f"{line}, locked {pins[name]}: run make lock"
        )


@pytest.mark.parametrize("lock", ["runtime.txt", "dev.txt"])
def test_everything_locked_is_pinned_and_hashed_and_comes_from_no_particular_index(lock: str) -> None:
    assert [str(pin) for pin, hashes in locked(lock) if not hashes or not str(pin.specifier).startswith("==")] == []
    assert not re.search(r"://|--(extra-)?index-url|--find-links", (ROOT / "requirements" / lock).read_text())


def test_both_locks_agree() -> None:
    runtime, dev = ({str(pin) for pin, _ in locked(lock)} for lock in ("runtime.txt", "dev.txt"))
    assert runtime <= dev


def test_the_environment_is_the_locked_one() -> None:
    here = [pin for pin, _ in locked("dev.txt") if pin.marker is None or pin.marker.evaluate()]
    assert [str(pin) for pin in here if version(pin.name) not in pin.specifier] == []
