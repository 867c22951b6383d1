"""What one document may be: its bounds, and the walk that measures it before validation gets slow.

Validation takes time with the document's size, with what its fragments come to when they are put in their places, and
with the square of the fields that answer under one name. So these are measured first, in time linear in the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
)

from app.errors import Code, GradbookError
from app.settings import PREFIX, Settings

MOST_DIRECTIVES_IN_ONE_PLACE = 10
"""There are two for operations, each of which may stand once: more is never valid."""

MOST = 1_000_000_000
"""Counting ends here: fragments that spread fragments twice each double with every one."""

INTROSPECTION = frozenset({"__schema", "__type"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document and each of its operations may hold; the setting of each is `max_` and its name.

    `source_length` is in characters. `fields`, `aliases` and `directives` count as often as fragments bring them.
    `overlap` is the work of comparing fields that answer under one name: their number squared, for each place of the
    answer. `lists` are compiled to SQL, which takes some 15 ms for each at first. `cost`: see app.graphql.cost.
    """

    source_length: int = 100_000
    tokens: int = 5_000
    comments: int = 1_000
    depth: int = 25
    fields: int = 1_000
    aliases: int = 200
    directives: int = 200
    root_fields: int = 50
    overlap: int = 50_000
    lists: int = 50
    cost: int = 1_000_000
    percent: int = 100

    def for_anonymous(self, percent: int) -> Limits:
        """What callers who are not signed in may ask for: so much of everything but depth."""
        shares = {
            item.name: max(1, getattr(self, item.name) * percent // 100)
            for item in fields(self)
            if item.name not in {"depth", "percent"}
        }
        return replace(self, **shares, percent=percent)

    def exceeded(self, name: str, number: int | str, words: str) -> GradbookError:
        """What is said of a document that is beyond the limit `name`."""
        shown = number if isinstance(number, str) else f"more than {MOST:,}" if number >= MOST else f"{number:,}"
        whose = ""
        if self.percent != 100 and name != "depth":
            whose = f" to callers who are not signed in, {PREFIX}ANONYMOUS_PERCENT"
        allowed = f"at most {getattr(self, name):,} are allowed{whose} ({PREFIX}MAX_{name.upper()})"
        return GradbookError(Code.LIMIT_EXCEEDED, f"{words.format(shown)}; {allowed}.")

    def check(self, name: str, number: int, words: str) -> None:
        """Raise LIMIT_EXCEEDED where the number is beyond the limit."""
        if number > getattr(self, name):
            raise self.exceeded(name, number, words)


def limits_of(settings: Settings) -> Limits:
    """The limits that hold for callers who are signed in."""
    names = [item.name for item in fields(Limits) if item.name != "percent"]
    return Limits(**{name: getattr(settings, f"max_{name}") for name in names})


@dataclass(slots=True)
class Size:
    """How large a document is, before validation; `depth` and `root_fields` are the largest of its operations.

    `values` are those of arguments. `crowd` are the directives of the place that has the most.
    """

    fields: int = 0
    aliases: int = 0
    directives: int = 0
    values: int = 0
    depth: int = 0
    root_fields: int = 0
    crowd: int = 0
    introspects: bool = False

    def add(self, other: Size, level: int = 0) -> None:
        """Count what stands `level` levels of fields down in this."""
        self.fields = min(MOST, self.fields + other.fields)
        self.aliases = min(MOST, self.aliases + other.aliases)
        self.directives = min(MOST, self.directives + other.directives)
        self.values = min(MOST, self.values + other.values)
        self.depth = max(self.depth, level + other.depth)
        self.root_fields = min(MOST, self.root_fields + (0 if level else other.root_fields))
        self.crowd = max(self.crowd, other.crowd)
        self.introspects = self.introspects or other.introspects


@dataclass(slots=True)
class _Part:
    """An operation, or the fragments of one name: its own size, and which fragments it spreads how many levels down."""

    size: Size = field(default_factory=Size)
    spreads: list[tuple[FragmentSpreadNode, int]] = field(default_factory=list)

    def read(self, definition: OperationDefinitionNode | FragmentDefinitionNode) -> None:
        size = self.size
        size.fields += 1  # an operation without any field takes its time, too
        self._read_directives(definition.directives)
        for variable in definition.variable_definitions or ():
            self._read_directives(variable.directives)
            size.values += 1 + _count([variable.default_value] if variable.default_value else [])
        stack = [(definition.selection_set, 0)]
        while stack:
            selections, level = stack.pop()
            for item in selections.selections:
                size.fields += 1
                self._read_directives(item.directives)
                if isinstance(item, FieldNode):
                    self._read_field(item, level)
                    if item.selection_set is not None:
                        stack.append((item.selection_set, level + 1))
                elif isinstance(item, InlineFragmentNode):
                    stack.append((item.selection_set, level))
                elif isinstance(item, FragmentSpreadNode):
                    self.spreads.append((item, level))

    def _read_field(self, item: FieldNode, level: int) -> None:
        size = self.size
        size.depth = max(size.depth, level + 1)
        size.root_fields += level == 0
        size.aliases += item.alias is not None
        size.values += count_values(item.arguments)
        size.introspects = size.introspects or item.name.value in INTROSPECTION

    def _read_directives(self, directives: Iterable[DirectiveNode] | None) -> None:
        here = 0
        for item in directives or ():
            here += 1
            self.size.values += count_values(item.arguments)
        self.size.directives += here
        self.size.crowd = max(self.size.crowd, here)


def count_values(arguments: Iterable[ArgumentNode] | None) -> int:
    """The values in arguments; each in a list or an object counts."""
    return _count([item.value for item in arguments or ()])


def _count(values: list[ValueNode]) -> int:
    count = 0
    while values:
        value = values.pop()
        count += 1
        if isinstance(value, FloatValueNode | IntValueNode):
            _check_number(value)
        elif isinstance(value, ListValueNode):
            values.extend(value.values)
        elif isinstance(value, ObjectValueNode):
            values.extend(item.value for item in value.fields)
    return count


def _check_number(value: FloatValueNode | IntValueNode) -> None:
    """JSON's decoder refuses such a number in variables; from the document it would come as an infinity."""
    text = value.value
    if not math.isfinite(float(text)):
        shown = text if len(text) <= 40 else f"{text[:20]}… ({len(text):,} characters)"
        raise GraphQLError(f"{shown} is beyond the numbers of 64 bits, which end at about 1.8e308.", value)


def measure(document: DocumentNode) -> Size:
    """How large a document is. Every fragment is measured once, so the time is linear in the text.

    Raises GraphQLError for fragments in a circle, which have no size, and for a number that no double comes near to.
    """
    operations: list[_Part] = []
    fragments: dict[str, _Part] = {}
    others = 0
    for item in document.definitions:
        if isinstance(item, OperationDefinitionNode):
            operations.append(_Part())
            operations[-1].read(item)
        elif isinstance(item, FragmentDefinitionNode):
            fragments.setdefault(item.name.value, _Part()).read(item)
        else:
            others += 1
    whole = Size(fields=others)
    for part in [*(fragments[name] for name in _inner_first(fragments)), *operations]:
        for spread, level in part.spreads:
            if spread.name.value in fragments:
                part.size.add(fragments[spread.name.value].size, level)
    for part in [*operations, *(fragments[name] for name in _unused(operations, fragments))]:
        roots = max(whole.root_fields, part.size.root_fields)
        whole.add(part.size)
        whole.root_fields = roots
    return whole


def _inner_first(fragments: Mapping[str, _Part]) -> list[str]:
    """The fragments' names, each after those that it spreads. Raises GraphQLError where they go round in a circle."""
    order: list[str] = []
    done: set[str] = set()
    for first in fragments:
        path = {} if first in done else {first: iter(fragments[first].spreads)}
        spreads: list[FragmentSpreadNode] = []  # those that lead from each name on the path to the next
        while path:
            for spread, _ in path[next(reversed(path))]:
                name = spread.name.value
                if name in path:
                    start = [*path].index(name)
                    raise _circle([*path][start:], [*spreads[start:], spread])
                if name in fragments and name not in done:
                    path[name] = iter(fragments[name].spreads)
                    spreads.append(spread)
                    break
            else:
                name, _ = path.popitem()
                del spreads[-1:]
                done.add(name)
                order.append(name)
    return order


def _circle(names: Sequence[str], spreads: Sequence[FragmentSpreadNode]) -> GraphQLError:
    """As the rule of the specification says it. That looks at one fragment of each name, this at all."""
    via = f" via {', '.join(map(repr, names[1:]))}" if len(names) > 1 else ""
    return GraphQLError(f"Cannot spread fragment {names[0]!r} within itself{via}.", spreads)


def _unused(operations: Iterable[_Part], fragments: Mapping[str, _Part]) -> list[str]:
    """The fragments that no operation reaches; validation looks through them all the same."""
    used: set[str] = set()
    stack = list(operations)
    while stack:
        for spread, _ in stack.pop().spreads:
            name = spread.name.value
            if name in fragments and name not in used:
                used.add(name)
                stack.append(fragments[name])
    return [name for name in fragments if name not in used]


def overlap(document: DocumentNode) -> int:
    """The work of comparing the fields that answer under one name: for each place of the answer, their number squared.

    Arguments are compared, too, so they count with their fields. The document is gone through as large as its fragments
    make it: `measure` it first, and have no cycles in it.
    """
    fragments: dict[str, list[SelectionSetNode]] = {}
    for item in document.definitions:
        if isinstance(item, FragmentDefinitionNode):
            fragments.setdefault(item.name.value, []).append(item.selection_set)
    work = 0
    stack = [
        [item.selection_set]
        for item in document.definitions
        if isinstance(item, OperationDefinitionNode | FragmentDefinitionNode)
    ]
    while stack:
        for nodes in _by_name(stack.pop(), fragments).values():
            if len(nodes) > 1:
                work += len(nodes) * sum(1 + count_values(node.arguments) for node in nodes)
            below = [node.selection_set for node in nodes if node.selection_set is not None]
            if below:
                stack.append(below)
    return work


def _by_name(
    selections: list[SelectionSetNode], fragments: Mapping[str, list[SelectionSetNode]]
) -> dict[str, list[FieldNode]]:
    """The fields of merged selections by the name that they answer under; a fragment is merged once."""
    found: dict[str, list[FieldNode]] = {}
    merged: set[str] = set()
    while selections:
        for item in selections.pop().selections:
            if isinstance(item, FieldNode):
                found.setdefault((item.alias or item.name).value, []).append(item)
            elif isinstance(item, InlineFragmentNode):
                selections.append(item.selection_set)
            elif isinstance(item, FragmentSpreadNode) and item.name.value not in merged:
                merged.add(item.name.value)
                selections.extend(fragments.get(item.name.value, ()))
    return found


def check_size(document: DocumentNode, limits: Limits) -> Size:
    """How large the document is. Raises LIMIT_EXCEEDED for one that is too large, and as `measure` does."""
    size = measure(document)
    limits.check("depth", size.depth, "The document has {} levels of fields")
    limits.check("fields", size.fields, "With its fragments in their places, the document has {} fields")
    limits.check("aliases", size.aliases, "With its fragments in their places, the document has {} aliases")
    limits.check("directives", size.directives, "With its fragments in their places, the document has {} directives")
    limits.check("tokens", size.values, "With its fragments in their places, the document has {} values")
    limits.check("root_fields", size.root_fields, "An operation has {} fields at its root")
    if size.crowd > MOST_DIRECTIVES_IN_ONE_PLACE:
        message = f"{size.crowd:,} directives stand in one place; at most {MOST_DIRECTIVES_IN_ONE_PLACE} may."
        raise GradbookError(Code.LIMIT_EXCEEDED, message)
    limits.check("overlap", overlap(document), "Fields that answer under one name take {} comparisons")
    return size


def limit_error(error: GradbookError) -> GraphQLError:
    """The error of a document that is not run."""
    return GraphQLError(error.message, extensions={"code": error.code})


DEFAULTS = Limits()
ANONYMOUS = DEFAULTS.for_anonymous(10)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What operations may hold, by who asks, and the seconds that each may take."""

    signed_in: Limits = DEFAULTS
    anonymous: Limits = ANONYMOUS
    seconds: float = 60
