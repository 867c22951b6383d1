"""An independent answer: graphql-core completes plain objects, with rules of its own for scope, filters and paging.

Nothing here comes from the engine but the cursor's tag. The schema is read from its text, so that none of the engine's
types, inputs or resolvers take part.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema, execute_sync, parse

from app.accounts.tables import CredentialKind, Role
from app.accounts.viewer import Viewer
from app.annotation.tables import RecordStatus, ResponseStatus
from app.db.functions import float_text
from app.db.types import instant_text
from app.graphql.entity import Entity
from app.graphql.paging import order_tag, parse_order
from tests.graphql.asking import SECRET

PREFIXES = {
    "User": "usr",
    "Workspace": "wsp",
    "ApiKey": "key",
    "Dataset": "dst",
    "Field": "fld",
    "Question": "qst",
    "Record": "rec",
    "Response": "rsp",
    "Suggestion": "sug",
}
TYPES = {**{name: name for name in PREFIXES}, "Credential": "ApiKey"}
"""GraphQL type by class."""

COLUMNS = {"metadata": "metadata_"}
ONES = {
    ("Dataset", "workspace"): ("Workspace", "workspace_id"),
    ("Record", "dataset"): ("Dataset", "dataset_id"),
    ("Response", "user"): ("User", "user_id"),
    ("Response", "record"): ("Record", "record_id"),
    ("Suggestion", "record"): ("Record", "record_id"),
    ("ApiKey", "user"): ("User", "user_id"),
}
MANY: dict[tuple[str, str], tuple[str, str]] = {
    ("Dataset", "fields"): ("Field", "dataset_id"),
    ("Dataset", "questions"): ("Question", "dataset_id"),
    ("Dataset", "records"): ("Record", "dataset_id"),
    ("Record", "responses"): ("Response", "record_id"),
    ("Record", "suggestions"): ("Suggestion", "record_id"),
    ("User", "apiKeys"): ("ApiKey", "user_id"),
}
PLAIN = {
    ("Dataset", "fields"): "position",
    ("Dataset", "questions"): "position",
    ("Record", "suggestions"): "id",
    ("User", "workspaces"): "name",
}
"""Lists that are no connections, and what they are ordered by."""

ORDERS: dict[tuple[str, str], list[Any]] = {
    ("Query", "workspaces"): [{"field": "NAME", "direction": "ASC"}],
}


@dataclass
class Listed:
    """A connection's arguments and rows."""

    type_name: str
    rows: list[Any]
    arguments: Mapping[str, Any]


