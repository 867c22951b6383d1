"""How the house is built, checked on the source: which way imports go, who commits, who opens connections."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 450

# Imports go down this list, or stay on a line.
LAYERS = [
    {"cli", "asgi", "request_log", "answers", "cross_origin", "web"},
    {"schema", "services"},
    {"training"},
    {"annotation"},
    {"accounts"},
    {"live"},
    {"graphql"},
    {"db"},
    {"settings", "errors", "logs", "origin", "visible", "background"},
]
DOMAINS = ("app/accounts/", "app/annotation/", "app/training/")
# Where a domain meets GraphQL and HTTP.
DOMAIN_DOORS = {"types.py", "enums.py", "inputs.py", "queries.py", "mutations.py", "subscriptions.py", "http.py"}
# The unit of work, and how each database begins and ends its transaction.
UNIT_OF_WORK = {"app/db/unit_of_work.py", "app/db/sqlite.py", "app/db/postgresql.py"}
ENGINES = {"create_engine", "create_async_engine", "driver_connection", "raw_connection", "get_raw_connection"}
DRIVERS = {"aiosqlite", "asyncpg", "sqlite3"}

# What is let through: the finding as it would be reported without its line number, and why. An unused one fails.
WAIVERS: dict[str, str] = {}

Finding = tuple[int, str]  # line, what is wrong


class Module(NamedTuple):
    path: str
    tree: ast.Module
    lines: int


def module(path: str, source: str) -> Module:
    return Module(path, ast.parse(source, path), source.count("\n"))


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id


def layer(path_or_module: str) -> int:
    """The place of `app/db/ids.py` or `app.db.ids` in LAYERS; -1 is `app` itself."""
    parts = path_or_module.removesuffix(".py").replace("/", ".").split(".")
    if len(parts) < 2 or parts[1] == "__init__":
        return -1
    found = [place for place, names in enumerate(LAYERS) if parts[1] in names]
    assert found, f"{path_or_module}: give app.{parts[1]} its place in LAYERS"
    return found[0]


def upward_imports(code: Module) -> Iterator[Finding]:
    for line, name in imports(code.tree):
        root = name.split(".")[0]
        if root in {"tests", "bench"} or (root == "app" and layer(name) < layer(code.path)):
            yield line, f"{code.path} imports {name}, which lies above it"


def web_below_the_web(code: Module) -> Iterator[Finding]:
    """A domain's rules and the database room know no GraphQL and no HTTP."""
    in_rules = code.path.startswith(DOMAINS) and Path(code.path).name not in DOMAIN_DOORS
    if in_rules or code.path.startswith("app/db/"):
        for line, name in imports(code.tree):
            if name.split(".")[0] in {"strawberry", "starlette", "graphql"}:
                yield line, f"{code.path} imports {name}: it should know no GraphQL and no HTTP"


def commits(code: Module) -> Iterator[Finding]:
    """`begin` too: `with engine.begin()` commits at its end."""
    if code.path not in UNIT_OF_WORK:
        for line, name in names(code.tree):
            if name in {"begin", "commit"}:
                yield line, f"{code.path} says {name}: only the unit of work commits"
        for node in ast.walk(code.tree):
            if isinstance(node, ast.Constant) and repr(node.value).strip("' ;").upper() == "COMMIT":
                yield node.lineno, f"{code.path} says {node.value!r}: only the unit of work commits"


def connections(code: Module) -> Iterator[Finding]:
    if not code.path.startswith("app/db/"):
        used = [(line, name.split(".")[0]) for line, name in imports(code.tree)]
        for line, name in [*used, *imports(code.tree), *names(code.tree)]:
            if name in DRIVERS | ENGINES or name.split(".")[-1] in ENGINES:
                yield line, f"{code.path} uses {name}: connections have one door, app/db"


def long_files(code: Module) -> Iterator[Finding]:
    if code.lines > MAX_LINES:
        yield code.lines, f"{code.path} has more than {MAX_LINES} lines: of which two things is it one?"


Check = Callable[[Module], Iterator[Finding]]
CHECKS: list[Check] = [upward_imports, web_below_the_web, commits, connections, long_files]


def test_the_source_keeps_the_rules() -> None:
    paths = sorted(ROOT.glob("app/**/*.py"))
    assert ROOT / "app/__init__.py" in paths
    modules = [module(str(path.relative_to(ROOT)), path.read_text("utf-8")) for path in paths]
    found = [(code.path, line, text) for code in modules for check in CHECKS for line, text in check(code)]
    broken = [f"{path}:{line}: {text}" for path, line, text in found if text not in WAIVERS]
    unused = WAIVERS.keys() - {text for _, _, text in found}
    assert broken == []
    assert not unused, "waivers that nothing needs any more"


@pytest.mark.parametrize(
    ("check", "path", "source"),
    [
        (upward_imports, "app/db/ids.py", "def f():\n    from app.graphql import scalars"),
        (upward_imports, "app/graphql/view.py", "import app.annotation.tables"),
        (upward_imports, "app/settings.py", "from app import db"),
        (upward_imports, "app/cli.py", "import tests.support"),
        (web_below_the_web, "app/annotation/status.py", "from strawberry import field"),
        (web_below_the_web, "app/db/ids.py", "import graphql.language"),
        (commits, "app/annotation/status.py", "uow.connection.commit()"),
        (commits, "app/db/migrate.py", "with engine.begin(): pass"),
        (commits, "app/cli.py", "uow.fetch('commit;', ())"),
        (connections, "app/live/bus.py", "import asyncpg"),
        (connections, "app/live/bus.py", "from sqlite3 import connect"),
        (connections, "app/cli.py", "from sqlalchemy import create_engine"),
        (connections, "app/cli.py", "session.connection().driver_connection"),
        (long_files, "app/cli.py", "\n" * (MAX_LINES + 1)),
    ],
)
def test_each_rule_sees_what_it_forbids(check: Check, path: str, source: str) -> None:
    assert list(check(module(path, source)))
    assert not list(check(module(path, "import json\n")))


def test_a_new_module_needs_its_place() -> None:
    with pytest.raises(AssertionError, match=r"give app\.billing its place"):
        list(upward_imports(module("app/billing/tables.py", "import app.db")))
