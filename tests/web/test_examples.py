"""The operations that wait in GraphiQL's tabs are valid, say what they do, and fit in the editor."""

import re
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web/src/graphiql"
EXAMPLES = sorted((WEB / "examples").glob("*.graphql"))
SCHEMA = build_schema((ROOT / "schema.graphql").read_text("utf-8"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_and_says_what_it_does(path: Path) -> None:
    text = path.read_text("utf-8")
    assert validate(SCHEMA, parse(text)) == []
    assert text.startswith("# ")
    assert max(map(len, text.splitlines())) <= 58, "more does not fit beside the response"


def test_what_the_page_itself_asks_is_valid() -> None:
    (page,) = re.findall(r"`(query Page .*?)`", (WEB / "book.ts").read_text("utf-8"), re.DOTALL)
    assert validate(SCHEMA, parse(page)) == []


def test_every_example_waits_in_a_tab() -> None:
    imported = re.findall(r"from './examples/([^']+)\?raw'", (WEB / "examples.ts").read_text("utf-8"))
    assert imported == [path.name for path in EXAMPLES]
    assert len(EXAMPLES) >= 9
