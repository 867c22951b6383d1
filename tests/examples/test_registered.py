"""The manifest of the examples holds what they send, character for character."""

import ast
import hashlib
import json
import os
from pathlib import Path

from graphql import OperationDefinitionNode, parse

EXAMPLES = Path(__file__).parents[2] / "examples"
MANIFEST = EXAMPLES / "registered.json"
SCRIPTS = ("train_lora.py", "watch_records.py")


def sent(script: str) -> dict[str, str]:
    """The operations among a script's constants, by their SHA-256."""
    found = {}
    for node in ast.parse((EXAMPLES / script).read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            text = node.value.value
            if text.strip().startswith(("query", "mutation", "subscription")):
                [operation] = parse(text).definitions
                assert isinstance(operation, OperationDefinitionNode)
                found[hashlib.sha256(text.encode()).hexdigest()] = text
    return found


def test_the_manifest_holds_what_the_scripts_send() -> None:
    expected = {digest: text for script in SCRIPTS for digest, text in sent(script).items()}
    assert len(expected) == 8
    if os.environ.get("GRADBOOK_WRITE_DOCS"):
        MANIFEST.write_text(json.dumps(expected, indent=2) + "\n", "utf-8")
    assert json.loads(MANIFEST.read_text("utf-8")) == expected, "GRADBOOK_WRITE_DOCS=1 writes it"
