"""The read engine: root fields and payload fields of entity types, answered by one statement each as finished JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from graphql import (
    DirectiveNode,
    GraphQLObjectType,
    VariableNode,
    Visitor,
    get_named_type,
    visit,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_subfields

from app.db.database import Database
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError
from app.graphql.attached import splice
from app.graphql.compiler import Compiler
from app.graphql.entity import DECLARED, Entity, Many, PartOf
from app.graphql.paging import CURSOR_SECRET
from app.graphql.plans import Plan, make_plan
from app.graphql.scalars import decode_id, type_name_words
from app.graphql.selection import Binder, Bound, Info, Pick, Selections, Template
from app.graphql.sql import SQL

Fragment = orjson.Fragment


class Viewer(Protocol):
    """What the engine knows of a caller: the kind of scope, and the id that the scope's SQL compares with."""

    @property
    def id(self) -> int:
        """The user's id."""

    @property
    def kind(self) -> str:
        """The name of the scope rules that hold."""


class Context(Protocol):
    """What a request carries."""

    database: Database
    viewer: Viewer | None
    templates: dict[Any, Any]


class Ref:
    """A row of an entity in a mutation's payload: its JSON is read inside the unit of work, per place in the answer."""

    __slots__ = ("entity", "found", "id")

    def __init__(self, entity: str, id: int) -> None:
        self.entity = entity
        self.id = id
        self.found: dict[tuple[str, ...], Fragment | None] = {}

    def at(self, path: Sequence[str | int]) -> Fragment | None:
        """The JSON for a place in the answer, None where the viewer sees no such row."""
        return self.found[_names(path)]


def ref(entity: str, id: int | None) -> Any:
    """A payload's value for a field of an entity type."""
    return None if id is None else Ref(entity, id)


@dataclass(slots=True)
class _Place:
    """A field of a payload's selection that stands for a row: the attributes that lead there, and its answer path.

    `part` is the row's field that is wanted, None for the row itself.
    """

    attributes: tuple[str, ...]
    path: tuple[str, ...]
    target: str
    template: Template
    part: str | None = None

    def fragment(self, text: str) -> Fragment:
        """The JSON to answer with, from the JSON of the row."""
        return Fragment(text if self.part is None else text[len(self.part) + 4 : -1])


