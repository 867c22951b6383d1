"""A small schema of the tests' own: one table with a column of every kind, with attached and aggregated fields."""

import datetime
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import strawberry
from sqlalchemy import Boolean, ColumnElement, FromClause, Integer, MetaData, bindparam, func, insert, true
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.db import UnitOfWork
from app.db.types import EnumText, Float, Instant, JsonText, Snowflake, Text
from app.graphql import schema
from app.graphql.entity import Connection, Node, Within, aggregate, attached, column, entity, many, one, over
from app.graphql.payloads import Payload
from app.graphql.scalars import JSON
from app.graphql.schema import Built
from tests.graphql.asking import SECRET, Asker


class Base(DeclarativeBase):
    """Not the product's: its migrations must not see these tables."""

    metadata = MetaData()


class Shade(enum.Enum):
    """Ordered by name: DARK, LIGHT, MIDDLE."""

    LIGHT = "LIGHT"
    MIDDLE = "MIDDLE"
    DARK = "DARK"


strawberry.enum(Shade, description="How light.")


class Row(Base):
    """A row that its owner sees, and whose children stand below it."""

    __tablename__ = "thing"

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    owner_id: Mapped[int] = mapped_column(Snowflake)
    parent_id: Mapped[int | None] = mapped_column(Snowflake)
    name: Mapped[str | None] = mapped_column(Text)
    count: Mapped[int | None] = mapped_column(Integer)
    size: Mapped[float | None] = mapped_column(Float)
    at: Mapped[datetime.datetime | None] = mapped_column(Instant)
    shade: Mapped[Shade] = mapped_column(EnumText(Shade))
    flag: Mapped[bool | None] = mapped_column(Boolean)
    data: Mapped[Any | None] = mapped_column(JsonText)


class MarkRow(Base):
    """What a thing has under a name."""

    __tablename__ = "mark"

    id: Mapped[int] = mapped_column(Snowflake, primary_key=True, autoincrement=False)
    owner_id: Mapped[int] = mapped_column(Snowflake)
    thing_id: Mapped[int] = mapped_column(Snowflake)
    name: Mapped[str] = mapped_column(Text)
    size: Mapped[float | None] = mapped_column(Float)
    count: Mapped[int] = mapped_column(Integer)
    shade: Mapped[Shade] = mapped_column(EnumText(Shade))


def scope(rows: FromClause, kind: str) -> ColumnElement[bool]:
    """Viewers of the kind ALL see everything, all others what is theirs."""
    return true() if kind == "ALL" else rows.c.owner_id == bindparam("viewer_id", type_=Snowflake)


CALLS: list[tuple[str, list[int], dict[str, Any]]] = []
"""Every call of a loader: its name, the ids, the arguments."""


async def load_label(_context: Any, ids: Sequence[int], arguments: Mapping[str, Any]) -> Mapping[int, Any]:
    """A text per thing."""
    CALLS.append(("label", list(ids), dict(arguments)))
    return {number: f"{arguments['prefix']}{number}" for number in ids}


async def load_stats(_context: Any, ids: Sequence[int], arguments: Mapping[str, Any]) -> Mapping[int, Any]:
    """An object per thing, none for 3."""
    CALLS.append(("stats", list(ids), dict(arguments)))
    return {
        number: {"low": number, "high": None, "points": [{"low": 0.5, "high": 2.0, "points": []}]}
        for number in ids
        if number != 3
    }


async def load_broken(_context: Any, ids: Sequence[int], _arguments: Mapping[str, Any]) -> Mapping[int, Any]:
    """Gives nothing where something is promised."""
    return {}


@strawberry.type(description="What a loader gives.")
class Stats:
    """A plain object."""

    low: float = strawberry.field(description="Low.")
    high: float | None = strawberry.field(description="High.")
    points: list["Stats"] = strawberry.field(description="More of them.")


