import datetime
import math
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, literal, select
from sqlalchemy.exc import IntegrityError, StatementError

from app.db import Database, UnitOfWork
from app.db.statement import Statement
from app.db.types import instant_text, json_text, to_driver
from app.errors import GradbookError
from tests.db.things import Colour, Thing

UTC = datetime.UTC
SUMMER = datetime.datetime(2026, 7, 1, 12, 0, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
FIRST = datetime.datetime(1, 1, 1, 0, 0, 0, 1, UTC)
LAST = datetime.datetime(9999, 12, 31, 23, 59, 59, 999998, UTC)

ROUND_TRIPS: list[tuple[str, Any, Any]] = [
    ("id", 2**63 - 1, 2**63 - 1),
    ("name", "Grüße, 世界 🎉 \t\n'\"\\", "Grüße, 世界 🎉 \t\n'\"\\"),
    ("name", "", ""),
    ("colour", Colour.GREEN, Colour.GREEN),
    ("colour", "RED", Colour.RED),
    ("at", SUMMER, datetime.datetime(2026, 7, 1, 10, 0, tzinfo=UTC)),
    ("at", FIRST, FIRST),
    ("at", LAST, LAST),
    (
        "data",
        {"b": [1, 2.5, None, True], "a": {"z": "é", "y": ""}},
        {"b": [1, 2.5, None, True], "a": {"z": "é", "y": ""}},
    ),
    ("data", [math.nan, {"x": (math.inf, -math.inf)}], ["NaN", {"x": ["Infinity", "-Infinity"]}]),
    ("data", "text", "text"),
    ("data", 0, 0),
    ("data", False, False),
    ("score", 0.1 + 0.2, 0.1 + 0.2),
    ("score", math.inf, math.inf),
    ("score", -0.0, -0.0),
    ("is_new", True, True),
    ("is_new", False, False),
    ("count", -(2**31), -(2**31)),
]


@pytest.mark.parametrize(("column", "written", "read"), ROUND_TRIPS)
async def test_values_come_back(things: Database, column: str, written: Any, read: Any) -> None:
    def work(uow: UnitOfWork) -> Any:
        row = {"id": 1} | {column: written}
        uow.connection.execute(insert(Thing).values(row))
        return uow.connection.execute(select(Thing.__table__.c[column])).scalar_one()

    back = await things.transact(work)
    assert (back, type(back)) == (read, type(read))


async def test_null_is_null_in_every_column(things: Database) -> None:
    nullable = [column.name for column in Thing.__table__.columns if column.nullable]

    def work(uow: UnitOfWork) -> None:
        uow.connection.execute(insert(Thing).values({"id": 1} | dict.fromkeys(nullable)))

    await things.transact(work)
    [row] = await things.read(f"SELECT {', '.join(nullable)} FROM thing")
    assert row == (None,) * len(nullable)
    assert len(nullable) == 9


@pytest.mark.parametrize(
    ("column", "value", "lesson"),
    [
        ("at", datetime.datetime(2026, 1, 1), "has no time zone: use an aware datetime"),  # noqa: DTZ001
        ("at", LAST + datetime.timedelta(microseconds=1), "no instant within the years 1 to 9999"),
        ("at", datetime.datetime(1, 1, 1, 1, tzinfo=SUMMER.tzinfo), "no instant within the years 1 to 9999"),
        ("score", math.nan, "cannot hold NaN"),
        ("colour", "BLUE", "'BLUE' is no Colour; allowed are RED, GREEN"),
        ("data", {"x": object()}, "not JSON serializable"),
    ],
)
async def test_what_a_column_cannot_hold_is_an_error_that_teaches(
    things: Database, column: str, value: Any, lesson: str
) -> None:
    def work(uow: UnitOfWork) -> None:
        uow.connection.execute(insert(Thing).values({"id": 1, column: value}))

    with pytest.raises(StatementError, match=lesson):
        await things.transact(work)


async def test_a_nul_is_the_fault_of_whoever_sent_it(things: Database) -> None:
    def work(uow: UnitOfWork) -> None:
        uow.connection.execute(insert(Thing).values({"id": 1, "name": "a\0b"}))

    with pytest.raises(GradbookError, match="has one at position 1: remove it") as error:
        await things.transact(work)
    assert error.value.code == "INVALID_INPUT"


async def test_the_database_checks_enums_too(things: Database) -> None:
    def work(uow: UnitOfWork) -> None:
        uow.connection.exec_driver_sql("INSERT INTO thing (id, colour) VALUES (1, 'BLUE')")

    with pytest.raises(IntegrityError, match="ck_thing_colour"):
        await things.transact(work)


async def test_text_orders_and_compares_bytewise(things: Database) -> None:
    words = ["Zebra", "apfel", "Äpfel", "apfel ", "APFEL", "a-b", "ab", "ﬀ", "世", "😀", "10", "9"]

    def work(uow: UnitOfWork) -> list[str]:
        uow.connection.execute(insert(Thing), [{"id": n, "name": word} for n, word in enumerate(words)])
        return list(uow.connection.execute(select(Thing.name).order_by(Thing.name)).scalars())  # type: ignore[arg-type]

    assert await things.transact(work) == sorted(words, key=str.encode)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)  # SQLite has no other order
