"""What an operation may cost, worked out once: a formula in which page sizes and lists are numbers or variables.

A value of the answer costs 1. Lists multiply what stands in them: by `first` or `last`, by the lists of ids and names
among the arguments, by the items of a bulk mutation. Counts and what is computed cost more: see the numbers below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_leaf_type,
    is_list_type,
    value_from_ast_untyped,
)

from app.errors import GradbookError
from app.graphql.entity import Aggregate, Attached, Declaration, Entity, Many
from app.graphql.limits import Limits
from app.graphql.paging import DEFAULT_PAGE, MAX_PAGE

COUNT = 10
"""`totalCount`, and an object that is computed over rows: the database looks at all of them."""

ATTACHED = 50
"""A field that is computed in Python from many rows, for each parent."""

UNPAGED = 10
"""Items of a list that has no pages: a record's suggestions, a dataset's questions."""

POINTS = 20
"""Points of a curve for the cost of 1: they are packed columns."""

SCHEMA_LIST = 4
"""Items of a list in introspection: fields, arguments, values. Few types have many."""

Variables = Mapping[str, Any]
Amount = Callable[[Variables], int]
"""(the request's variables) -> how many. Variables are as they were sent: what does not fit counts as left out."""


@dataclass(frozen=True, slots=True)
class Part:
    """A place of the answer, `amount` times there: what each costs by itself, and the lists in it."""

    path: str
    amount: Amount
    weight: int
    parts: tuple[Part, ...]

    def cost(self, variables: Variables) -> int:
        """What all of it costs."""
        cost = self.weight
        for part in self.parts:
            cost += part.cost(variables)
        return cost * self.amount(variables)

    def own_costs(self, variables: Variables, times: int = 1) -> Iterator[tuple[int, str]]:
        """What each place costs without the lists in it."""
        times *= self.amount(variables)
        yield times * self.weight, self.path
        for part in self.parts:
            yield from part.own_costs(variables, times)


@dataclass(frozen=True, slots=True)
class Price:
    """What an operation costs. `constant` is its cost where no variable changes it; `lists` are compiled to SQL."""

    whole: Part
    lists: int
    constant: int | None

    def cost(self, variables: Variables) -> int:
        """What it costs with these variables."""
        return self.whole.cost(variables) if self.constant is None else self.constant

    def check(self, cost: int, variables: Variables, limits: Limits) -> None:
        """Raise LIMIT_EXCEEDED for an operation that costs too much, or that would take too long to compile."""
        limits.check("lists", self.lists, "The operation has {} lists")
        if cost > limits.cost:
            raise self._too_dear(cost, variables, limits)

    def _too_dear(self, cost: int, variables: Variables, limits: Limits) -> GradbookError:
        share, path = max(self.whole.own_costs(variables))
        words = f"The operation may cost {{}}, most of it ({share:,}) at {path or 'its root'!r}"
        return limits.exceeded("cost", f"{cost:,}", words)


def price(
    schema: GraphQLSchema, entities: Mapping[str, Entity], document: DocumentNode, operation: OperationDefinitionNode
) -> Price:
    """The formula of a valid operation. The time is that of its fields with fragments in their places."""
    root = schema.get_root_type(operation.operation)
    assert root is not None
    pricing = _Pricing(schema, entities, operation)
    pricing.fragments = {
        item.name.value: item for item in document.definitions if isinstance(item, FragmentDefinitionNode)
    }
    weight, parts = pricing.below(root, [operation.selection_set], "", _always(UNPAGED))
    whole = Part("", _always(1), weight, tuple(parts))
    return Price(whole, pricing.lists, None if pricing.varies else whole.cost({}))


@dataclass(slots=True)
class _Pricing:
    """A formula in the making."""

    schema: GraphQLSchema
    entities: Mapping[str, Entity]
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode] = field(default_factory=dict)
    lists: int = 0
    varies: bool = False

    def below(
        self, type_: GraphQLNamedType, selections: Sequence[SelectionSetNode], path: str, items: Amount
    ) -> tuple[int, list[Part]]:
        """What merged selections on a type cost: once, and the lists in it; its own lists have so many `items`."""
        weight, parts = 1, []
        for (parent, key), nodes in self._merged(type_, selections).items():
            name = nodes[0].name.value
            definition = self._definition(parent, name)
            if definition is None:  # __typename
                weight += 1
                continue
            own, inner = self._field(parent, definition, nodes, f"{path}.{key}" if path else key, items)
            weight += own
            parts += inner
        return weight, parts

    def _field(
        self, parent: GraphQLNamedType, definition: GraphQLField, nodes: list[FieldNode], path: str, items: Amount
    ) -> tuple[int, list[Part]]:
        node = nodes[0]
        type_, is_list = get_named_type(definition.type), is_list_type(get_nullable_type(definition.type))
        declared = self._declared(parent, node.name.value)
        weight = ATTACHED if isinstance(declared, Attached) else COUNT if isinstance(declared, Aggregate) else 0
        if not is_composite_type(type_):
            return weight + (COUNT if node.name.value == "totalCount" else 1), []
        is_connection = "first" in definition.args and type_.name.endswith("Connection")
        self.lists += is_connection or isinstance(declared, Many)
        amounts = self._amounts(definition, node)
        if is_list and not amounts:
            amounts = [items]
        selections = [item.selection_set for item in nodes if item.selection_set is not None]
        inner_items = self._page(node) if is_connection else self._items_below(parent, node, type_)
        own, parts = self.below(type_, selections, path, inner_items)
        if not amounts:
            return weight + own, parts
        return weight, [Part(path, _product(amounts), own, tuple(parts))]

    def _amounts(self, definition: GraphQLField, node: FieldNode) -> list[Amount]:
        """What the arguments multiply by: lists of ids and names, and points."""
        given = {item.name.value: item.value for item in node.arguments or ()}
        amounts = [
            self._length(given[name]) for name, item in definition.args.items() if name in given and _is_names(item)
        ]
        if "maxPoints" in given:
            points = self._number(given["maxPoints"])
            amounts.append(lambda variables: -(-max(0, points(variables) or 0) // POINTS))
        return amounts

    def _items_below(self, parent: GraphQLNamedType, node: FieldNode, type_: GraphQLNamedType) -> Amount:
        """How many items the lists of an object have that is no connection."""
        if type_.name.startswith("__"):
            return _always(len(self.schema.type_map) if type_.name == "__Schema" else SCHEMA_LIST)
        if parent is self.schema.mutation_type:
            return self._batch(node)
        return _always(DEFAULT_PAGE if parent is self.schema.subscription_type else UNPAGED)

    def _page(self, node: FieldNode) -> Amount:
        given = {item.name.value: item.value for item in node.arguments or ()}
        sizes = [self._number(given[name]) for name in ("first", "last") if name in given]

        def page(variables: Variables) -> int:
            asked = [size for of in sizes if (size := of(variables)) is not None]
            return min(MAX_PAGE, max(0, *asked)) if asked else DEFAULT_PAGE

        return page

    def _batch(self, node: FieldNode) -> Amount:
        """The items of the longest list in a mutation's input."""
        values = [item.value for item in node.arguments or ()]
        inner = [item.value for value in values if isinstance(value, ObjectValueNode) for item in value.fields]
        lengths = [self._length(value) for value in [*values, *inner]]
        whole = [self._value(value) for value in values if isinstance(value, VariableNode)]

        def batch(variables: Variables) -> int:
            sizes = [length(variables) for length in lengths]
            for of in whole:
                given = of(variables)
                if isinstance(given, dict):
                    sizes += [len(item) for item in given.values() if isinstance(item, list)]
            return max(1, 1, *sizes)

        return batch

    def _number(self, node: ValueNode) -> Callable[[Variables], int | None]:
        of = self._value(node)

        def number(variables: Variables) -> int | None:
            value = of(variables)
            if not isinstance(value, int | float) or value != value:
                return None
            return int(min(value, 1_000_000_000)) if value > 0 else 0

        return number

    def _length(self, node: ValueNode) -> Amount:
        if isinstance(node, ListValueNode):
            return _always(len(node.values))
        of = self._value(node)

        def length(variables: Variables) -> int:
            value = of(variables)
            return len(value) if isinstance(value, list) else 1

        return length

    def _value(self, node: ValueNode) -> Callable[[Variables], Any]:
        """A value as it was sent, or its default; None for what is neither a variable nor a number."""
        if isinstance(node, IntValueNode):
            number = int(node.value[:12])
            return lambda _: number
        if not isinstance(node, VariableNode):
            return lambda _: None
        self.varies = True
        name, default = node.name.value, None
        for item in self.operation.variable_definitions or ():
            if item.variable.name.value == name and item.default_value is not None:
                default = value_from_ast_untyped(item.default_value)
        return lambda variables: variables.get(name, default)

    def _merged(
        self, type_: GraphQLNamedType, selections: Sequence[SelectionSetNode]
    ) -> dict[tuple[GraphQLNamedType, str], list[FieldNode]]:
        """The fields by the type that has them and the name that they answer under; a fragment is merged once."""
        found: dict[tuple[GraphQLNamedType, str], list[FieldNode]] = {}
        spread: set[str] = set()
        stack = [(type_, item) for item in reversed(selections)]
        while stack:
            on, one = stack.pop()
            for item in one.selections:
                if isinstance(item, FieldNode):
                    found.setdefault((on, (item.alias or item.name).value), []).append(item)
                elif isinstance(item, InlineFragmentNode):
                    stack.append((self._type(item.type_condition) or on, item.selection_set))
                elif isinstance(item, FragmentSpreadNode) and item.name.value not in spread:
                    spread.add(item.name.value)
                    fragment = self.fragments[item.name.value]
                    stack.append((self._type(fragment.type_condition) or on, fragment.selection_set))
        return found

    def _type(self, condition: Any) -> GraphQLNamedType | None:
        return None if condition is None else self.schema.get_type(condition.name.value)

    def _definition(self, parent: GraphQLNamedType, name: str) -> GraphQLField | None:
        if parent is self.schema.query_type and name in {"__schema", "__type"}:
            return SchemaMetaFieldDef if name == "__schema" else TypeMetaFieldDef
        return parent.fields.get(name) if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else None

    def _declared(self, parent: GraphQLNamedType, name: str) -> Declaration | None:
        entity = self.entities.get(parent.name)
        return entity.fields[name][1] if entity is not None and name in entity.fields else None


def _is_names(argument: GraphQLArgument) -> bool:
    """Whether an argument is a list of ids, names or numbers, for each of which there may be an answer."""
    return is_list_type(get_nullable_type(argument.type)) and is_leaf_type(get_named_type(argument.type))


def _always(number: int) -> Amount:
    return lambda _: number


def _product(amounts: list[Amount]) -> Amount:
    if len(amounts) == 1:
        return amounts[0]
    return lambda variables: prod(amount(variables) for amount in amounts)