@dataclass
class Oracle:
    """Answers queries about loaded rows; `rows` are objects by class name."""

    schema: GraphQLSchema
    entities: Mapping[str, Entity]
    rows: Mapping[str, Sequence[Any]]
    viewer: Viewer

    def ask(self, query: str, variables: Mapping[str, Any]) -> Any:
        """The data."""
        result = execute_sync(
            self.schema,
            parse(query),
            variable_values=dict(variables),
            field_resolver=self._resolve,
            type_resolver=lambda value, _info, _type: TYPES[type(value).__name__],
        )
        assert not result.errors, [(error.message, error.path, error.original_error) for error in result.errors]
        return result.data

    # Fields

    def _resolve(self, source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        type_name, name = info.parent_type.name, info.field_name
        if isinstance(source, Listed):
            return Lister(self, source).part(name)
        if isinstance(source, Mapping):
            return source[name]
        if type_name == "Query":
            return self._root(name, arguments, info.return_type)
        if (type_name, name) in ONES:
            target, key = ONES[type_name, name]
            return self._seen(target, getattr(source, key))
        if (type_name, name) == ("Record", "myResponse"):
            mine = (row for row in self._below("Record", "responses", source) or [] if row.user_id == self.viewer.id)
            return next(mine, None)
        if (type_name, name) == ("Dataset", "progress"):
            return self._progress(source)
        if (type_name, name) == ("Dataset", "annotators"):
            return self._annotators(source)
        if isinstance(info.return_type, GraphQLObjectType) or self._below(type_name, name, source) is not None:
            return self._list(type_name, name, self._below(type_name, name, source) or [], arguments)
        return self.value(source, name)

    def _root(self, name: str, arguments: Mapping[str, Any], type_: Any) -> Any:
        if name == "viewer":
            return self._seen("User", self.viewer.id)
        if name in ("node", "nodes"):
            found = [self._node(text) for text in arguments.get("ids", [arguments.get("id")])]
            return found if name == "nodes" else found[0]
        if "id" in arguments:
            return self._seen(type_.name, number_of(arguments["id"]))
        target = str(type_.of_type.name).removesuffix("Connection")
        return self._list("Query", name, self.visible(target), arguments)

    def _node(self, id: str) -> Any:
        kind = next(name for name, prefix in PREFIXES.items() if id.startswith(prefix + "_"))
        return self._seen(kind, number_of(id))

    def _list(self, type_name: str, name: str, rows: list[Any], arguments: Mapping[str, Any]) -> Any:
        if (type_name, name) in PLAIN:
            return sorted(rows, key=lambda row: (getattr(row, PLAIN[type_name, name]), row.id))
        target = TYPES[type(rows[0]).__name__] if rows else ""
        default = ORDERS.get((type_name, name), [])
        return Listed(target, rows, {**arguments, "orderBy": arguments.get("orderBy") or default})

    def _below(self, type_name: str, name: str, source: Any) -> list[Any] | None:
        """The visible rows of a relation."""
        if (type_name, name) in MANY:
            target, key = MANY[type_name, name]
            return [row for row in self.visible(target) if getattr(row, key) == source.id]
        if (type_name, name) == ("Workspace", "members"):
            members = {row.user_id for row in self.rows["Membership"] if row.workspace_id == source.id}
            return [row for row in self.visible("User") if row.id in members]
        if (type_name, name) == ("User", "workspaces"):
            joined = {row.workspace_id for row in self.rows["Membership"] if row.user_id == source.id}
            return [row for row in self.visible("Workspace") if row.id in joined]
        return None

    def _progress(self, dataset: Any) -> dict[str, int]:
        records = [row for row in self.visible("Record") if row.dataset_id == dataset.id]
        completed = sum(row.status is RecordStatus.COMPLETED for row in records)
        return {"total": len(records), "completed": completed, "pending": len(records) - completed}

    def _annotators(self, dataset: Any) -> list[dict[str, Any]]:
        responses = [row for row in self.visible("Response") if row.dataset_id == dataset.id]
        return [
            {"user": self._seen("User", user)}
            | {
                status.name.lower(): sum(row.user_id == user and row.status is status for row in responses)
                for status in ResponseStatus
            }
            for user in sorted({row.user_id for row in responses})
        ]

    def value(self, row: Any, name: str) -> Any:
        """A scalar as JSON has it."""
        type_name = TYPES[type(row).__name__]
        if name == "id":
            return f"{PREFIXES[type_name]}_{row.id}"
        value = getattr(row, COLUMNS.get(name, re.sub("([A-Z])", lambda match: "_" + match[1].lower(), name)))
        if isinstance(value, datetime.datetime):
            return instant_text(value)
        return getattr(value, "name", value)

    # Scope

    def visible(self, type_name: str) -> list[Any]:
        """The rows of a type that the viewer sees."""
        cls = "Credential" if type_name == "ApiKey" else type_name
        return [row for row in self.rows[cls] if self._sees(type_name, row)]

    def _seen(self, type_name: str, id: int) -> Any:
        return next((row for row in self.visible(type_name) if row.id == id), None)

    def _workspaces(self, user: int) -> set[int]:
        return {row.workspace_id for row in self.rows["Membership"] if row.user_id == user}

    def _sees(self, type_name: str, row: Any) -> bool:
        me, is_owner = self.viewer.id, self.viewer.role is Role.OWNER
        if type_name == "Workspace":
            return is_owner or row.id in self._workspaces(me)
        if type_name == "User":
            is_mine = self.viewer.role is Role.ADMIN and bool(self._workspaces(me) & self._workspaces(row.id))
            return is_owner or row.id == me or is_mine
        if type_name == "ApiKey":
            if row.kind is not CredentialKind.KEY:
                return False
            user = next(user for user in self.rows["User"] if user.id == row.user_id)
            is_annotators = user.role is Role.ANNOTATOR and self._sees("User", user)
            return is_owner or user.id == me or (self.viewer.role is Role.ADMIN and is_annotators)
        if type_name == "Dataset":
            return is_owner or row.workspace_id in self._workspaces(me)
        if type_name in ("Field", "Question", "Record"):
            return self._seen("Dataset", row.dataset_id) is not None
        if type_name == "Response" and self.viewer.role is Role.ANNOTATOR and row.user_id != me:
            return False
        return self._seen("Record", row.record_id) is not None

    # Conditions

    def holds(self, row: Any, where: Mapping[str, Any] | None) -> bool:
        """Whether a condition holds for a row."""
        return all(self._member(row, name, value) for name, value in (where or {}).items() if value is not None)

    def _member(self, row: Any, name: str, value: Any) -> bool:
        type_name = TYPES[type(row).__name__]
        if name == "and":
            return all(self.holds(row, part) for part in value)
        if name == "or":
            return any(self.holds(row, part) for part in value)
        if name == "not":
            return not self.holds(row, value)
        if name == "answers":
            return json_holds(at((row.values or {}).get(value["question"]), value.get("path") or ""), value)
        if type_name == "Suggestion" and name == "value":
            return json_holds(at(row.value, value.get("path") or ""), value)
        if name == "metadata":
            return json_holds(at(row.metadata_, value["path"]), value)
        below = self._below(type_name, name, row)
        if below is not None:
            some = value.get("some") is None or any(self.holds(item, value["some"]) for item in below)
            none = value.get("none") is None or not any(self.holds(item, value["none"]) for item in below)
            return some and none
        if (type_name, name) in ONES:
            target, key = ONES[type_name, name]
            return test(f"{PREFIXES[target]}_{getattr(row, key)}", value)
        return test(self.value(row, name), value)


def number_of(id: str) -> int:
    """The number of an id."""
    return int(id.split("_")[1])


def at(value: Any, path: str) -> Any:
    """What stands at a path of simple and quoted keys and indexes."""
    for key, quoted, index in re.findall(r'([^.\[\]"]+)|"([^"]*)"|\[(\d+)\]', path):
        if index and not key:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
        else:
            value = value.get(key or quoted) if isinstance(value, dict) else None
    return value


KINDS: dict[str, Callable[[Any], bool]] = {
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18,
    "text": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
}


def of_kind(value: Any, kind: str) -> Any:
    """The value if it is of the kind."""
    if not KINDS[kind](value):
        return None
    return float(value) if kind == "float" else value


def in_metadata(path: str, kind: str, row: Any) -> Any:
    """A record's value of a kind at a path."""
    return of_kind(at(row.metadata_, path), kind)


def json_holds(value: Any, tests: Mapping[str, Any]) -> bool:
    """Whether tests by kind hold for a JSON value."""
    for kind, what in tests.items():
        if what is None or kind in ("path", "question"):
            continue
        if kind == "isNull":
            if (value is None) != what:
                return False
        elif not test(of_kind(value, kind), what):
            return False
    return True


def lower(text: str) -> str:
    """Folds A to Z."""
    return re.sub("[A-Z]", lambda match: match[0].lower(), text)


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, other: value == other,
    "in": lambda value, other: value in other,
    "gt": lambda value, other: value > other,
    "gte": lambda value, other: value >= other,
    "lt": lambda value, other: value < other,
    "lte": lambda value, other: value <= other,
    "contains": lambda value, other: lower(other) in lower(value),
    "startsWith": lambda value, other: value.startswith(other),
}