async def test_no_column_orders_as_the_server_likes(things: Database) -> None:
    """The tests' server orders bytewise by itself; others do not."""
    rows = await things.read(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND data_type = 'text'"
    )
    assert len(rows) > 20
    assert [row for row in rows if row[2] != "C"] == []


async def test_instants_order_as_they_happened(things: Database) -> None:
    at = [SUMMER + datetime.timedelta(microseconds=step) for step in (0, 1, 999_999, 1_000_000, -1)]

    def work(uow: UnitOfWork) -> list[int]:
        uow.connection.execute(insert(Thing), [{"id": n, "at": when} for n, when in enumerate(at)])
        late = select(Thing.id).where(Thing.at >= SUMMER).order_by(Thing.at)
        return list(uow.connection.execute(late).scalars())

    assert await things.transact(work) == [0, 1, 2, 3]


async def test_json_is_stored_compact_with_its_keys_in_order(things: Database) -> None:
    def work(uow: UnitOfWork) -> None:
        uow.connection.execute(insert(Thing).values(id=1, data={"z": 1, "a": [1, {"é": "ü"}]}))

    await things.transact(work)
    assert await things.read("SELECT data FROM thing") == [('{"z":1,"a":[1,{"é":"ü"}]}',)]


def test_json_text_copies_nothing_without_need() -> None:
    assert json_text({"a": (1.5, "x")}) == '{"a":[1.5,"x"]}'
    assert json_text({"a": [{"b": math.nan}]}) == '{"a":[{"b":"NaN"}]}'


def test_instant_text_is_always_27_characters() -> None:
    assert instant_text(SUMMER) == "2026-07-01T10:00:00.000000Z"
    assert instant_text(FIRST) == "0001-01-01T00:00:00.000001Z"


async def test_ids_are_never_numbered_by_the_database(things: Database) -> None:
    assert Thing.__table__.autoincrement_column is None  # type: ignore[attr-defined]

    def work(uow: UnitOfWork) -> None:
        uow.session.add(Thing(name="without id"))

    with pytest.raises(Exception, match=r"id|primary key"):
        await things.transact(work)


INSERT = Statement(insert(Thing).values({c: bindparam(c) for c in ("id", "name", "colour", "at", "data", "is_new")}))
FIND = Statement(
    select(Thing.id, literal("found").label("found"))
    .where(Thing.name == bindparam("name"), Thing.colour == Colour.RED, Thing.at <= bindparam("at"))
    .where(Thing.is_new.is_(True) | (Thing.name == bindparam("name")))
)


async def test_a_statement_passes_values_through_their_types(things: Database) -> None:
    row = {"id": 5, "name": "x", "colour": Colour.RED, "at": SUMMER, "data": {"a": math.inf}, "is_new": True}

    def work(uow: UnitOfWork) -> None:
        assert uow.fetch(*INSERT.on(uow.dialect, **row)) == []
        assert uow.fetch(*FIND.on(uow.dialect, name="x", at=SUMMER)) == [(5, "found")]

    await things.transact(work)
    assert await things.read(*FIND.on(things.dialect, name="x", at=SUMMER)) == [(5, "found")]
    assert await things.read(*FIND.on(things.dialect, name="y", at=SUMMER)) == []
    assert await things.read("SELECT data FROM thing") == [('{"a":"Infinity"}',)]


async def test_a_statement_says_what_it_takes(things: Database) -> None:
    with pytest.raises(TypeError, match=r"takes \['at', 'name'\], not \['name'\]"):
        FIND.on(things.dialect, name="x")
    with pytest.raises(TypeError, match=r"not.*'nmae'"):
        FIND.on(things.dialect, name="x", at=SUMMER, nmae=1)
    with pytest.raises(TypeError, match="IN of varying length"):
        Statement(select(Thing.id).where(Thing.id.in_(bindparam("ids", expanding=True)))).on(things.dialect, ids=[1])


async def test_to_driver_is_what_the_raw_driver_takes(things: Database) -> None:
    columns = Thing.__table__.c
    on = things.dialect
    at = to_driver(on, columns.at.type, SUMMER)
    assert at == ("2026-07-01T10:00:00.000000Z" if on.name == "sqlite" else SUMMER)
    assert to_driver(on, columns.colour.type, Colour.RED) == "RED"
    assert to_driver(on, columns.data.type, [1.5]) == "[1.5]"
    assert to_driver(on, columns.id.type, 7) == 7
    assert to_driver(on, columns.at.type, None) is None
