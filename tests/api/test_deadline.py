"""A mutation has its time: what it wrote by then is not stored, and its caller is told so."""

from __future__ import annotations

import time

import pytest

from app.accounts import workspaces
from app.db import UnitOfWork
from app.graphql.limits import Allowed
from app.graphql.operations import Operations
from app.schema import build_schema
from tests.api.conftest import Book

LONG = 20.0  # seconds


async def test_a_mutation_that_takes_too_long_is_stopped(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    create_workspace = workspaces.create_workspace

    def slow(uow: UnitOfWork, name: str) -> int:
        made = create_workspace(uow, name)
        until = time.monotonic() + LONG
        while time.monotonic() < until:
            uow.fetch("SELECT 1")
        return made

    monkeypatch.setattr(workspaces, "create_workspace", slow)
    services = book.services
    schema = build_schema(services.cursor_secret)
    book.operations = Operations(schema, services.database, services, Allowed(seconds=0.3))
    began = time.monotonic()
    create = 'mutation { createWorkspace(input: {name: "never"}) { errors { code message } } }'
    [error] = (await book.data("owner", create))["createWorkspace"]["errors"]
    assert time.monotonic() - began < LONG / 2
    assert error["code"] == "TIMEOUT"
    assert "within 0.3 seconds" in error["message"]
    assert "never" not in str(await book.data("owner", "{ workspaces { nodes { name } } }"))