def test(value: Any, tests: Mapping[str, Any]) -> bool:
    """Whether all comparisons hold; without a value only the negative ones do."""
    for name, other in tests.items():
        if name == "isNull":
            holds = (value is None) == other
        elif name in ("ne", "notIn"):
            holds = value is None or not COMPARISONS[{"ne": "eq", "notIn": "in"}[name]](value, other)
        else:
            holds = value is not None and COMPARISONS[name](value, other)
        if not holds:
            return False
    return True


@dataclass
class Key:
    """One order key: how to get a row's value, which way, and how a cursor spells the value."""

    value: Callable[[Any], Any]
    descending: bool
    is_float: bool = False

    def text(self, row: Any) -> str:
        value = self.value(row)
        if value is None:
            return "null"
        return str(float_text(value)) if self.is_float else orjson.dumps(value).decode()


class Lister:
    """One connection's parts."""

    def __init__(self, oracle: Oracle, listed: Listed) -> None:
        self.oracle = oracle
        self.arguments = listed.arguments
        self.type_name = listed.type_name
        self.keys = order_keys(oracle, self.arguments["orderBy"])
        rows = [row for row in listed.rows if oracle.holds(row, self.arguments.get("where"))]
        self.rows = sorted(rows, key=functools.cmp_to_key(lambda a, b: self._compare(self._at(a), self._at(b))))
        self.after = self._position("after")
        self.before = self._position("before")
        self.page = self._window()
        first, last = self.arguments.get("first"), self.arguments.get("last")
        self.backward = last is not None
        self.size = last if last is not None else 50 if first is None else first
        self.more = len(self.page) > self.size
        self.page = self.page[len(self.page) - self.size :] if self.backward and self.more else self.page[: self.size]

    def part(self, name: str) -> Any:
        if name == "totalCount":
            return len(self.rows)
        if name == "nodes":
            return self.page
        if name == "edges":
            return [{"cursor": self._cursor(row), "node": row} for row in self.page]
        preceding = self.after is not None and any(self._compare(self._at(row), self.after) <= 0 for row in self.rows)
        following = self.before is not None and any(self._compare(self._at(row), self.before) >= 0 for row in self.rows)
        return {
            "hasNextPage": following or (self.more and not self.backward),
            "hasPreviousPage": preceding or (self.more and self.backward),
            "startCursor": self._cursor(self.page[0]) if self.page else None,
            "endCursor": self._cursor(self.page[-1]) if self.page else None,
        }

    def _window(self) -> list[Any]:
        return [
            row
            for row in self.rows
            if (self.after is None or self._compare(self._at(row), self.after) > 0)
            and (self.before is None or self._compare(self._at(row), self.before) < 0)
        ]

    def _at(self, row: Any) -> list[Any]:
        return [key.value(row) for key in self.keys]

    def _compare(self, one: list[Any], other: list[Any]) -> int:
        for key, a, b in zip(self.keys, one, other, strict=True):
            if a == b:
                continue
            if a is None or b is None:
                return 1 if a is None else -1
            return (1 if a > b else -1) * (-1 if key.descending else 1)
        return 0

    def _position(self, name: str) -> list[Any] | None:
        text = self.arguments.get(name)
        return None if text is None else orjson.loads(bytes.fromhex(text[:-16]))[1:]

    def _cursor(self, row: Any) -> str:
        return cursor(self.oracle, self.type_name, self.arguments["orderBy"], row)


