"""The input types of lists, generated from the entities: `RecordWhere`, `RecordOrder` and the operators they use."""

from __future__ import annotations

import datetime
import enum
import types
from collections.abc import Mapping, Sequence
from typing import Any

import strawberry
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from app.db.types import EnumText, JsonText
from app.graphql.entity import Column, Entity, JsonPart, Many, One, camel
from app.graphql.kinds import LIST_OPERATORS, OPERATORS, is_json, json_columns, kind_of, type_of
from app.graphql.paging import DEFAULT_PAGE, MAX_PAGE, named_items
from app.graphql.scalars import SafeInt

FILTERS: dict[str, tuple[str, Any]] = {
    "id": ("IdFilter", strawberry.ID),
    "text": ("TextFilter", str),
    "int": ("IntFilter", int),
    "safe_int": ("SafeIntFilter", SafeInt),
    "float": ("FloatFilter", float),
    "bool": ("BooleanFilter", bool),
    "instant": ("DateTimeFilter", datetime.datetime),
    "texts": ("TextListFilter", str),
}
JSON_MEANINGS = {
    "float": "It is a number, and so.",
    "int": "It is a whole number of at most 18 digits, and so.",
    "text": "It is a text, and so.",
    "bool": "It is true or false, and so.",
}

MEANINGS = {
    "eq": "Equal.",
    "ne": "Not equal; also where there is no value.",
    "in": "Equal to one of these.",
    "notIn": "Equal to none of these; also where there is no value.",
    "gt": "Greater than.",
    "gte": "Greater than or equal.",
    "lt": "Less than.",
    "lte": "Less than or equal.",
    "contains": "Contains this text; the letters A to Z match in either case.",
    "startsWith": "Starts with this text, case by case.",
    "isNull": "Whether there is no value.",
    "has": "This is one of the list's.",
    "hasAny": "At least one of these is one of the list's.",
    "hasAll": "Each of these is one of the list's.",
}


@strawberry.enum(description="Which way to order.")
class Direction(enum.Enum):
    """Ascending or descending; missing values come last either way."""

    ASC = strawberry.enum_value("ASC", description="Smallest first; missing values last.")
    DESC = strawberry.enum_value("DESC", description="Largest first; missing values last.")


@strawberry.enum(description="As what the values at a JSON path are compared; all others count as missing.")
class JsonKind(enum.Enum):
    """The kinds of JSON value that can be ordered."""

    FLOAT = strawberry.enum_value("float", description="Any number.")
    INT = strawberry.enum_value("int", description="Whole numbers.")
    TEXT = strawberry.enum_value("text", description="Texts.")
    BOOL = strawberry.enum_value("bool", description="False before true.")


