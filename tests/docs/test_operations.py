"""The pages of operations: every operation is there, as the examples have it, and answers what the page says.

`GRADBOOK_WRITE_DOCS=1` writes the answers into the pages instead (`make docs`), to be read before they are committed.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from app.accounts.access import OPERATOR
from app.accounts.tables import Role
from app.accounts.users import NewUser, create_user
from app.accounts.viewer import Viewer
from app.accounts.workspaces import create_workspace
from app.db import UnitOfWork
from tests.api.conftest import EXAMPLES, Book, operation
from tests.docs.page import PAGES, Names, blocks, run, written

WRITE = bool(os.environ.get("GRADBOOK_WRITE_DOCS"))
STILL_TO_COME = {"CreateSnapshot"}


@pytest.fixture
async def people(empty_book: Book) -> Book:
    """The owner, and in the workspace `default` an ADMIN eve and the ANNOTATORS ann and ben."""
    book = empty_book

    def make(uow: UnitOfWork) -> None:
        space = create_workspace(uow, "default")
        for name, role in {"eve": Role.ADMIN, "ann": Role.ANNOTATOR, "ben": Role.ANNOTATOR}.items():
            number = create_user(uow, NewUser(name, role, workspace_ids=(space,)))
            book.people[name] = Viewer(number, name, role)

    await book.services.database.transact(make, viewer=OPERATOR)
    return book


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.md")), ids=lambda path: path.stem)
async def test_a_page_is_what_the_server_answers(path: Path, people: Book) -> None:
    page = path.read_text("utf-8")
    changed = page
    shift = 0
    async for block, said in run(page, people, Names()):
        if not WRITE:
            assert json.loads(block.text) == said, f"{path.name}, after {page[: block.start].rsplit('## ', 1)[-1]}"
            assert block.text == written(said) + "\n", "`make docs` writes it as it should look"
        text = written(said) + "\n"
        changed = changed[: block.start + shift] + text + changed[block.end + shift :]
        shift += len(text) - (block.end - block.start)
    if WRITE:
        path.write_text(changed, "utf-8")


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.graphql")), ids=lambda file: file.stem)
def test_a_page_shows_every_operation_of_its_domain_as_it_stands(file: Path) -> None:
    page = (PAGES / f"{file.stem}.md").read_text("utf-8")
    shown = {
        found[1]: block.text.strip()
        for block in blocks(page)
        if block.language == "graphql" and (found := re.match(r"\w+ (\w+)", block.text))
    }
    names = re.findall(r"^(?:query|mutation|subscription) (\w+)", file.read_text(), re.MULTILINE)
    for name in names:
        if name not in STILL_TO_COME:
            assert shown.get(name) == _without_comments(operation(name)), name


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.strip().startswith("#")).strip()
