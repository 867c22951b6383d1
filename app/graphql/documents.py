"""Documents: GraphQL text parsed and validated once, then kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    SKIP,
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    VisitorAction,
    parse,
    validate,
    visit,
)

from app.errors import Code, GradbookError
from app.graphql.budget import reading
from app.graphql.cost import Price, price
from app.graphql.limits import Limits, check_size, limit_error
from app.graphql.schema import Built
from app.graphql.variables import Given, given_of

MAX_DOCUMENTS = 1_000
"""Documents that are kept. Clients send few different texts; one with its templates and plans takes some 100 kB."""

MAX_KEPT_LENGTH = 20_000
"""Characters of the longest text that is kept: a longer one is worked off anew each time, so that memory is bounded."""

MAX_ERRORS = 10
"""Errors of one document that are looked for: each may look for similar names, and print its value."""


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of a document.

    `templates` keeps what the read engine made of its selections. Of a subscription, `cohorts` are those who follow it
    now, and `positions` the variables that only say from where on: see app.graphql.sharing.
    """

    name: str | None
    type: OperationType
    node: OperationDefinitionNode
    price: Price
    positions: frozenset[str] = frozenset()
    given: Given = ()
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
    """The most recently used documents of one schema, within limits."""

    def __init__(self, built: Built, limits: Limits, size: int = MAX_DOCUMENTS) -> None:
        self._schema = built.graphql
        self._entities = built.engine.entities
        self._size = size
        self._documents: OrderedDict[str, Document] = OrderedDict()
        self.limits = limits

    def get(self, source: str, pay: Callable[[int], object] = lambda _: None) -> Document:
        """The document for a text. Before one is read that is not known, `pay` is called with what that costs."""
        document = self._documents.get(source)
        if document is not None:
            self._documents.move_to_end(source)
            return document
        pay(reading(source, self.limits.tokens))
        document = self._read(source)
        if len(source) <= MAX_KEPT_LENGTH:
            self._documents[source] = document
            if len(self._documents) > self._size:
                self._documents.popitem(last=False)
        return document

    def _read(self, source: str) -> Document:
        try:
            node = _parsed(source, self.limits)
            size = check_size(node, self.limits)
        except GradbookError as error:
            return Document(None, (limit_error(error),))
        except GraphQLError as error:
            return Document(None, (error,))
        errors = validate(self._schema, node, max_errors=MAX_ERRORS)
        if errors:
            return Document(node, tuple(errors))
        operations = tuple(
            Operation(
                item.name.value if item.name else None,
                item.operation,
                item,
                price(self._schema, self._entities, node, item),
                _positions(item, node),
                given_of(self._schema, item),
            )
            for item in node.definitions
            if isinstance(item, OperationDefinitionNode)
        )
        return Document(node, (), operations, size.introspects)


def _parsed(source: str, limits: Limits) -> DocumentNode:
    """The syntax tree. Raises LIMIT_EXCEEDED, and GraphQLError for a syntax error: nesting beyond reason is one."""
    limits.check("source_length", len(source), "The document has {} characters")
    try:
        return parse(source, max_lexical_tokens=limits.tokens, max_comments=limits.comments)
    except GraphQLSyntaxError as error:
        for name, words in (("tokens", "words and signs"), ("comments", "comments")):
            limit: int = getattr(limits, name)
            if error.message.endswith(f"more than {limit} {name}. Parsing aborted."):
                raise limits.exceeded(name, f"more than {limit:,}", f"The document has {{}} {words}") from None
        raise


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
