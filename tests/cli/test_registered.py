"""Registering operations from the command line: every kind of file, and what is said about each mistake."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.cli.manifests import read_files
from app.errors import GradbookError
from tests.cli.conftest import Gradbook

ME = "query Me { viewer { username } }"
ROLE = "query Role { viewer { role } }\n"
SHA = hashlib.sha256(ROLE.encode()).hexdigest()


def apollo(*operations: dict[str, Any], version: int = 1) -> str:
    return json.dumps({"format": "apollo-persisted-query-manifest", "version": version, "operations": list(operations)})


def ids(gradbook: Gradbook) -> dict[str, str]:
    return {row[1]: row[0] for row in gradbook.ok("operations", "list").rows}


def test_every_kind_of_file(gradbook: Gradbook, tmp_path: Path) -> None:
    (tmp_path / "apollo.json").write_text(apollo({"id": "a", "name": "Me", "type": "query", "body": ME}))
    (tmp_path / "relay.json").write_text(json.dumps({"md5": ME, "md5-of-role": ROLE}))
    (tmp_path / "queries" / "deep").mkdir(parents=True)
    (tmp_path / "queries" / "deep" / "role.graphql").write_text(ROLE)
    (tmp_path / "queries" / "both.gql").write_text(ME + ROLE)
    (tmp_path / "queries" / "note.txt").write_text("no operation")

    said = gradbook.ok("operations", "register", "apollo.json", "relay.json", "queries")
    assert said.out == "Operations: 5 new.\n"
    assert "GRADBOOK_REGISTERED_ONLY=true" in said.err
    both = hashlib.sha256((ME + ROLE).encode()).hexdigest()
    assert ids(gradbook) == {"a": "Me", "md5": "Me", "md5-of-role": "Role", SHA: "Role", both: "Me, Role"}
    assert gradbook.ok("operations", "register", "queries").out == "Operations: 2 as before.\n"
    assert gradbook.ok("operations", "register", "-", stdin=json.dumps({"a": ROLE})).out == "Operations: 1 changed.\n"
    listed = [json.loads(line) for line in gradbook.ok("operations", "list", "--json").out.splitlines()]
    assert {row["id"]: (row["document"], row["sha256"]) for row in listed}["a"] == (ROLE, SHA)

    assert "3 operations are called 'Role'" in gradbook.refused("operations", "remove", "Role")
    assert gradbook.ok("operations", "remove", "Me", SHA).out.splitlines() == [
        "Operation 'Me' was removed (md5).",
        f"Operation 'Role' was removed ({SHA}).",
    ]
    assert (
        gradbook.ok("operations", "register", "--replace", "apollo.json").out == "Operations: 1 changed, 2 removed.\n"
    )
    assert ids(gradbook) == {"a": "Me"}
    audit = gradbook.ok("audit").rows
    assert [row[2:4] for row in audit[-3:]] == [
        ["OPERATION_REGISTERED", "a Me"],
        ["OPERATION_REMOVED", f"{both} Me, Role"],
        ["OPERATION_REMOVED", "md5-of-role Role"],
    ]


def test_one_mistake_registers_nothing_and_all_are_told(gradbook: Gradbook, tmp_path: Path) -> None:
    gradbook.ok("operations", "register", "-", stdin=json.dumps({"before": ME}))
    wrong = {
        "good": ROLE,
        "field": "query A {\n  viewer { nothing }\n}",
        "syntax": "query {",
        "fragment": "fragment F on User { role }",
        "deep": "query D { viewer" + " { apiKeys { nodes { user" * 10 + " { role }" + " } } }" * 10 + " }",
        "nul": 'query N { node(id: "\\u0000") { id } } # \0',
    }
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    (tmp_path / "wrong.graphql").write_text("{ nothing }")
    (tmp_path / "other.json").write_text(json.dumps({"good": ME}))
    result = gradbook.run("operations", "register", "wrong.json", "wrong.graphql", "other.json", "--replace")
    assert (result.code, result.out) == (1, "")
    said = [line.removeprefix("Error: ") for line in result.err.splitlines()]
    expected = [
        "wrong.json, field: Cannot query field 'nothing' on type 'User'",
        "wrong.json, syntax: Syntax Error",
        "wrong.json, fragment: ",
        "wrong.json, deep: ",
        "wrong.json, nul: ",
        "wrong.graphql: Cannot query field 'nothing' on type 'Query'",
        "other.json, good: another document of these files has the same id",
    ]
    assert [line.startswith(start) for line, start in zip(said, expected, strict=True)] == [True] * 7, said
    assert said[0].endswith("(2:12)")
    assert "GRADBOOK_MAX_DEPTH" in said[3]
    assert ids(gradbook) == {"before": "Me"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "{", "a.json is not JSON"),
        ("a.json", "[]", "no manifest that is known"),
        ("a.json", "{}", "a.json holds no operation: did the build find the documents?"),
        ("a.json", apollo(), "a.json holds no operation"),
        ("a.json", apollo(version=2), "version 2: expected"),
        ("a.json", '{"format": "other", "version": 1, "operations": []}', "of the format 'other'"),
        ("a.json", '{"operations": []}', "no manifest that is known"),
        ("a.json", '{"format": "apollo-persisted-query-manifest", "version": 1, "operations": [1]}', "no object at 0"),
        ("a.json", apollo({"id": "a"}), "'a' is no text"),
        ("a.json", apollo({"body": ME}), "None is no id"),
        ("a.json", json.dumps({"": ME}), "'' is no id"),
        ("a.json", json.dumps({"a b": ME}), "'a b' is no id"),
        ("a.json", json.dumps({"x" * 257: ME}), "is no id"),
        ("a.graphql", b"\xff", "byte 1, 0xFF, is not UTF-8"),
        ("folder/a.txt", "text", "no .graphql file in the folder"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_told_in_words(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(GradbookError, match=re.escape(words)) as error:
        list(read_files([tmp_path / name.partition("/")[0]]))
    assert error.value.code == "INVALID_INPUT"
