"""The page of threats names tests, settings and files that there are."""

from __future__ import annotations

import re

from app.settings import PREFIX, Settings
from tests.docs.terminal import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")]
_NAMED = re.compile(r"`((?:app|tests)/[\w./]+)?(?:::(\w+))?`")


def test_every_file_and_every_test_that_a_row_names_is_there() -> None:
    named = 0
    for row in ROWS:
        text = ""
        for path, test in _NAMED.findall(row):
            if path:
                assert (ROOT / path).exists(), path
                text = (ROOT / path).read_text("utf-8") if test else ""
            if test:  # without a path it is in the file before
                assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), (path, test)
            named += path.startswith("tests/") or bool(test)
    assert named > 50


def test_every_threat_has_a_guard_and_a_test() -> None:
    table = PAGE[PAGE.index("| threat |") :].split("\n\n")[0].splitlines()[2:]
    for row in table:
        threat, guard, _, test = (cell.strip() for cell in row.strip("|").split("|"))
        assert threat, row
        assert guard, row
        assert "`tests/" in test, row


def test_every_setting_that_the_page_names_is_one() -> None:
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+[A-Z]\b", PAGE))
    assert named <= {PREFIX + name.upper() for name in Settings.model_fields}
