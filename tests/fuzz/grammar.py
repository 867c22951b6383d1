"""Operations drawn from the schema's grammar: what it allows, with values from the edges of what may be said.

Unlike tests.graphql.drawing, which draws what an oracle can answer, this goes by the types alone: it knows every field,
argument and filter that there is and will be, and minds no rule that the schema does not say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
)

from app.db.types import instant_text
from tests.graphql.drawing import FLOATS, INSTANTS, INTS, PATHS, QUESTIONS, TEXTS, Draw

METRICS = ["loss", "eval/loss", "", "中文 😀", 'a"b\\c', "l" * 100]
MAX_FIELDS = 24
PREFIXES = {"ApiKey": "key", "AuditEvent": "aud", "Dataset": "dst", "Field": "fld", "Metric": "mtr",
            "Question": "qst", "Record": "rec", "Response": "rsp", "Snapshot": "snp", "Suggestion": "sug",
            "TrainTask": "tsk", "User": "usr", "Workspace": "wsp"}  # fmt: skip
ABOUT = {"clonedFrom": "TrainTask", "retryOf": "TrainTask", "createUser": "User", "Creator": "User",
         "Curve": "TrainTask", "TrainComparison": "TrainTask"}  # fmt: skip
"""What else is said of rows of a type: conditions on relations, arguments of fields."""

MAX_DEPTH = 5
MAX_WHERE = 3

ODD_TEXTS = [
    *TEXTS,
    "\0",
    "a\0b",
    "\ud800",
    "\udfff\ud800",
    "\ufeff",
    "\u2028",
    "\x7f\x01\x1f",
    "x" * 300,
    "%" * 50,
    "NaN",
    "\ue000",
    "\U0010ffff",
    "' OR 1=1 --",
    "${v0}",
    "\u202e\u0644\u0627",
    "\r\n\t",
]
GOOD_INTS = [0, 1, 1, 2, 3, 5, 50]
ODD_INTS = [0, 0, 1, 1, 2, 3, 5, 50, 499, 500, 501, -1, 2**31 - 1, -(2**31), 2**31, 2**53 - 1, 2**53 + 1, 2**63, 10**40]
ODD_FLOATS = [*FLOATS, -5e-324, -1.7976931348623157e308, 1e-300, 0, 1, -1, 2**53 + 1, 2**63, 10**30, 10**309]
GOOD_INSTANTS = [*map(instant_text, INSTANTS), "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000001+02:00"]
ODD_INSTANTS = [
    *GOOD_INSTANTS,
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999999-23:59",
    "1969-12-31T23:59:59.999999Z",
    "2026-02-30T00:00:00Z",
    "2026-01-02T24:00:00Z",
    "2026-01-02T23:59:60Z",
    "2026-01-02",
    "20260102T030405Z",
    "2026-W01-1T00:00:00Z",
    "2026-01-02T03:04:05.123456789Z",
    "2026-01-02T03:04:05,5Z",
    "٢٠٢٦-01-02T03:04:05Z",
    "now",
    "",
]
ODD_IDS = ["", "_", "rec_", "rec_0", "rec_-1", "rec_١", "REC_1", "rec_9223372036854775807", "rec_9223372036854775808",
           "rec_" + "9" * 60, "xyz_1", "rec_1 ", "rec_1\0", "\ud800_1", "tsk_00000000-0000-0000-0000-000000000000",
           "00000000-0000-0000-0000-000000000000", "😀_1", "rec_1_1", "rec_1e3", "rec_0x1", "1"]  # fmt: skip
ODD_PATHS = [*PATHS, "", ".", "a.", ".a", "a..b", "a[", "a[]", "a[-1]", "a[99999999999999999999]", "$.a", "a[*]", "a b"]
ODD_PATHS += [
    "a" * 200,
    ".".join("a" * 60),
    "[0]" * 60,
    '"',
    '"a',
    '""',
    '"a\\"b"',
    "'",
    "a'b",
    "\0",
    "\ud800",
    "😀",
    "?",
    "$1",
]


COMPARED = {"eq", "ne", "in", "notIn", "gt", "gte", "lt", "lte", "contains", "startsWith"}


class Word(str):
    """What stands in a document without quotes: the name of an enum's value."""

    __slots__ = ()


class Use(str):
    """A variable in the place of a value: its name with the dollar."""

    __slots__ = ()