def order_keys(oracle: Oracle, order: Sequence[Any]) -> list[Key]:
    """The keys of an `orderBy`, up to the id, which comes last."""
    keys: list[Key] = []
    descending = False
    for item in order:
        descending = item["direction"] == "DESC"
        if item.get("field") == "ID":
            break
        if item.get("json") is not None:
            path, kind = item["json"]["path"], item["json"]["as"].lower()
            keys.append(Key(functools.partial(in_metadata, path, kind), descending, kind == "float"))
        else:
            name = re.sub("_(.)", lambda match: match[1].upper(), item["field"].lower())
            keys.append(Key(functools.partial(oracle.value, name=name), descending, name == "score"))
    return [*keys, Key(lambda row: row.id, descending)]


def cursor(oracle: Oracle, type_name: str, order: Sequence[Any], row: Any) -> str:
    """The cursor of a row: hex of `[tag, key, ..., id]`, and the first 16 digits of SHA-256 of secret and array."""
    texts = [key.text(row) for key in order_keys(oracle, order)]
    body = f'["{tag(oracle, type_name, order)}",{",".join(texts)}]'
    return body.encode().hex() + hashlib.sha256((SECRET + body).encode()).hexdigest()[:16]


def tag(oracle: Oracle, type_name: str, order: Sequence[Any]) -> str:
    """The tag, the one thing that the engine is asked for."""
    values: list[Any] = []
    entity = oracle.entities[type_name]
    raw = [_Coerced.item(item) for item in order]
    return order_tag(entity, parse_order(entity, raw, values, ()), values)


@dataclass
class _Coerced:
    """An enum's member, as the engine gets it."""

    value: Any

    @classmethod
    def item(cls, item: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {"direction": cls(item["direction"])}
        if item.get("field") is not None:
            made["field"] = cls(re.sub("_(.)", lambda match: match[1].upper(), item["field"].lower()))
        if item.get("json") is not None:
            made["json"] = {"path": item["json"]["path"], "as": cls(item["json"]["as"].lower())}
        return made