@dataclass(slots=True)
class Engine:
    """Reads for one schema. `secret` signs cursors."""

    entities: Mapping[str, Entity]
    selections: Selections
    secret: str
    binder: Binder = field(init=False)

    def __post_init__(self) -> None:
        self.binder = Binder(self.entities, self.secret)

    # Root fields

    async def one(self, info: Info, target: str, id: int) -> Fragment | None:
        """The row with this id, or None where there is none that the viewer sees."""
        found = await self.by_ids(info, target, [id])
        return found.get(id)

    async def by_ids(self, info: Info, target: str, ids: Sequence[int]) -> dict[int, Fragment]:
        """The rows with these ids that the viewer sees: one statement for all."""
        template = self._template(info, target)
        plan, bound, parameters = self._ids_plan(info, target, template, ids, info.path.as_list())
        rows = await info.context.database.read(plan.sql, parameters)
        if template.attached:
            texts = await splice(template, template.picks, bound, [row[1] for row in rows], info.context)
            return {row[0]: Fragment(text) for row, text in zip(rows, texts, strict=True)}
        return {row[0]: Fragment(row[1]) for row in rows}

    async def listing(self, info: Info, declared: Many) -> Fragment:
        """A list without a parent: one statement."""
        template, pick = self._list_template(info, declared)
        bound = self.binder.bind(template, info, tuple(info.path.as_list()[:-1]))
        viewer = required_viewer(info.context)
        database = info.context.database

        def make() -> Plan:
            compiler = self._compiler(database.dialect_name, viewer)
            return make_plan(compiler.connection(pick, bound.shape), compiler.slots, database.dialect)

        plan = template.plans.get((database.dialect_name, viewer.kind, tuple(bound.shape)), make)
        rows = await database.read(plan.sql, plan.parameters(bound.values, self._named(viewer)))
        if template.attached:
            return Fragment((await splice(template, pick.inner, bound, [rows[0][0]], info.context))[0])
        return Fragment(rows[0][0])

    async def nodes(self, info: Info, ids: Sequence[str]) -> list[Fragment | None]:
        """Rows of any kind by their ids: one statement per kind. What is hidden or missing is None."""
        kinds = {entity.prefix: entity for entity in self.entities.values()}
        wanted: dict[str, list[int]] = {}
        places: list[tuple[str, int]] = []
        for index, text in enumerate(ids):
            entity = kinds.get(text.partition("_")[0])
            if entity is None:
                known = ", ".join(
                    f"'{prefix}_…' ({type_name_words(kind.name)})" for prefix, kind in sorted(kinds.items())
                )
                raise GradbookError(Code.INVALID_ID, f"{text[:40]!r} is no id: ids look like {known}.", (index,))
            number = decode_id(entity.prefix, text, type_name_words(entity.name), (index,))
            wanted.setdefault(entity.name, []).append(number)
            places.append((entity.name, number))
        found = await asyncio.gather(*(self.by_ids(info, name, numbers) for name, numbers in wanted.items()))
        by_kind = dict(zip(wanted, found, strict=True))
        return [by_kind[name].get(number) for name, number in places]

    # Payloads

    def load(self, info: Info, uow: UnitOfWork, payload: Any) -> None:
        """Reads the payload's refs inside the unit of work: one statement per field of an entity type in the answer.

        Refs that were loaded before (of what has been deleted since) stay as they are.
        """
        for place, refs, plan, parameters in self._unread(info, payload):
            _answer(place, refs, uow.fetch(plan.sql, parameters))

    async def read(self, info: Info, payload: Any) -> None:
        """As `load` and `attach`, without a transaction: for the events of subscriptions."""
        for place, refs, plan, parameters in self._unread(info, payload):
            _answer(place, refs, await info.context.database.read(plan.sql, parameters))
        await self.attach(info, payload)

    def _unread(self, info: Info, payload: Any) -> Iterator[tuple[_Place, list[Ref], Plan, tuple[Any, ...]]]:
        for place in self._places(info):
            refs = [item for item in _refs(payload, place.attributes) if place.path not in item.found]
            if refs:
                ids = [item.id for item in refs]
                plan, _, parameters = self._ids_plan(info, place.target, place.template, ids, list(place.path))
                yield place, refs, plan, parameters

    async def attach(self, info: Info, payload: Any) -> None:
        """Completes what SQL could not compute of a payload, after the commit."""
        for place in self._places(info):
            if not place.template.attached:
                continue
            bound = self.binder.bind(place.template, info, place.path)
            refs = [item for item in _refs(payload, place.attributes) if item.found.get(place.path) is not None]
            before = [bytes(orjson.dumps(item.found[place.path])) for item in refs]
            after = await splice(place.template, place.template.picks, bound, before, info.context)
            for item, text in zip(refs, after, strict=True):
                item.found[place.path] = Fragment(text)

    def _places(self, info: Info) -> list[_Place]:
        key = ("payload", info.path.key, info.field_name, _flags(info))
        places: list[_Place] | None = info.context.templates.get(key)
        if places is None:
            places = info.context.templates[key] = list(
                self._find_places(info, get_named_type(info.return_type), info.field_nodes, (), (str(info.path.key),))
            )
        return places

    def _find_places(
        self, info: Info, type_: Any, nodes: Any, attributes: tuple[str, ...], path: tuple[str, ...]
    ) -> Iterator[_Place]:
        fragments = {name: FragmentDetails(definition) for name, definition in info.fragments.items()}
        details = [FieldDetails(node, None) for node in nodes]
        collected = collect_subfields(info.schema, fragments, info.variable_values, info.operation, type_, details)
        for key, group in collected.grouped_field_set.items():
            found = [detail.node for detail in group]
            definition = type_.fields.get(found[0].name.value)
            below = get_named_type(definition.type) if definition is not None else None
            if not isinstance(below, GraphQLObjectType):
                continue
            attribute = definition.extensions["strawberry-definition"].python_name
            here = (*attributes, attribute), (*path, key)
            part = definition.extensions["strawberry-definition"].metadata.get(DECLARED)
            if isinstance(part, PartOf):
                yield _Place(*here, part.target, self.selections.part_template(info, part, found), part.field)
            elif below.name in self.entities:
                yield _Place(*here, below.name, self.selections.template(info, below.name, found))
            else:
                yield from self._find_places(info, below, found, *here)

    # Plans

    def _template(self, info: Info, target: str) -> Template:
        key = (target, tuple(info.path.as_list()), _flags(info))
        template: Template | None = info.context.templates.get(key)
        if template is None:
            template = info.context.templates[key] = self.selections.template(info, target)
        return template

    def _list_template(self, info: Info, declared: Many) -> tuple[Template, Pick]:
        key = ("list", tuple(info.path.as_list()), _flags(info))
        template: Template | None = info.context.templates.get(key)
        if template is None:
            template = info.context.templates[key] = self.selections.list_template(info, declared)
        return template, template.picks[0]

    def _ids_plan(
        self, info: Info, target: str, template: Template, ids: Sequence[int], path: Sequence[str | int]
    ) -> tuple[Plan, Bound, tuple[Any, ...]]:
        bound = self.binder.bind(template, info, tuple(path))
        viewer = required_viewer(info.context)
        # Few lengths make few statements: the last id is repeated up to a power of two.
        length = 1 << (len(ids) - 1).bit_length()
        values = [*ids, *[ids[-1]] * (length - len(ids)), *bound.values]
        database = info.context.database

        def make() -> Plan:
            compiler = self._compiler(database.dialect_name, viewer)
            statement = compiler.by_ids(self.entities[target], template.picks, bound.shape, length)
            return make_plan(statement, compiler.slots, database.dialect)

        plan = template.plans.get((database.dialect_name, viewer.kind, length, tuple(bound.shape)), make)
        return plan, bound, plan.parameters(values, self._named(viewer))

    def _compiler(self, dialect_name: str, viewer: Viewer) -> Compiler:
        return Compiler(self.entities, self.selections.objects, SQL[dialect_name], viewer.kind)

    def _named(self, viewer: Viewer) -> dict[str, Any]:
        return {"viewer_id": viewer.id, CURSOR_SECRET: self.secret}