class Inputs:
    """Makes the input types of a schema, once each."""

    def __init__(self, entities: Mapping[str, Entity]) -> None:
        self.entities = entities
        self._filters: dict[str, Any] = {}  # and what else several inputs share
        self._wheres: dict[str, Any] = {name: self._bare(f"{name}Where", _where_words(name)) for name in entities}
        self._orders: dict[str, Any] = {}
        self._related: dict[str, Any] = {}
        for name, entity in entities.items():
            self._fill(self._wheres[name], self._members(entity))

    def arguments(self, target: Entity) -> list[StrawberryArgument]:
        """The arguments of a list of the entity's."""
        offered: list[tuple[str, Any, str]] = [
            (
                "first",
                int,
                f"The first so many: 0 to {MAX_PAGE}. {DEFAULT_PAGE} where neither `first` nor `last` is given.",
            ),
            ("after", str, "Only what comes after this cursor."),
            ("last", int, f"The last so many: 0 to {MAX_PAGE}."),
            ("before", str, "Only what comes before this cursor."),
            ("where", self._wheres[target.name], "Only those for which this holds."),
            ("orderBy", list[self.order(target)], "By what to order, the most important first; the id breaks ties."),  # type: ignore[misc]
        ]
        if target.search is not None:
            offered.append(("search", str, target.search.description))
        return [
            StrawberryArgument(
                name, name, StrawberryAnnotation(type_ | None), description=text, default=strawberry.UNSET
            )
            for name, type_, text in offered
        ]

    def where(self, target: str) -> Any:
        """The type of a `where` on the rows of an entity, which may be left out."""
        return self._wheres[target] | None

    def order(self, entity: Entity) -> Any:
        """The type of `orderBy` items."""
        if entity.name not in self._orders:
            made = self._bare(f"{entity.name}Order", f"One key of an order of {entity.name}.")
            fields = self._order_fields(entity)
            offered = [_field("field", fields | None, "The field to order by.")]
            for way, column in json_columns(entity).items():
                what = f"A value inside `{camel(column)}` to order by, instead of a field."
                offered.append(_field(way, self._json_order() | None, what))
            for name, (relation, named) in named_items(entity).items():
                target = entity.fields[relation][1]
                assert isinstance(target, Many)
                key = self._named_order(self.entities[target.target], named)
                what = f"A value of the item of this {named} in `{relation}` to order by, instead of a field."
                offered.append(_field(name, key | None, what))
            offered.append(_field("direction", Direction, "Which way.", default=Direction.ASC))
            self._fill(made, offered)
            self._orders[entity.name] = made
        return self._orders[entity.name]

    def _order_fields(self, entity: Entity) -> Any:
        name = f"{entity.name}OrderField"
        if name not in self._filters:
            members = {}
            for field, (python_name, declared) in entity.fields.items():
                if isinstance(declared, One) and declared.named is not None:
                    words = f"By the `{declared.named}` of `{field}`."
                elif isinstance(declared, Column) and _is_ordered(entity, python_name, declared):
                    words = f"By `{field}`."
                else:
                    continue
                members[_upper(field)] = strawberry.enum_value(field, description=words)
            choices: Any = enum.Enum(name, members)  # type: ignore[misc]
            self._filters[name] = strawberry.enum(
                choices, name=name, description=f"What {entity.name} can be ordered by."
            )
        return self._filters[name]

    def _named_order(self, target: Entity, named: str) -> Any:
        name = f"Named{target.name}Order"
        if name not in self._filters:
            made = self._bare(name, f"A value of the {target.name} of a {named}, to order by what it belongs to.")
            members = [_field(named, str, f"Its {named}. What has no such item comes last.")]
            members.append(_field("value", self._order_fields(target), "The value to order by."))
            self._fill(made, members)
            self._filters[name] = made
        return self._filters[name]

    def _json_order(self) -> Any:
        if "JsonOrder" not in self._filters:
            made = self._bare("JsonOrder", "A value inside a JSON object, to order by.")
            path = "Keys and indexes from the outside in, such as `source.pages[0]`."
            self._fill(made, [_field("path", str, path), _field("as", JsonKind, "As what to compare.")])
            self._filters["JsonOrder"] = made
        return self._filters["JsonOrder"]

    def _members(self, entity: Entity) -> list[StrawberryField]:
        members: list[StrawberryField] = []
        for name, (python_name, declared) in entity.fields.items():
            filter_: Any = None
            if isinstance(declared, Column) and declared.filter:
                filter_ = self._column_filter(entity, python_name, declared)
            elif isinstance(declared, One) and declared.own is None:
                filter_ = self._filter("id")
            elif isinstance(declared, Many) and declared.filter:
                filter_ = self._related_filter(declared.target, declared.named)
            if filter_ is not None:
                members.append(_field(name, filter_ | None, f"A condition on `{name}`."))
        own = self._wheres[entity.name]
        several: Any = types.GenericAlias(list, own)
        return [
            *members,
            *(_field(part.name, self._part(entity, part) | None, part.description) for part in entity.parts),
            _field("and", several | None, "All of these hold."),
            _field("or", several | None, "At least one of these holds."),
            _field("not", own | None, "This does not hold."),
        ]

    def _column_filter(self, entity: Entity, python_name: str, declared: Column) -> Any:
        type_ = type_of(entity, python_name, declared)
        if is_json(type_):
            path = _field("path", str, "Keys and indexes from the outside in: `source.pages[0]`.")
            return self._json_filter("JsonFilter", [path])
        kind = kind_of(type_, is_id=declared.id_of is not None)
        if kind == "enum":
            assert isinstance(type_, EnumText)
            return self._filter("enum", f"{type_.members.__name__}Filter", type_.members)
        if kind is None:
            raise TypeError(f"{entity.name}.{python_name} has the type {type_!r}, for which there is no condition.")
        return self._filter(kind)

    def _filter(self, kind: str, name: str = "", type_: Any = None) -> Any:
        if kind in FILTERS:
            name, type_ = FILTERS[kind]
        if name not in self._filters:
            made = self._bare(name, "All of the given comparisons must hold.")
            members: list[StrawberryField] = []
            several: Any = types.GenericAlias(list, type_)
            for operator in OPERATORS[kind]:
                operand = bool if operator == "isNull" else several if operator in LIST_OPERATORS else type_
                members.append(_field(operator, operand | None, MEANINGS[operator]))
            self._fill(made, members)
            self._filters[name] = made
        return self._filters[name]

    def _json_filter(self, name: str, where: Sequence[StrawberryField]) -> Any:
        if name not in self._filters:
            made = self._bare(name, "A condition on a value inside JSON. A value of another kind counts as missing.")
            members = [*where]
            members += [_field(kind, self._filter(kind) | None, text) for kind, text in JSON_MEANINGS.items()]
            members.append(_field("isNull", bool | None, "Whether nothing, or null, stands there."))
            self._fill(made, members)
            self._filters[name] = made
        return self._filters[name]

    def _part(self, entity: Entity, part: JsonPart) -> Any:
        name = f"{entity.name}{part.name[0].upper()}{part.name[1:]}Filter"
        path = _field("path", str | None, "A place inside the value, as in `[0].label`; without, the whole value.")
        named = [] if part.argument is None else [_field(part.argument, str, f"The name of the {part.argument}.")]
        return self._json_filter(name, [*named, path])

    def _related_filter(self, target: str, named: str | None) -> Any:
        if named is not None:
            return self._named_filter(self.entities[target], named)
        if target not in self._related:
            made = self._bare(f"{target}ListFilter", f"A condition on the visible {target} items of a list.")
            where = self._wheres[target]
            members = [
                _field("some", where | None, "At least one of them is so."),
                _field("none", where | None, "Not one of them is so."),
            ]
            self._fill(made, members)
            self._related[target] = made
        return self._related[target]

    def _named_filter(self, target: Entity, named: str) -> Any:
        if target.name not in self._related:
            made = self._bare(f"{target.name}Filter", f"A condition on the {target.name} item of this {named}.")
            members = [_field(named, str, f"Its {named}.")]
            for name, (python_name, declared) in target.fields.items():
                if isinstance(declared, Column) and declared.filter and name != named and declared.id_of is None:
                    filter_ = self._column_filter(target, python_name, declared)
                    members.append(_field(name, filter_ | None, f"A condition on its `{name}`."))
            self._fill(made, members)
            self._related[target.name] = made
        return self._related[target.name]

    @staticmethod
    def _bare(name: str, description: str) -> Any:
        return strawberry.input(type(name, (), {"__annotations__": {}}), description=description)

    @staticmethod
    def _fill(made: Any, members: list[StrawberryField]) -> None:
        # Fields are added after the class is made, so that types can refer to each other and to themselves.
        for member in members:
            member.origin = made
        made.__strawberry_definition__.fields.extend(members)


def _field(name: str, type_: Any, description: str, *, default: Any = strawberry.UNSET) -> StrawberryField:
    return StrawberryField(
        python_name=name,
        graphql_name=name,
        type_annotation=StrawberryAnnotation(type_),
        description=description,
        default=default,
    )


def _is_ordered(entity: Entity, python_name: str, declared: Column) -> bool:
    return bool(declared.order) and not isinstance(declared.ordered(entity.table, python_name).type, JsonText)


def _upper(name: str) -> str:
    return "".join("_" + letter if letter.isupper() else letter.upper() for letter in name)


def _where_words(name: str) -> str:
    return f"A condition on {name} items. All members given must hold; combine with `and`, `or` and `not`."
