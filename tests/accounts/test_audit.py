"""The audit log keeps what it is given, and no function of accounts forgets it."""

import ast
import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import insert, select, text

from app.accounts import audit
from app.accounts.access import OPERATOR
from app.accounts.bootstrap import ensure_owner, ensure_workspace
from app.accounts.credentials import create_key
from app.accounts.links import create_link, use_link
from app.accounts.tables import AuditAction, AuditEvent
from app.accounts.users import ensure_annotators
from app.db import Database, UnitOfWork
from app.db.guard import UnmarkedWriteError
from tests.accounts.conftest import LIFETIME, Company

# Functions of accounts that write and leave no mark, and why.
EXEMPT = {
    "access.take_turn": "it counts changes; what changes is told by whoever changes it",
    "users._insert_members": "whoever makes the users says where",
    "users._end_sessions_and_links": "it is part of PASSWORD_CHANGED",
    "links.use_link": "insert_session tells of the sign-in",
    "credentials.insert_credential": "whoever makes a key, a session or a link says so",
    "authentication._replace_hash": "the password is the same",
    "registered._take_turn": "it counts changes; what changes is told by whoever changes it",
    "throttle._take": "no account changes",
    "throttle.refund": "no account changes",
    "throttle.forget_full": "no account changes",
}
WRITES = {"insert", "update", "delete", "text"}


def functions() -> dict[str, set[str]]:
    """What every function of accounts calls, by name."""
    found = {}
    for path in sorted((Path(__file__).parents[2] / "app" / "accounts").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
                names = {call.id for call in calls if isinstance(call, ast.Name)}
                names |= {call.attr for call in calls if isinstance(call, ast.Attribute) and call.attr == "insert"}
                uses = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
                found[f"{path.stem}.{node.name}"] = names | ({"text"} if "_TURN" in uses else set())
    return found


def test_no_function_that_writes_forgets_to_tell() -> None:
    silent = {name for name, calls in functions().items() if calls & WRITES and "audit" not in calls}
    assert silent - {"audit.audit"} == EXEMPT.keys()


async def told(database: Database, *actions: AuditAction) -> list[Any]:
    def read(uow: UnitOfWork) -> list[Any]:
        wanted = select(AuditEvent).where(AuditEvent.action.in_(actions)).order_by(AuditEvent.id)
        return list(uow.session.scalars(wanted))

    return await database.transact(read)


async def test_a_first_start_is_told(database: Database) -> None:
    for ensure in (ensure_workspace, ensure_owner, ensure_workspace, ensure_owner):
        await database.transact(ensure, viewer=OPERATOR)
    rows = await database.transact(audit.list_events, 10)
    assert [(row.action.name, row.subject_name) for row in rows] == [
        ("WORKSPACE_CREATED", "default"),
        ("USER_CREATED", "owner"),
        ("KEY_CREATED", "First start"),
        ("LINK_CREATED", None),
    ]
    assert {(row.actor_name, row.credential_id, row.door.name) for row in rows} == {("operator", None, "COMMAND")}
    assert [row.action.name for row in await database.transact(audit.list_events, 1)] == ["LINK_CREATED"]


async def test_links_and_sessions_are_told(company: Company) -> None:
    secret = await company.act("owner", create_link, company.id("ann"))
    await company.database.transact(use_link, secret, LIFETIME)
    [made] = await told(company.database, AuditAction.LINK_CREATED)
    assert (made.actor_name, made.subject) == ("owner", f"usr_{company.id('ann')}")
    [used] = await told(company.database, AuditAction.SIGNED_IN)
    assert (used.actor_id, used.subject_name, used.details) == (company.id("ann"), "ann", {"by": "link"})
    assert used.credential_id is not None


async def test_of_many_each_is_told(company: Company) -> None:
    names = [f"new-{number}" for number in range(500)]
    made = await company.act("owner", ensure_annotators, names, company.workspaces["here"])
    events = await told(company.database, AuditAction.USER_CREATED)
    assert {event.subject for event in events} >= {f"usr_{number}" for number in made.values()}


async def meddle(url: str, sql: str) -> None:
    """What whoever opens the database itself might try."""
    if url.startswith("sqlite"):

        def execute() -> None:
            with sqlite3.connect(url.split(":///")[1]) as connection:
                connection.execute(sql)

        await asyncio.to_thread(execute)
        return
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


COLUMNS = "id, created_at, action, door"
UNDONE = [
    "UPDATE audit_event SET actor_name = 'nobody'",
    "DELETE FROM audit_event",
    f"""INSERT INTO audit_event ({COLUMNS}) SELECT {COLUMNS} FROM audit_event WHERE true
        ON CONFLICT (id) DO UPDATE SET actor_name = 'nobody'""",
]
ONLY = {
    "sqlite": [f"REPLACE INTO audit_event ({COLUMNS}) SELECT {COLUMNS} FROM audit_event"],
    "postgresql": ["TRUNCATE audit_event", "WITH a AS (DELETE FROM audit_event RETURNING 1) SELECT * FROM a"],
}


async def test_nobody_changes_or_deletes_an_event(company: Company, database_url: str, backend: str) -> None:
    before = await company.database.transact(audit.list_events, 1000)
    assert len(before) > 10
    for sql in [*UNDONE, *ONLY[backend]]:
        with pytest.raises((sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)):
            await meddle(database_url, sql)
    assert await company.database.transact(audit.list_events, 1000) == before


async def test_no_other_module_writes_it(company: Company, database_url: str) -> None:
    def write(uow: UnitOfWork) -> None:
        uow.connection.execute(text("INSERT INTO audit_event (id) VALUES (1)"))

    async with await Database.open(database_url, protect=audit.PROTECTED) as guarded:
        with pytest.raises(UnmarkedWriteError):
            await guarded.transact(write)
        await guarded.transact(create_key, "laptop", company.id("ann"), viewer=OPERATOR)
    assert (await company.database.transact(audit.list_events, 1))[0].subject_name == "laptop"


async def test_an_id_that_is_taken_is_drawn_anew(company: Company) -> None:
    """The trigger that keeps a row from being replaced must not look like a defect."""
    taken = (await company.database.transact(audit.list_events, 1))[0].id
    tries = 0

    def collide(uow: UnitOfWork) -> None:
        nonlocal tries
        tries += 1
        number = taken if tries == 1 else uow.new_id()
        with uow.marked("audit_event"):
            uow.connection.execute(
                insert(AuditEvent).values(id=number, created_at=uow.now, action=AuditAction.SIGNED_OUT, door="COMMAND")
            )

    await company.database.transact(collide)
    assert tries == 2