def required_viewer(context: Context) -> Viewer:
    """The viewer; an error for anonymous callers."""
    if context.viewer is None:
        raise GradbookError(
            Code.UNAUTHENTICATED,
            "Sign in first: send an API key as 'Authorization: Bearer KEY', or sign in for a session.",
        )
    return context.viewer


def _flags(info: Info) -> tuple[Any, ...]:
    """The values of the variables that @skip and @include depend on: the only ones that change a selection."""
    names: tuple[str, ...] | None = info.context.templates.get("flags")
    if names is None:
        names = info.context.templates["flags"] = tuple(_flag_variables(info))
    return tuple(info.variable_values.coerced.get(name) for name in names)


def _flag_variables(info: Info) -> Iterator[str]:
    found: list[str] = []

    class Flags(Visitor):
        def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
            found.extend(item.value.name.value for item in node.arguments or () if isinstance(item.value, VariableNode))

    visit(info.operation, Flags())
    for fragment in info.fragments.values():
        visit(fragment, Flags())
    return iter(sorted(set(found)))


def _refs(payload: Any, attributes: Sequence[str]) -> Iterator[Ref]:
    """The refs at an attribute path of a payload, through lists."""
    if payload is None:
        return
    if isinstance(payload, list | tuple):
        for item in payload:
            yield from _refs(item, attributes)
    elif attributes:
        yield from _refs(getattr(payload, attributes[0]), attributes[1:])
    else:
        yield payload


def _answer(place: _Place, refs: Sequence[Ref], rows: Sequence[tuple[Any, ...]]) -> None:
    texts = {row[0]: row[1] for row in rows}
    for item in refs:
        text = texts.get(item.id)
        item.found[place.path] = None if text is None else place.fragment(text)


def _names(path: Sequence[str | int]) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))