@strawberry.type(description="Counted over a thing's children.")
class Sum:
    """An aggregated object."""

    children: int = over("How many.", lambda _: func.count())
    largest: float | None = over("The largest.", lambda thing: func.max(thing.c.size))


@entity("thg", Row, own=scope)
class Thing(Node):
    """A thing."""

    name: str | None = column("Text.")
    count: int | None = column("Whole number.")
    size: float | None = column("Number.")
    at: datetime.datetime | None = column("Instant.")
    shade: Shade = column("Enum.")
    flag: bool | None = column("Boolean.")
    data: JSON | None = column("JSON.")
    upper: str | None = column("An expression.", lambda thing: func.upper(thing.c.name, type_=Text()))
    parent: "Thing | None" = one("Thing", "parent_id", "What it stands below.", named="name")
    children: Connection["Thing"] = many("Thing", "parent_id", "What stands below it.", filter=True)
    sorted: list["Thing"] = many("Thing", "parent_id", "The same by name.", paged=False, order=("name",))
    marks: list["Mark"] = many(
        "Mark", "thing_id", "What it has.", paged=False, order=("name",), filter=True, named="name"
    )
    sum: Sum = aggregate("Thing", "parent_id", "Over its children.")
    label: str = attached("Attached.", load_label, ("prefix", str, "What comes before the number."))
    stats: Stats | None = attached("Attached.", load_stats)
    broken: str = attached("Attached.", load_broken)


@entity("mrk", MarkRow, own=scope, within=Within("Thing", "thing_id"))
class Mark(Node):
    """A mark of a thing; nobody sees those of others."""

    name: str = column("Its name.")
    size: float | None = column("Number.")
    count: int = column("Whole number.")
    shade: Shade = column("Enum.")


@strawberry.type(description="A changed thing.")
class Changed(Payload):
    """A payload."""

    thing: Thing | None = strawberry.field(description="It.", default=None)
    things: list[Thing] = strawberry.field(description="More.", default_factory=list)


@strawberry.type(description="Queries.")
class Query:
    """Root fields."""

    thing: Thing | None = schema.root_one("Thing", "By id.")
    things: Connection[Thing] = schema.root_many("Thing", "All.")
    node: Node | None = schema.root("By id.", schema.resolve_node, ("id", strawberry.ID, "Id."))
    nodes: list[Node | None] = schema.root("By ids.", schema.resolve_nodes, ("ids", list[strawberry.ID], "Ids."))


def build(mutation: type | None = None) -> Built:
    """The schema."""
    return schema.build(query=Query, mutation=mutation, subscription=None, entities=[Thing, Mark], secret=SECRET)


@dataclass(frozen=True)
class Someone:
    """A viewer of things."""

    id: int
    kind: str


ALL = Someone(1, "ALL")


def mark(thing: int, name: str, **row: Any) -> dict[str, Any]:
    """A mark of a thing, without its id."""
    return {"owner_id": 1, "thing_id": thing, "name": name, "size": None, "count": 0, "shade": Shade.LIGHT, **row}


def write_marks(*rows: dict[str, Any]) -> Any:
    """What writes marks into the table that `write` made."""
    made = [{**row, "id": place} for place, row in enumerate(rows, 1)]
    return lambda uow: uow.connection.execute(insert(MarkRow), made)


def write(*rows: dict[str, Any]) -> Any:
    """What makes the table, with these rows; the id of one that says none is its place from 1."""
    default = dict.fromkeys(Row.__table__.c.keys()) | {"owner_id": 1, "shade": Shade.LIGHT}
    made = [{**default, "id": place, **row} for place, row in enumerate(rows, 1)]

    def work(uow: UnitOfWork) -> None:
        Base.metadata.create_all(uow.connection)
        if made:
            uow.connection.execute(insert(Row), made)

    return work


async def things(asker: Asker, *rows: dict[str, Any], mutation: type | None = None) -> Asker:
    """An asker about these things, on the asker's database."""
    await asker.database.transact(write(*rows))
    return Asker(build(mutation), asker.database)
