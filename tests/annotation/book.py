"""People, a workspace and a dataset to try the rules of annotation on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from app.accounts.access import OPERATOR
from app.accounts.tables import Role
from app.accounts.users import NewUser, create_user
from app.accounts.viewer import Viewer
from app.accounts.workspaces import create_workspace
from app.annotation.datasets import CreateDatasetInput, FieldInput, QuestionInput, create_dataset
from app.annotation.questions import LabelSettings, Option, RatingSettings
from app.annotation.record_items import RecordInput
from app.annotation.records import AddRecordsInput, OnConflict, RecordResult, add_records
from app.annotation.responses import WrittenResponse, submit_response
from app.annotation.verify import Drift, drifted
from app.db import Database, UnitOfWork
from app.errors import GradbookError

GOOD = {"topic": "war", "tone": 3}
QUESTIONS = (
    QuestionInput("topic", LabelSettings((Option("war"), Option("peace")))),
    QuestionInput("tone", RatingSettings(1, 5), required=False),
)


@dataclass
class Book:
    """Names stand for ids. `ada`, `ben` and `cyd` are ANNOTATORs, `stranger` is an ADMIN of another workspace."""

    database: Database
    workspace: int
    elsewhere: int
    dataset: int
    users: dict[str, Viewer] = field(default_factory=dict)

    @classmethod
    async def make(cls, database: Database, min_submitted: int = 1) -> "Book":
        def found(uow: UnitOfWork) -> Book:
            here, there = create_workspace(uow, "here"), create_workspace(uow, "there")
            new = CreateDatasetInput("speeches", [FieldInput("text")], QUESTIONS, here, min_submitted=min_submitted)
            book = cls(database, here, there, create_dataset(uow, new), {"operator": OPERATOR})
            for name in ("ada", "ben", "cyd"):
                book.users[name] = _user(uow, name, Role.ANNOTATOR, here)
            book.users["owner"] = _user(uow, "owner", Role.OWNER)
            book.users["admin"] = _user(uow, "admin", Role.ADMIN, here)
            book.users["stranger"] = _user(uow, "stranger", Role.ADMIN, there)
            return book

        return await database.transact(found, viewer=OPERATOR)

    @classmethod
    def read(cls, database: Database, told: dict[str, Any]) -> "Book":
        """The book that another process told of."""
        users = {name: Viewer(user_id, name, Role[role]) for name, (user_id, role) in told["users"].items()}
        return cls(database, **{**told, "users": users | {"operator": OPERATOR}})

    def tell(self) -> dict[str, Any]:
        """For another process on the same database; JSON."""
        users = {name: (viewer.id, viewer.kind) for name, viewer in self.users.items()}
        return {"workspace": self.workspace, "elsewhere": self.elsewhere, "dataset": self.dataset, "users": users}

    async def act(self, who: str, fn: Callable[..., Any], *args: Any) -> Any:
        """Run a domain function as somebody."""
        return await self.database.transact(fn, *args, viewer=self.users[who])

    async def refused(self, who: str, fn: Callable[..., Any], *args: Any) -> GradbookError:
        """The error that a domain function must raise."""
        try:
            await self.act(who, fn, *args)
        except GradbookError as error:
            return error
        raise AssertionError(f"{fn.__name__} was not refused")

    async def annotators(self, count: int) -> list[str]:
        """So many more annotators."""

        def made(uow: UnitOfWork) -> dict[str, Viewer]:
            return {f"a{n}": _user(uow, f"a{n}", Role.ANNOTATOR, self.workspace) for n in range(count)}

        users = await self.database.transact(made, viewer=OPERATOR)
        self.users |= users
        return list(users)

    async def add(self, items: int | Sequence[RecordInput], on_conflict: OnConflict = OnConflict.ERROR) -> list[int]:
        """Add records, and return their ids; all must be good."""
        given = [record(n) for n in range(items)] if isinstance(items, int) else items
        results = await self.add_some(given, on_conflict)
        assert [result.errors for result in results] == [()] * len(given)
        return [result.record_id or 0 for result in results]

    async def add_some(
        self, items: Sequence[RecordInput], on_conflict: OnConflict = OnConflict.ERROR
    ) -> list[RecordResult]:
        """Add records of which some may be bad."""
        results: list[RecordResult] = await self.act(
            "owner", add_records, AddRecordsInput(self.dataset, items, on_conflict)
        )
        return results

    async def submit(self, who: str, record_id: int, values: Any = None) -> WrittenResponse:
        """Submit good answers."""
        written: WrittenResponse = await self.act(who, submit_response, record_id, values or GOOD)
        return written

    async def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """What a query says, values as the driver gives them."""
        return await self.database.transact(
            lambda uow: [tuple(row) for row in uow.connection.execute(text(sql), values)]
        )

    async def state(self, record_id: int) -> tuple[str, int]:
        """A record's status and count, as stored."""
        ((status, submitted),) = await self.rows(
            "SELECT status, submitted_count FROM record WHERE id = :id", id=record_id
        )
        return status, submitted

    async def drift(self) -> list[Drift]:
        """What `gradbook verify` finds."""
        return [found async for found in drifted(self.database)]


def record(number: int, **more: Any) -> RecordInput:
    """A good record."""
    return RecordInput({"text": f"passage {number}"}, more.pop("external_id", f"p{number}"), **more)


def _user(uow: UnitOfWork, name: str, role: Role, *workspaces: int) -> Viewer:
    return Viewer(create_user(uow, NewUser(name, role, workspace_ids=workspaces)), name, role)