@dataclass
class Asked:
    """What there is to ask for: ids and cursors of lists in the order of ids, by prefix; values, by fields' names."""

    ids: dict[str, list[str]]
    cursors: dict[str, list[str]]
    values: dict[str, list[Any]]


ASKED = Asked({}, {}, {})
"""What there is in the databases of this run; whoever fills them says so here, before anything is drawn."""

SCHEMA: GraphQLSchema = build_schema((Path(__file__).parents[2] / "schema.graphql").read_text())
"""As its text says, without our resolvers."""


class Operation(NamedTuple):
    """A document and its variables."""

    query: str
    variables: dict[str, Any]


@dataclass
class Grammar:
    """One document in the making. Its variables are in `variables`."""

    d: Draw
    variables: dict[str, Any] = field(default_factory=dict)
    declared: list[str] = field(default_factory=list)
    fragments: list[str] = field(default_factory=list)
    names: int = 0
    fields: int = 0
    is_shared: bool = False
    is_odd: bool = False
    """Whether its values may be what the schema or the server refuse; else nearly all of them are good."""
    most_fields: int = MAX_FIELDS
    wanted: str = ""
    """The type of the thing that `node` was asked for."""
    tested: str = ""
    """The field that a condition is on."""

    def document(self, depth: int) -> str:
        """The text of one query and its fragments."""
        assert SCHEMA.query_type is not None
        body = self.selection(SCHEMA.query_type, depth)
        variables = f"({', '.join(self.declared)})" if self.declared else ""
        head = f"query {self.d.one(['', 'Q', 'query', 'on'])}{variables}"
        parts = [f"{head} {body}", *self.fragments]
        if self.d.chance(30):
            parts.reverse()
        return self.d.one(["\n", " ", "\r\n#\n", ",,"]).join(parts)

    # Selections

    def selection(self, type_: GraphQLNamedType, depth: int) -> str:
        d = self.d
        if not isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            return ""
        made = [self.select(type_, depth) for _ in range(1 + d.upto(3))]
        if type_.name.endswith("Connection") and d.chance(70):
            made.append(self.named_field(type_, d.one(["nodes", "edges"]), depth))
        # Without the type's name nobody could tell what the rest is to be.
        if isinstance(type_, GraphQLInterfaceType):
            made.insert(0, "__typename")
        return "{ " + " ".join(made) + " }"

    def select(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> str:
        d = self.d
        if self.fields >= self.most_fields:
            return self.field(type_, 0)
        kind = d.upto(99)
        if isinstance(type_, GraphQLInterfaceType) and kind < 80:
            on: GraphQLNamedType = d.one(list(SCHEMA.get_implementations(type_).objects))
            if self.wanted and d.chance(90):
                on = SCHEMA.type_map[self.wanted]
            is_shared, self.is_shared = self.is_shared, True
            body = self.selection(on, depth)
            self.is_shared = is_shared
            return f"... on {on.name}{self.directives()} {body}"
        if kind < 75:
            return self.field(type_, depth)
        if kind < 80:
            return f"{self.alias(20)}__typename{self.directives()}"
        wider = [type_, *type_.interfaces]
        if kind < 90:
            on = d.one(wider)
            condition = f"on {on.name}" if d.chance(80) or on is not type_ else ""
            return f"... {condition}{self.directives()} {self.selection(on, depth)}"
        return self.spread(d.one(wider), depth)

    def spread(self, type_: GraphQLNamedType, depth: int) -> str:
        """A fragment of its own, spread once or twice."""
        self.names += 1
        name = f"F{self.names}"
        body = self.selection(type_, depth)
        self.fragments.append(f"fragment {name} on {type_.name} {body}")
        return f"...{name}{self.directives()}" + (f" ...{name}" if self.d.chance(20) else "")

    def field(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> str:
        d = self.d
        self.fields += 1
        leaves = [name for name, item in type_.fields.items() if not _has_selection(item)]
        names = [name for name in type_.fields if name not in leaves]
        if depth <= 0 or self.fields >= self.most_fields or not names or (leaves and d.chance(40)):
            names = leaves
        return self.named_field(type_, d.one(names), depth) if names else "__typename"

    def named_field(self, type_: GraphQLObjectType | GraphQLInterfaceType, name: str, depth: int) -> str:
        d = self.d
        item = type_.fields[name]
        below = get_named_type(item.type)
        if isinstance(below, GraphQLInterfaceType):
            self.wanted = d.one([name for name, prefix in PREFIXES.items() if prefix in ASKED.ids])
        wraps = below.name.endswith(("Connection", "Edge", "Payload"))
        arguments = self.arguments(item.args, below)
        is_shared, self.is_shared = self.is_shared, False
        body = self.selection(below, depth if wraps else depth - 1)
        self.is_shared = is_shared
        # What has arguments or a selection, and types that share no fields, would contradict each other under one name.
        alias = self.alias(98 if arguments or body or is_shared else 10)
        return f"{alias}{name}{arguments}{self.directives()} {body}"

    def alias(self, percent: int) -> str:
        if not self.d.chance(percent):
            return ""
        self.names += 1
        return f"a{self.names}: "

    def directives(self) -> str:
        d = self.d
        if not d.chance(5):
            return ""
        value = d.chance(50)
        text = self.variable(d.one(["Boolean!", "Boolean!", "Boolean! = true"]), value) if d.chance(50) else value
        return f" @{d.one(['skip', 'include'])}(if: {literal(text)})"

    # Arguments and values

    def arguments(self, arguments: Mapping[str, GraphQLArgument], target: GraphQLNamedType) -> str:
        d, likely = self.d, {"first": 40, "after": 20, "before": 20, "last": 25, "orderBy": 40, "where": 30}
        chosen = {
            name
            for name, argument in arguments.items()
            if isinstance(argument.type, GraphQLNonNull) or d.chance(likely.get(name, 30))
        }
        if not self.odd(50):
            # What is right on its own only.
            chosen -= {"first"} if "last" in chosen else set()
            chosen -= {"after", "before"} if "orderBy" in chosen else set()
        texts = [
            f"{name}: {literal(self.place(argument.type, name, target))}"
            for name, argument in arguments.items()
            if name in chosen
        ]
        return f"({', '.join(texts)})" if texts else ""

    def place(self, type_: Any, name: str, target: GraphQLNamedType) -> Any:
        """A value, or a variable that has it."""
        d = self.d
        value = self.value(type_, name, MAX_WHERE, target)
        if not d.chance(30):
            return value
        declared = str(type_)
        if not declared.endswith("!") and d.chance(20):
            declared += "!"
        elif d.chance(15):
            declared = f"{declared.removesuffix('!')} = {literal(value)}"
            value = d.one([value, None]) if not isinstance(type_, GraphQLNonNull) else value
        return self.variable(declared, value)

    def variable(self, type_: str, value: Any) -> Use:
        name = f"v{len(self.variables)}"
        self.variables[name] = value
        self.declared.append(f"${name}: {type_}")
        return Use(f"${name}")

    def value(self, type_: Any, name: str, depth: int, target: GraphQLNamedType | None = None) -> Any:
        """A value of the type, or at times null."""
        d = self.d
        if isinstance(type_, GraphQLNonNull):
            return self.value(type_.of_type, name, depth, target) if not self.odd(3) else None
        if self.odd(10):
            return None
        if isinstance(type_, GraphQLList):
            if d.chance(5):
                return self.value(type_.of_type, name, depth, target)
            return [self.value(type_.of_type, name, depth, target) for _ in range(d.one([0, 1, 1, 2, 2, 3, 12]))]
        if isinstance(type_, GraphQLEnumType):
            return Word(d.one(list(type_.values)))
        if isinstance(type_, GraphQLInputObjectType):
            return self.object(type_, depth, target)
        return self.scalar(type_.name, name, target)

    def odd(self, percent: int) -> bool:
        """Whether something odd is to be said here."""
        return self.is_odd and self.d.chance(percent)

    def object(self, type_: GraphQLInputObjectType, depth: int, target: GraphQLNamedType | None) -> dict[str, Any]:
        d = self.d
        needed = {name for name, item in type_.fields.items() if isinstance(item.type, GraphQLNonNull)}
        if type_.name.endswith("Order") and not self.odd(30):
            wanted = {"direction", d.one([name for name in type_.fields if name != "direction"])}
        elif type_.is_one_of:
            wanted = {d.one(list(type_.fields))}
        else:
            names = [name for name in type_.fields if depth > 1 or name not in {"and", "or", "not"}]
            wanted = {d.one(names) for _ in range(1 + d.upto(1) if depth > -1 else 0)}
        made = {}
        for name, item in type_.fields.items():
            if name in wanted or name in needed:
                # A condition on `dataset` is about datasets, one on a record's `id` about records.
                about = type_.name.removesuffix("Where") if name == "id" else name[0].upper() + name[1:]
                about = ABOUT.get(name, about)
                inner = SCHEMA.type_map[about] if about in PREFIXES else target
                if type_.name.endswith("Where") or type_.name in {"QuestionFilter", "SuggestionFilter"}:
                    self.tested = name
                made[name] = self.value(item.type, name, depth - 1, inner)
        return made

    def scalar(self, type_name: str, name: str, target: GraphQLNamedType | None) -> Any:
        d = self.d
        if type_name == "ID":
            return self.id(target)
        if name in COMPARED and self.tested in ASKED.values and d.chance(60):
            return d.one(ASKED.values[self.tested])
        if type_name in {"Int", "SafeInt"}:
            return d.one(ODD_INTS + INTS) if self.odd(30) else d.one(GOOD_INTS)
        if type_name == "Float":
            return d.one(ODD_FLOATS) if self.odd(50) else d.number()
        if type_name == "Boolean":
            return d.chance(50)
        if type_name == "DateTime":
            return d.one(ODD_INSTANTS if self.odd(50) else GOOD_INSTANTS)
        if type_name == "String":
            return self.text(name, target)
        return d.json()

    def text(self, name: str, target: GraphQLNamedType | None) -> str:
        """A text that fits its name, or an odd one."""
        d = self.d
        if name in {"after", "before"}:
            return self.cursor(target)
        fitting = {
            "path": PATHS,
            "metric": METRICS,
            "metrics": METRICS,
            "question": QUESTIONS,
            "search": ["war", "the peace", "天", "道 德", "e", "loss AND", '"', "*", "a:b", "NEAR(a b)", "-a"],
        }
        if name in fitting and not self.odd(40):
            return d.one(fitting[name])
        return d.one(ODD_PATHS) if name == "path" else d.one(ODD_TEXTS) if self.odd(60) else d.text()

    def cursor(self, target: GraphQLNamedType | None) -> str:
        """A cursor of a list's, or what is none of it."""
        d, prefix = self.d, PREFIXES.get(target.name.removesuffix("Connection")) if target else None
        fits = prefix in ASKED.cursors and d.chance(30 if self.is_odd else 95)
        text = d.one(ASKED.cursors[prefix if fits and prefix else d.one(list(ASKED.cursors))])
        if not self.odd(60):
            return text
        if self.odd(30):
            return d.one(ODD_TEXTS)
        place = d.upto(len(text) - 1)
        new = d.one(["", "A", "=", "-", "\0", "é", "0", "z", text[place] * 2])
        return text[:place] + new + text[place + 1 :]

    def id(self, target: GraphQLNamedType | None) -> str:
        d = self.d
        if self.odd(30):
            return d.one(ODD_IDS)
        prefix = None
        if target and not self.odd(20):
            about = ABOUT.get(target.name, target.name)
            prefix = PREFIXES[self.wanted] if about == "Node" and d.chance(95) else PREFIXES.get(about)
        return d.one(ASKED.ids.get(prefix or "") or ASKED.ids[d.one(list(ASKED.ids))])


def operation(d: Draw) -> Operation:
    """One query and its variables."""
    grammar = Grammar(d, is_odd=d.chance(10))
    return Operation(grammar.document(MAX_DEPTH), grammar.variables)


def odd_operation(d: Draw) -> Operation:
    """A small query with many arguments, of which some are likely to be refused."""
    grammar = Grammar(d, is_odd=True, most_fields=2)
    return Operation(grammar.document(1), grammar.variables)


def _has_selection(item: GraphQLField) -> bool:
    return isinstance(get_named_type(item.type), GraphQLObjectType | GraphQLInterfaceType)


def literal(value: Any) -> str:
    """A value as a document spells it."""
    if isinstance(value, Word | Use):
        return str(value)
    if isinstance(value, dict):
        # JSON has keys that are no names: those are left to variables.
        pairs = [f"{key}: {literal(item)}" for key, item in value.items() if key.isidentifier() and key.isascii()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value)
