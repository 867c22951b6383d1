"""The pages whose commands a reader types: each is run as it stands, beside a server, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.terminal import ROOT, blocks, compare, environment, like_a_clone, server, session

PAGES = [
    path
    for path in sorted(ROOT.glob("docs/*.md"))
    if any(block[:2] == ("sh", "") for block in blocks(path.read_text()))
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_commands_of_a_page(path: Path, tmp_path: Path, backend: str, database_url: str) -> None:
    folder = like_a_clone(tmp_path)
    terminals = environment(folder, {"GRADBOOK_DATABASE_URL": database_url} if backend == "postgresql" else {})
    page = blocks(path.read_text("utf-8"))
    with server(folder, terminals) as (port, _), session(page, folder, terminals, port) as said:
        compare(page, said)
