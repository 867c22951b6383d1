"""The page of settings says what the settings are. `make docs` writes its table."""

from __future__ import annotations

import os
import re

from app.settings import PREFIX, Settings, describe
from tests.docs.terminal import ROOT

PAGE = ROOT / "docs" / "settings.md"
_TABLE = re.compile(r"^\| setting .*?\n\n", re.MULTILINE | re.DOTALL)


def table() -> str:
    """The settings with their defaults, in their order."""
    lines = ["| setting | if it is not set | what it is for |", "|---|---|---|"]
    defaults = Settings.model_construct()
    for row in describe(defaults):
        value = f"`{row.value}`" if row.value else "(none)"
        lines.append(f"| `{row.variable}` | {value} | {row.description} |")
    return "\n".join(lines) + "\n\n"


def test_the_page_lists_every_setting_with_its_default() -> None:
    page = PAGE.read_text("utf-8")
    if os.environ.get("GRADBOOK_WRITE_DOCS"):
        PAGE.write_text(_TABLE.sub(lambda _: table(), page), "utf-8")
        return
    found = _TABLE.search(page)
    assert found is not None
    assert found[0] == table(), "`make docs` writes it"


def test_what_the_page_names_is_a_setting() -> None:
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+[A-Z]\b", PAGE.read_text("utf-8")))
    assert named == {PREFIX + name.upper() for name in Settings.model_fields}
