"""The unit of work: what a domain function gets to do its work in one transaction."""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Dialect
from sqlalchemy.orm import Session

from app.db.deadline import DEADLINE, too_late
from app.db.guard import Guard
from app.db.ids import IdGenerator

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Room:
    """What the units of work of one database share."""

    guard: Guard
    ids: IdGenerator = field(default_factory=IdGenerator)
    session_class: type[Session] = Session


@dataclass(frozen=True, slots=True)
class Ending(Generic[R]):
    """What a committed unit of work leaves: the function's result and the topics to publish."""

    result: R
    topics: frozenset[str]


class UnitOfWork(ABC):
    """One transaction, seen from inside. `Database.transact` makes it, commits it, retries it and publishes after it.

    Work through `connection` (Core), `session` (ORM) or `fetch` (the raw driver: the hot path); all three share the
    transaction. Never commit, never await, and leave nothing behind that a second run of the function would double.
    """

    __slots__ = (
        "_change",
        "_connection",
        "_deadline",
        "_has_ended",
        "_marks",
        "_room",
        "_session",
        "_topics",
        "now",
        "viewer",
    )

    def __init__(self, connection: Connection, room: Room, viewer: Any) -> None:
        self._connection = connection
        self._room = room
        self._session: Session | None = None
        self._topics: set[str] = set()
        self._marks: frozenset[str] = frozenset()
        self._change: int | None = None
        self._deadline = DEADLINE.get()
        self._has_ended = False
        self.viewer = viewer
        self.now = datetime.datetime.now(datetime.UTC)

    @property
    def dialect(self) -> Dialect:
        """The dialect to compile statements for."""
        return self._connection.dialect

    @property
    def dialect_name(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._connection.dialect.name

    @property
    def connection(self) -> Connection:
        """The transaction as a synchronous Core connection."""
        if not self._connection.in_transaction():
            self._connection.begin()  # SQLAlchemy's bookkeeping only: the driver is in a transaction already
        return self._connection

    @property
    def session(self) -> Session:
        """The transaction as an ORM session: flushed before each statement and before the commit.

        Listeners find this unit of work at `session.info["uow"]`.
        """
        if self._session is None:
            self._session = self._room.session_class(
                self.connection, expire_on_commit=False, join_transaction_mode="rollback_only", info={"uow": self}
            )
        return self._session

    def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute text with positional parameters on the raw driver and return all rows."""
        if self._session is not None:
            self._session.flush()
        self.admit(sql)
        return self._fetch(sql, params)

    def admit(self, sql: str) -> None:
        """Called with the text of each statement before it is executed. Raises UnmarkedWriteError, and TIMEOUT."""
        if self._has_ended:
            raise RuntimeError("This unit of work has ended: what it read may be used, but it executes nothing more.")
        if self._deadline is not None and self._deadline.has_passed:
            raise too_late(self._deadline.seconds)
        self._room.guard.check(sql, self._marks)

    @property
    def taken_change(self) -> int | None:
        """`change`, if it was asked for before."""
        return self._change

    @property
    def change(self) -> int:
        """The number of this transaction in the change cursor (app.db.changes)."""
        if self._change is None:
            self._change = self._take_change()
        return self._change

    def new_id(self) -> int:
        """A fresh snowflake."""
        return self._room.ids.new_id()

    def new_ids(self, count: int) -> list[int]:
        """Fresh snowflakes in growing order."""
        return self._room.ids.new_ids(count)

    def publish(self, topic: str) -> None:
        """Say, after the commit, that something changed for this topic."""
        self._topics.add(topic)

    @property
    def topics(self) -> frozenset[str]:
        """What will be published."""
        return frozenset(self._topics)

    @contextmanager
    def marked(self, *tables: str, flush: bool = True) -> Iterator[None]:
        """Allow, within the block, writes to what is protected of these tables: for the module that keeps the rule.

        `flush=False` is for the session's own events, in which it cannot be flushed.
        """
        if flush and self._session is not None:
            self._session.flush()  # what was changed before the block gets no mark
        before = self._marks
        self._marks = before | set(tables)
        try:
            yield
            if flush and self._session is not None:
                self._session.flush()
        finally:
            self._marks = before

    @abstractmethod
    def _fetch(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """`fetch` on this database."""

    @abstractmethod
    def _take_change(self) -> int:
        """The change number of this transaction, from the database."""

    def finish(self) -> None:
        """Before the commit: write what the session still holds."""
        if self._session is not None:
            self._session.flush()

    def close(self) -> None:
        """After the work: end SQLAlchemy's view of the transaction."""
        self._has_ended = True
        if self._session is not None:
            self._session.close()
        if self._connection.in_transaction():
            self._connection.rollback()  # bookkeeping only: the driver's transaction is not SQLAlchemy's
