"""Help that is worth reading, and mistakes in the usage."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from app.cli import build_cli
from app.settings import Settings
from tests.cli.conftest import Gradbook

COMMANDS = [
    *("serve", "demo", "migrate", "import", "export", "verify", "audit", "schema", "settings"),
    *("workspace add", "workspace list", "user add", "user list", "user passwd", "user link", "user remove"),
    *("key create", "key list", "key revoke"),
    *("task import", "task list", "task show", "task watch"),
    *("operations register", "operations list", "operations remove"),
]


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if children := getattr(command, "commands", None):
        for child_name, child in children.items():
            yield from leaves(child, f"{name} {child_name}".strip())
    else:
        yield name, command


def test_the_commands() -> None:
    found = dict(leaves(get_command(build_cli())))
    assert sorted(found) == sorted(COMMANDS)
    for name, command in found.items():
        assert command.help.strip().split("\n")[0].endswith("."), name
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--database-url" in options) == (name != "schema"), name
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"


def test_every_option_of_serve_is_a_setting() -> None:
    serve = dict(leaves(get_command(build_cli())))["serve"]
    assert {parameter.name for parameter in serve.params} <= Settings.model_fields.keys()


def test_help_and_mistakes(unmigrated: Any) -> None:
    gradbook: Gradbook = unmigrated("never.db")
    help_text = gradbook.ok("import", "--help").out
    assert "--on-conflict <skip|update|error>" in help_text
    assert '{"externalId": "a-1", "fields":' in help_text
    assert gradbook.run().code == 2
    for mistake in (
        ["serv"],
        ["user", "add"],
        ["import", "a.jsonl"],
        ["serve", "--port", "x"],
        ["key", "list", "more"],
    ):
        result = gradbook.run(*mistake)
        assert result.code == 2, mistake
        assert "Error: " in result.err
        assert "Usage: gradbook" in result.err
    assert list(gradbook.folder.iterdir()) == []


@pytest.mark.parametrize(
    "command", [[str(Path(sys.executable).with_name("gradbook"))], [sys.executable, "-m", "app.cli"]]
)
def test_both_ways_to_call_it(command: list[str], tmp_path: Path) -> None:
    result = subprocess.run(
        [*command, "--help"], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert result.stdout.startswith("Usage: gradbook [OPTIONS] COMMAND")


def test_settings_and_schema(unmigrated: Any) -> None:
    gradbook: Gradbook = unmigrated("some.db")
    (gradbook.folder / ".env").write_text("GRADBOOK_LOG_LEVEL=debug\n")
    gradbook.environment["GRADBOOK_DATABASE_URL"] = "postgresql://me:secret@db.example/book"
    rows = {row[0]: row[1:] for row in gradbook.ok("settings").rows}
    assert len(rows) == len(Settings.model_fields)
    assert all(row[2] for row in rows.values())
    assert rows["GRADBOOK_PORT"][:2] == ["8000", "default"]
    assert rows["GRADBOOK_LOG_LEVEL"][:2] == ["debug", ".env"]
    assert rows["GRADBOOK_DATABASE_URL"][:2] == ["postgresql+asyncpg://me:***@db.example/book", "environment"]
    assert (
        "GRADBOOK_DATABASE_URL\tsqlite:///x.db\toption"
        in gradbook.ok("settings", "--database-url", "sqlite:///x.db").out
    )
    gradbook.environment["GRADBOOK_PORT"] = "80000"
    assert "GRADBOOK_PORT is '80000'" in gradbook.refused("settings")
    del gradbook.environment["GRADBOOK_DATABASE_URL"]
    assert "type Query" in gradbook.ok("schema").out
    assert sorted(path.name for path in gradbook.folder.iterdir()) == [".env"]
