"""Drawing worlds and operations for the property test: whatever the schema's text allows, about rows that are there."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
)
from hypothesis import strategies as st

from app.accounts.tables import CredentialKind, Role
from app.annotation.tables import FieldType, QuestionType, RecordStatus, ResponseStatus
from app.db.types import instant_text
from app.graphql.paging import MAX_KEYS
from tests.graphql.oracle import ONES, ORDERS, PREFIXES
from tests.graphql.world import World

T = TypeVar("T")

TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "Ab",
    "b",
    "é",
    "É",
    "ß",
    "中文",
    "日本語テキスト",
    "😀",
    "e\u0301",
    "%",
    "_",
    "'",
    '"',
    "\\",
    "null",
]
ODD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
INSTANTS = [
    datetime.datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=datetime.UTC),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=datetime.UTC),
    datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=datetime.UTC),
    datetime.datetime(2026, 10, 2, 3, 4, 5, 100_000, tzinfo=datetime.UTC),
    datetime.datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=datetime.UTC),
]
FLOATS = [0.0, -0.0, 0.1, 0.1 + 0.2, 1.0, 1e16, 1e-7, 5e-324, 1e22, 1e23, -1.5, 123456789.125, 1.7976931348623157e308]
INTS = [0, 1, -1, 2, 2**31, 2**53 + 1, 10**18 - 1, 10**18, -(2**63), 2**64 - 1]
KEYS = ["a", "b", "a b", "é", "x.y", "n"]
PATHS = ["a", "b", '"a b"', "é", '"x.y"', "n", "n.a", "n[0]", "n[1].a", "a.b.n", "[0]", "[1].a"]
QUESTIONS = ["q", "a b", "é"]


@dataclass
class Draw:
    """Draws by hypothesis, so that a failure is made small."""

    draw: Callable[[st.SearchStrategy[Any]], Any]

    def upto(self, most: int) -> int:
        return int(self.draw(st.integers(0, most)))

    def chance(self, percent: int) -> bool:
        return self.upto(99) >= 100 - percent

    def one(self, items: Sequence[T]) -> T:
        return items[self.upto(len(items) - 1)]

    def text(self) -> str:
        return str(self.draw(ODD)) if self.chance(30) else self.one(TEXTS)

    def number(self) -> float:
        if self.chance(70):
            return self.one(FLOATS)
        return float(self.draw(st.floats(allow_nan=False, allow_infinity=False)))

    def json(self, depth: int = 2) -> Any:
        """Any JSON value but null."""
        kind = self.upto(6 if depth else 4)
        if kind <= 1:
            return self.one(INTS)
        if kind == 2:
            return self.number()
        if kind == 3:
            return self.text()
        if kind == 4:
            return self.chance(50)
        if kind == 5:
            return [None if self.chance(10) else self.json(depth - 1) for _ in range(self.upto(2))]
        return {self.one(KEYS): None if self.chance(10) else self.json(depth - 1) for _ in range(self.upto(3))}

    def maybe(self, value: Callable[[], T]) -> T | None:
        return None if self.chance(25) else value()


# Worlds


def draw_world(d: Draw) -> World:
    """Some rows of every table. The users are 1, 2, ...; the other ids are in no order."""
    world = World()
    users = [_user(d, world, number) for number in range(1, 2 + d.upto(4))]
    workspaces = []
    for number in range(1, 2 + d.upto(2)):
        name = d.text() + str(number)
        workspaces.append(world.add("workspace", id=number * 7 % 5 + 1, name=name, created_at=d.one(INSTANTS)))
    for user in users:
        for workspace in workspaces:
            if d.chance(50):
                world.add("membership", user_id=user, workspace_id=workspace)
    for number in range(d.upto(3)):
        world.add(
            "credential",
            id=number + 1,
            user_id=d.one(users),
            name=d.text(),
            secret_hash=str(number),
            kind=CredentialKind.SESSION if d.chance(20) else CredentialKind.KEY,
            created_at=d.one(INSTANTS),
            expires_at=d.maybe(lambda: d.one(INSTANTS)),
        )
    for number in range(d.upto(3)):
        _dataset(d, world, number + 1, d.one(workspaces), users)
    return world


def _user(d: Draw, world: World, number: int) -> int:
    return world.add(
        "user_account",
        id=number,
        username=d.text() + str(number),
        role=d.one(list(Role)),
        created_at=d.one(INSTANTS),
        deleted_at=d.maybe(lambda: d.one(INSTANTS)),
    )


def _dataset(d: Draw, world: World, number: int, workspace: int, users: list[int]) -> None:
    dataset = world.add(
        "dataset",
        id=number,
        workspace_id=workspace,
        name=d.text() + str(number),
        guidelines=d.maybe(d.text),
        created_at=d.one(INSTANTS),
        updated_at=d.one(INSTANTS),
    )
    for place in range(d.upto(2)):
        names = {"dataset_id": dataset, "name": QUESTIONS[place], "title": d.text(), "position": d.upto(2)}
        world.add("field", id=number * 10 + place, type=d.one(list(FieldType)), required=d.chance(50), **names)
        kind = d.one(list(QuestionType))
        settings = d.json()
        world.add("question", id=number * 10 + 9 - place, type=kind, settings=settings, description=None, **names)
    for place in range(d.upto(7)):
        _record(d, world, number * 100 + place * 7 % 10, dataset, users)


def _record(d: Draw, world: World, number: int, dataset: int, users: list[int]) -> None:
    record = world.add(
        "record",
        id=number,
        dataset_id=dataset,
        external_id=d.maybe(lambda: d.text() + str(number)),
        fields={"text": d.text()},
        metadata=d.maybe(lambda: {d.one(KEYS): d.json() for _ in range(d.upto(3))}),
        status=d.one(list(RecordStatus)),
        submitted_count=d.upto(2),
        inserted_at=d.one(INSTANTS),
        updated_at=d.one(INSTANTS),
    )
    for place, user in enumerate(users):
        if d.chance(50):
            world.add(
                "response",
                id=number * 10 + 9 - place,
                dataset_id=dataset,
                record_id=record,
                user_id=user,
                status=d.one(list(ResponseStatus)),
                values=d.maybe(lambda: {d.one(QUESTIONS): d.json() for _ in range(d.upto(2))}),
                inserted_at=d.one(INSTANTS),
                updated_at=d.one(INSTANTS),
            )
    for place, question in enumerate(QUESTIONS):
        if d.chance(30):
            world.add(
                "suggestion",
                id=number * 10 + 9 - place,
                dataset_id=dataset,
                record_id=record,
                question=question,
                value=d.json(),
                score=d.maybe(d.number),
                agent=d.maybe(d.text),
            )


# Operations

LEFT_OUT = {"agreement", "curves", "trainStatistics", "compareTrainTasks", "recommendParameters"}
"""What is computed in Python, and compared with computations of its own: tests/annotation/test_agreement.py,
tests/training/test_curves.py, tests/api/test_insight.py and tests/api/test_recommendation.py."""

UNKNOWN = {"TrainTask", "AuditEvent"}
"""Types that the oracle knows nothing of."""


@dataclass
class Drawn:
    """An operation in the making. `cursor` makes the cursor of some row of a type, in an order."""

    d: Draw
    schema: GraphQLSchema
    world: World
    cursor: Callable[[str, list[Any]], str | None]
    variables: dict[str, Any] = field(default_factory=dict)
    declared: list[str] = field(default_factory=list)
    fragments: list[str] = field(default_factory=list)
    names: int = 0
    fields: int = 0
    is_shared: bool = False

    def document(self) -> str:
        """The query's text; its variables are in `variables`."""
        assert self.schema.query_type is not None
        body = self.selection(self.schema.query_type, 4)
        head = f"query Q({', '.join(self.declared)})" if self.declared else "query"
        return "\n".join([f"{head} {body}", *self.fragments])

    def selection(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> str:
        """A selection set of one to four selections."""
        d = self.d
        made = [self.select(type_, depth) for _ in range(1 + d.upto(3))]
        if d.chance(15):
            made.append(f"{self.alias(10)}__typename{self.directive()}")
        return "{ " + " ".join(made) + " }"

    def select(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> str:
        d = self.d
        if isinstance(type_, GraphQLInterfaceType) and d.chance(60):
            on = d.one([one for one in self.schema.get_implementations(type_).objects if one.name not in UNKNOWN])
            # Types that share no fields must not answer different things under one name.
            self.is_shared = True
            body = self.selection(on, depth)
            self.is_shared = False
            return f"... on {on.name}{self.directive()} {body}"
        if d.chance(8) and type_.name != "Query":
            return f"... on {type_.name}{self.directive()} {self.selection(type_, depth)}"
        if d.chance(5) and type_.name != "Query":
            self.names += 1
            name = f"F{self.names}"
            body = self.selection(type_, depth)
            self.fragments.append(f"fragment {name} on {type_.name} {body}")
            return f"...{name}{self.directive()}"
        return self.field(type_, depth)

    def field(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> str:
        d = self.d
        self.fields += 1
        deep = depth > 0 and self.fields < 30
        names = [
            name
            for name, item in type_.fields.items()
            if name not in LEFT_OUT
            and get_named_type(item.type).name.removesuffix("Connection") not in UNKNOWN
            and (deep or not isinstance(get_named_type(item.type), GraphQLObjectType | GraphQLInterfaceType))
        ]
        if not names:
            return "__typename"
        name = d.one(names)
        item = type_.fields[name]
        below = get_named_type(item.type)
        arguments = self.arguments(name, item.args, below.name) if item.args else ""
        is_leaf = not isinstance(below, GraphQLObjectType | GraphQLInterfaceType)
        is_shared, self.is_shared = self.is_shared, False
        alias = self.alias(15 if is_leaf and not arguments and (name == "id" or not is_shared) else 100)
        body = ""
        if not is_leaf:
            assert isinstance(below, GraphQLObjectType | GraphQLInterfaceType)
            wraps = below.name.endswith(("Connection", "Edge"))
            body = self.selection(below, depth if wraps else depth - 1)
        self.is_shared = is_shared
        return f"{alias}{name}{arguments}{self.directive()} {body}"

    def alias(self, percent: int) -> str:
        if not self.d.chance(percent):
            return ""
        self.names += 1
        return f"a{self.names}: "

    def directive(self) -> str:
        d = self.d
        if not d.chance(8):
            return ""
        value = "true" if d.chance(50) else "false"
        if d.chance(50):
            value = self.variable("Boolean!", value == "true")
        return f" @{d.one(['skip', 'include'])}(if: {value})"

    def variable(self, type_: str, value: Any) -> str:
        name = f"v{len(self.variables)}"
        self.variables[name] = value
        self.declared.append(f"${name}: {type_}")
        return f"${name}"

    # Arguments

    def arguments(self, name: str, arguments: dict[str, Any], target: str) -> str:
        d = self.d
        values: dict[str, Any] = {}
        if "id" in arguments:
            values["id"] = self.id(None if name == "node" else target)
        elif "ids" in arguments:
            values["ids"] = [self.id(None) for _ in range(d.upto(4))]
        else:
            values = self.page(name, arguments, target.removesuffix("Connection"))
        texts = []
        for key, value in values.items():
            type_ = arguments[key].type
            text = self.variable(str(type_), value) if d.chance(30) else literal(value, type_)
            texts.append(f"{key}: {text}")
        return f"({', '.join(texts)})" if texts else ""

    def page(self, name: str, arguments: dict[str, Any], target: str) -> dict[str, Any]:
        d = self.d
        values: dict[str, Any] = {}
        if d.chance(70):
            values[d.one(["first", "last"])] = d.upto(4)
        if d.chance(40):
            values["where"] = self.where(self.input(arguments["where"].type), 3)
        order = ORDERS.get(("Query", name), [])
        if d.chance(50):
            order = [self.order(self.input(arguments["orderBy"].type)) for _ in range(1 + d.upto(MAX_KEYS - 3))]
            values["orderBy"] = order
        for key in ("after", "before"):
            if d.chance(25) and (text := self.cursor(target, order)) is not None:
                values[key] = text
        return values

    @staticmethod
    def input(type_: Any) -> GraphQLInputObjectType:
        named = get_named_type(type_)
        assert isinstance(named, GraphQLInputObjectType)
        return named

    def order(self, type_: GraphQLInputObjectType) -> dict[str, Any]:
        d = self.d
        made: dict[str, Any] = {"direction": d.one(["ASC", "DESC"])}
        if "json" in type_.fields and d.chance(30):
            made["json"] = {"path": d.one(PATHS), "as": d.one(["FLOAT", "INT", "TEXT", "BOOL"])}
        else:
            fields = type_.fields["field"].type
            assert isinstance(fields, GraphQLEnumType)
            made["field"] = d.one(list(fields.values))
        return made

    def where(self, type_: GraphQLInputObjectType, depth: int) -> dict[str, Any]:
        """A condition of up to three members."""
        d = self.d
        made: dict[str, Any] = {}
        for _ in range(d.upto(3)):
            name = d.one(list(type_.fields))
            inner = type_.fields[name].type
            named = get_named_type(inner)
            if d.chance(5):
                made[name] = None
            elif isinstance(inner, GraphQLList):
                made[name] = [self.where(self.input(named), depth - 1) for _ in range(d.upto(2))] if depth else []
            elif named.name.endswith("ListFilter"):
                quantity = d.one(["some", "none"])
                below = self.input(self.input(named).fields[quantity].type)
                made[name] = {quantity: self.where(below, depth - 1)} if depth else {}
            elif name == "not":
                made[name] = self.where(self.input(named), depth - 1) if depth else {}
            else:
                made[name] = self.tests(type_.name.removesuffix("Where"), name, self.input(named))
        return made

    def tests(self, entity: str, name: str, type_: GraphQLInputObjectType) -> dict[str, Any]:
        """One or two comparisons of a filter."""
        d = self.d
        made: dict[str, Any] = {}
        for key, item in type_.fields.items():
            if isinstance(item.type, GraphQLNonNull):
                made[key] = d.one(PATHS if key == "path" else QUESTIONS)
        for _ in range(1 + d.upto(1)):
            key = d.one([key for key in type_.fields if key not in made] or list(type_.fields))
            inner = type_.fields[key].type
            named = get_named_type(inner)
            if isinstance(named, GraphQLInputObjectType):
                made[key] = self.tests(entity, name, named)
            elif key == "path":
                made[key] = d.one(PATHS)
            elif key not in made:
                several = isinstance(inner, GraphQLList)
                values = [self.operand(entity, name, type_.name, key) for _ in range(d.upto(3) if several else 1)]
                made[key] = values if several else values[0]
        return made

    def operand(self, entity: str, name: str, filter: str, operator: str) -> Any:
        d = self.d
        if operator == "isNull" or filter == "BooleanFilter":
            return d.chance(50)
        if filter == "IdFilter":
            return self.id(ONES.get((entity, name), (entity, ""))[0])
        if filter == "DateTimeFilter":
            return instant_text(d.one(INSTANTS))
        if filter == "IntFilter":
            return d.one([0, 1, 2, -1, 2**31 - 1])
        if filter == "FloatFilter":
            return d.one([*FLOATS, 0, 1, 2.5])
        if filter == "TextFilter":
            return d.text()
        enum = get_named_type(self.input(self.schema.type_map[filter]).fields["eq"].type)
        assert isinstance(enum, GraphQLEnumType)
        return d.one(list(enum.values))

    def id(self, type_name: str | None) -> str:
        """The id of a row, or of none."""
        d = self.d
        name = type_name or d.one(list(PREFIXES))
        table = {"User": "user_account", "ApiKey": "credential"}.get(name, name.lower())
        ids = [row["id"] for row in self.world.rows.get(table, ())]
        return f"{PREFIXES[name]}_{d.one(ids) if ids and d.chance(90) else 999_999}"


def literal(value: Any, type_: Any) -> str:
    """A value as the document spells it."""
    named = get_named_type(type_)
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(literal(item, named) for item in value)}]"
    if isinstance(value, dict):
        assert isinstance(named, GraphQLInputObjectType)
        return "{" + ", ".join(f"{key}: {literal(item, named.fields[key].type)}" for key, item in value.items()) + "}"
    if isinstance(named, GraphQLEnumType):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """A text as GraphQL quotes it: as JSON, but for what GraphQL's grammar refuses bare."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
