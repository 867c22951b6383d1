"""Documents: GraphQL text parsed and validated once, then kept."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    SKIP,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    VisitorAction,
    parse,
    validate,
    visit,
)

from app.errors import Code, GradbookError

MAX_DOCUMENTS = 1_000
"""Documents that are kept. Clients send few different texts; one with its templates and plans takes some 100 kB."""

MAX_KEPT_LENGTH = 20_000
"""Characters of the longest text that is kept: a longer one is worked off anew each time, so that memory is bounded."""

INTROSPECTION = frozenset({"__schema", "__type"})


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of a document.

    `templates` keeps what the read engine made of its selections. Of a subscription, `cohorts` are those who follow it
    now, and `positions` the variables that only say from where on: see app.graphql.sharing.
    """

    name: str | None
    type: OperationType
    node: OperationDefinitionNode
    positions: frozenset[str] = frozenset()
    templates: dict[Any, Any] = field(default_factory=dict)
    cohorts: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Document:
    """A document: its syntax tree, or what is wrong with it."""

    node: DocumentNode | None
    errors: tuple[GraphQLError, ...]
    operations: tuple[Operation, ...] = ()
    introspects: bool = False

    def operation(self, name: str | None) -> Operation:
        """The operation to run. Raises INVALID_DOCUMENT where the name does not tell."""
        if name is None and len(self.operations) == 1:
            return self.operations[0]
        found = [operation for operation in self.operations if operation.name == name]
        if name is not None and found:
            return found[0]
        names = ", ".join(repr(operation.name) for operation in self.operations) or "none"
        asked = "It has several operations" if name is None and names else f"It has no operation {name!r}"
        raise GradbookError(
            Code.INVALID_DOCUMENT,
            f"{asked}: say by 'operationName' which of these to run: {names}.",
            ("operationName",),
        )


class Documents:
    """The most recently used documents of one schema."""

    def __init__(self, schema: GraphQLSchema, *, max_tokens: int, max_depth: int, size: int = MAX_DOCUMENTS) -> None:
        self._schema = schema
        self._max_tokens = max_tokens
        self._max_depth = max_depth
        self._size = size
        self._documents: OrderedDict[str, Document] = OrderedDict()

    def get(self, source: str) -> Document:
        """The document for a text."""
        document = self._documents.get(source)
        if document is not None:
            self._documents.move_to_end(source)
            return document
        document = self._read(source)
        if len(source) <= MAX_KEPT_LENGTH:
            self._documents[source] = document
            if len(self._documents) > self._size:
                self._documents.popitem(last=False)
        return document

    def _read(self, source: str) -> Document:
        try:
            node = parse(source, no_location=False, max_tokens=self._max_tokens)
        except GraphQLError as error:
            return Document(None, (error,))
        errors = validate(self._schema, node)
        if errors:
            return Document(node, tuple(errors))
        if (depth := _depth(node)) > self._max_depth:
            message = f"The document is {depth} levels of fields deep; at most {self._max_depth} are allowed."
            return Document(node, (GraphQLError(message, extensions={"code": Code.LIMIT_EXCEEDED.name}),))
        operations = tuple(
            Operation(item.name.value if item.name else None, item.operation, item, _positions(item, node))
            for item in node.definitions
            if isinstance(item, OperationDefinitionNode)
        )
        return Document(node, (), operations, _introspects(node))


def _depth(document: DocumentNode) -> int:
    """The levels of fields of the deepest operation. Every fragment is measured once; validation refused cycles."""
    fragments = {item.name.value: item for item in document.definitions if isinstance(item, FragmentDefinitionNode)}
    measured: dict[str, int] = {}

    def of(selections: SelectionSetNode | None) -> int:
        return max((of_one(item) for item in selections.selections), default=0) if selections else 0

    def of_one(selection: SelectionNode) -> int:
        if isinstance(selection, FieldNode):
            return 1 + of(selection.selection_set)
        if isinstance(selection, InlineFragmentNode):
            return of(selection.selection_set)
        assert isinstance(selection, FragmentSpreadNode)
        name = selection.name.value
        if name not in measured:
            measured[name] = of(fragments[name].selection_set)
        return measured[name]

    operations = [item for item in document.definitions if isinstance(item, OperationDefinitionNode)]
    return max((of(item.selection_set) for item in operations), default=0)


def _introspects(node: DocumentNode) -> bool:
    found: list[str] = []

    class Fields(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            if node.name.value in INTROSPECTION:
                found.append(node.name.value)

    visit(node, Fields())
    return bool(found)


def _positions(operation: OperationDefinitionNode, document: DocumentNode) -> frozenset[str]:
    """The variables that stand for `after` of a root field and nowhere else."""
    if operation.operation is not OperationType.SUBSCRIPTION:
        return frozenset()
    after = [
        argument.value.name.value
        for field in operation.selection_set.selections
        if isinstance(field, FieldNode)
        for argument in field.arguments or ()
        if argument.name.value == "after" and isinstance(argument.value, VariableNode)
    ]
    used: list[str] = []

    class Uses(Visitor):
        def enter_variable_definition(self, *_: Any) -> VisitorAction:
            return SKIP

        def enter_variable(self, node: VariableNode, *_: Any) -> None:
            used.append(node.name.value)

    visit(document, Uses())
    return frozenset(name for name in after if used.count(name) == 1)
