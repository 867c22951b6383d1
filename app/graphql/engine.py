"""The read engine: root fields and payload fields of entity types, answered by one statement each as finished JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import orjson
from graphql import DirectiveNode, VariableNode, Visitor, visit
from sqlalchemy import Select, true

from app.db.database import Database
from app.db.unit_of_work import UnitOfWork
from app.errors import Code, GradbookError
from app.graphql.arguments import Binder, Bound
from app.graphql.attached import splice
from app.graphql.budget import PLAN
from app.graphql.compiler import Compiler
from app.graphql.entity import Condition, Entity, Many, Over, Rows
from app.graphql.filters import WhereCompiler, WhereParser, mentions, padding
from app.graphql.paging import CURSOR_SECRET, MAX_PAGE
from app.graphql.plans import Plan, PlanCache, make_plan
from app.graphql.refs import Place, find_places
from app.graphql.refs import Ref as Ref
from app.graphql.refs import ref as ref
from app.graphql.scalars import decode_id, type_name_words
from app.graphql.scope import scope_of
from app.graphql.selection import Info, Pick, Selections, Template
from app.graphql.spent import Counted, Spent
from app.graphql.sql import SQL

Fragment = orjson.Fragment
Path = tuple[str | int, ...]
T = TypeVar("T")

See = Callable[[str], tuple[Rows, Condition]]
"""(an entity's name) -> an alias of its table, and the condition that holds for the rows that the viewer sees."""

Take = Callable[[Rows, See], Select[Any]]
"""(an entity's table, others as the viewer sees them) -> what is selected of the rows. It is a part of a plan's key."""

MAX_VARIANTS = 16
"""Templates kept per compiled field of an operation: one per combination of @skip/@include values."""


class Viewer(Protocol):
    """What the engine knows of a caller: the kind of scope, and the id that the scope's SQL compares with."""

    @property
    def id(self) -> int:
        """The user's id."""

    @property
    def kind(self) -> str:
        """The name of the scope rules that hold."""


class Context(Protocol):
    """What a request carries. `templates` belongs to its operation, and is kept with it.

    `owed` is what it cost beyond its price: see app.graphql.budget. `spent` is the time that it takes of the event
    loop's thread, `compiling` what its plans take in others.
    """

    database: Database
    viewer: Viewer | None
    templates: dict[Any, Any]
    owed: int
    spent: Spent
    compiling: Spent


@dataclass(frozen=True, slots=True)
class Read:
    """A statement of one request: how its plan is found or made, and the values that go into it."""

    key: Hashable
    make: Callable[[], Plan]
    bound: Bound
    named: Mapping[str, Any]

    def on(self, plan: Plan) -> tuple[str, tuple[Any, ...]]:
        """What to execute."""
        return plan.sql, plan.parameters(self.bound.values, self.named)


@dataclass(slots=True)
class Engine:
    """Reads for one schema. `objects` are the fields of aggregated objects by type name; `secret` signs cursors."""

    entities: Mapping[str, Entity]
    objects: Mapping[str, Mapping[str, Over]]
    selections: Selections
    secret: str
    plans: PlanCache = field(default_factory=PlanCache)
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
        if not ids:
            return {}
        template = _kept(info, (target, info.path.key), lambda: self.selections.template(info, target))
        rows = await self._rows_by_ids(info, target, template, ids, tuple(info.path.as_list()))
        return {number: Fragment(text) for number, text in rows.items()}

    async def listing(self, info: Info, declared: Many) -> Fragment:
        """A list without a parent: one statement."""
        template = _kept(info, ("list", info.path.key), lambda: self.selections.list_template(info, declared))
        path = tuple(info.path.as_list())
        [(_, text)] = await self._rows(info, template, self._read_list(info, template, path), path)
        return Fragment(text)

    async def node(self, info: Info, id: str) -> Fragment | None:
        """The row of any kind with this id, or None."""
        [found] = await self._nodes(info, [(id, ("id",))])
        return found

    async def nodes(self, info: Info, ids: Sequence[str]) -> list[Fragment | None]:
        """Rows of any kind by their ids: one statement per kind. What is hidden or missing is None."""
        if len(ids) > MAX_PAGE:
            raise GradbookError(Code.LIMIT_EXCEEDED, f"{len(ids)} ids; at most {MAX_PAGE} are allowed.", ("ids",))
        return await self._nodes(info, [(text, ("ids", index)) for index, text in enumerate(ids)])

    async def _nodes(self, info: Info, ids: Sequence[tuple[str, tuple[str | int, ...]]]) -> list[Fragment | None]:
        kinds = {entity.prefix: entity for entity in self.entities.values()}
        wanted: dict[str, list[int]] = {}
        places: list[tuple[str, int]] = []
        for text, path in ids:
            entity = kinds.get(text.partition("_")[0])
            if entity is None:
                known = ", ".join(f"'{prefix}_…' ({type_name_words(kinds[prefix].name)})" for prefix in sorted(kinds))
                raise GradbookError(Code.INVALID_ID, f"{text[:40]!r} is no id: ids look like {known}.", path)
            number = decode_id(entity.prefix, text, type_name_words(entity.name), path)
            wanted.setdefault(entity.name, []).append(number)
            places.append((entity.name, number))
        reads = [Counted(self.by_ids(info, name, numbers), info.context.spent) for name, numbers in wanted.items()]
        found = await asyncio.gather(*reads)
        by_kind = dict(zip(wanted, found, strict=True))
        return [by_kind[name].get(number) for name, number in places]

    async def _rows_by_ids(
        self, info: Info, target: str, template: Template, ids: Sequence[int], path: Path
    ) -> dict[int, str]:
        """The JSON of the rows that the viewer sees."""
        read = self._read_ids(info, target, template, ids, path)
        return dict(await self._rows(info, template, read, path))

    async def _rows(self, info: Info, template: Template, read: Read, path: Path) -> list[tuple[int, str]]:
        """Rows of (id, JSON)."""
        rows: list[Any] = await info.context.database.read(*read.on(await self._plan(info.context, read)))
        if not template.attached:
            return rows
        texts = await self._splice(info, template, read.bound, [row[1] for row in rows], path)
        return [(row[0], text) for row, text in zip(rows, texts, strict=True)]

    async def _splice(
        self, info: Info, template: Template, bound: Bound, texts: Sequence[str], path: Path
    ) -> list[str]:
        async def read_rows(pick: Pick, ids: Sequence[int]) -> dict[int, str]:
            assert pick.template is not None
            return await self._rows_by_ids(info, pick.type_name, pick.template, ids, path)

        return await splice(template, bound, texts, info.context, read_rows)

    async def _plan(self, context: Context, read: Read) -> Plan:
        plan = self._known_plan(context, read)
        return plan or await self._make_apart(context, read)

    async def _make_apart(self, context: Context, read: Read) -> Plan:
        """In a thread: to compile takes 20 ms for a page, and 400 ms for the largest operation."""
        spent = Spent()
        making = asyncio.create_task(asyncio.to_thread(self._make, read, spent))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            await asyncio.gather(making, return_exceptions=True)  # who goes away has taken as much of the time
            raise
        finally:
            if making.done():
                context.compiling.include(spent)

    def _make(self, read: Read, spent: Spent) -> Plan:
        with spent:
            return self.plans.get(read.key, read.make)

    def _known_plan(self, context: Context, read: Read) -> Plan | None:
        plan = self.plans.find(read.key)
        if plan is None:
            context.owed += PLAN * (1 + len(read.bound.pages))
        return plan

    async def select(
        self, context: Context, target: str, where: Mapping[str, Any] | None, take: Take, named: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """What `take` selects of the rows that the viewer sees and of which `where` holds: one statement.

        For what is computed of many rows. Hidden rows are left out unless `where` mentions them. `named` are the values
        of the bind parameters in `take`. The path of an error leads into `where`.
        """
        viewer, database, entity = required_viewer(context), context.database, self.entities[target]
        bound = Bound()
        shape = WhereParser(self.entities, bound.values).parse(entity, where or {}, ("where",))

        def make() -> Plan:
            made = Compiler(self.entities, self.objects, SQL[database.dialect_name], viewer.kind, ())

            def see(name: str) -> tuple[Rows, Condition]:
                there = made.alias(self.entities[name])
                return there, scope_of(self.entities[name], there, viewer.kind, self.entities)

            rows, visible = see(target)
            holds = WhereCompiler(self.entities, made.sql, viewer.kind, made.slots).compile(entity, rows, shape)
            shown = true() if mentions(shape, entity.hidden) else entity.is_shown(rows)
            return make_plan(take(rows, see).where(visible, shown, holds), made.slots, database.dialect)

        key = ("select", target, take, shape, database.dialect_name, viewer.kind)
        read = Read(key, make, bound, {"viewer_id": viewer.id, **named})
        return list(await database.read(*read.on(await self._plan(context, read))))

    # Payloads

    def load(self, info: Info, uow: UnitOfWork, payload: Any) -> None:
        """Reads the payload's refs inside the unit of work: one statement per field of an entity type in the answer.

        Refs that were loaded before (of what has been deleted since) stay as they are.
        """
        for place, refs, read in self._unread(info, payload):
            plan = self._known_plan(info.context, read)
            if plan is None:
                spent = Spent()
                plan = self._make(read, spent)
                info.context.compiling.include(spent)
            place.answer(refs, uow.fetch(*read.on(plan)))

    def has_attached(self, info: Info) -> bool:
        """Whether the payload shows something that SQL cannot compute."""
        return any(place.template.attached for place in self._places(info))

    async def attach(self, info: Info, payload: Any) -> None:
        """Completes what SQL could not compute of a payload, outside of a transaction."""
        for place in self._places(info):
            refs = [item for item in place.refs(payload) if item.found.get(place.path) is not None]
            if place.template.attached and refs:
                bound = self.binder.bind(place.template, info, place.path)
                texts = [text for item in refs if (text := item.found[place.path]) is not None]
                spliced = await self._splice(info, place.template, bound, texts, place.path)
                for item, text in zip(refs, spliced, strict=True):
                    item.found[place.path] = text

    async def read(self, info: Info, payload: Any) -> None:
        """As `load` and `attach`, without a transaction: for the events of subscriptions."""
        for place, refs, read in self._unread(info, payload):
            place.answer(refs, await info.context.database.read(*read.on(await self._plan(info.context, read))))
        await self.attach(info, payload)

    def _unread(self, info: Info, payload: Any) -> Iterator[tuple[Place, list[Ref], Read]]:
        for place in self._places(info):
            refs = [item for item in place.refs(payload) if place.path not in item.found]
            if refs:
                ids = list(dict.fromkeys(item.id for item in refs))
                yield place, refs, self._read_ids(info, place.target, place.template, ids, place.path)

    def _places(self, info: Info) -> list[Place]:
        return _kept(info, ("payload", info.path.key), lambda: find_places(self.selections, info))

    # Statements

    def _read_ids(self, info: Info, target: str, template: Template, ids: Sequence[int], path: Path) -> Read:
        viewer = required_viewer(info.context)
        bound = self.binder.bind(template, info, path)
        start = len(bound.values)
        bound.values += [*ids, *padding(ids)]
        indexes = range(start, len(bound.values))
        entity = self.entities[target]
        return self._read(info, viewer, (template, indexes), bound, lambda made: made.by_ids(entity, template, indexes))

    def _read_list(self, info: Info, template: Template, path: Path) -> Read:
        viewer = required_viewer(info.context)
        bound = self.binder.bind(template, info, path)
        return self._read(info, viewer, (template,), bound, lambda made: made.connection(template))

    def _read(
        self, info: Info, viewer: Viewer, key: tuple[Any, ...], bound: Bound, select: Callable[[Compiler], Select[Any]]
    ) -> Read:
        database = info.context.database

        def make() -> Plan:
            compiler = Compiler(self.entities, self.objects, SQL[database.dialect_name], viewer.kind, bound.pages)
            return make_plan(select(compiler), compiler.slots, database.dialect)

        key = (*key, database.dialect_name, viewer.kind, tuple(bound.pages))
        return Read(key, make, bound, {"viewer_id": viewer.id, CURSOR_SECRET: self.secret})


def required_viewer(context: Context) -> Viewer:
    """The viewer; an error for anonymous callers."""
    if context.viewer is None:
        raise GradbookError(
            Code.UNAUTHENTICATED,
            "Sign in first: send an API key as 'Authorization: Bearer KEY', or sign in for a session.",
        )
    return context.viewer


def _kept(info: Info, key: tuple[Any, ...], make: Callable[[], T]) -> T:
    """What was made of a field's selection before, with the same values of @skip and @include."""
    templates = info.context.templates
    variants = templates.setdefault(key, {})
    flags = _flags(info)
    made: T | None = variants.get(flags)
    if made is None:
        if len(variants) >= MAX_VARIANTS:
            variants.clear()
        made = variants[flags] = make()
    return made


def _flags(info: Info) -> tuple[Any, ...]:
    """The values of the variables that directives depend on: the only ones that change a selection."""
    templates = info.context.templates
    names = templates.get("flags")
    if names is None:
        names = templates["flags"] = _flag_variables(info)
    coerced = info.variable_values.coerced
    return tuple([coerced.get(name) for name in names])


def _flag_variables(info: Info) -> tuple[str, ...]:
    found: set[str] = set()

    class Flags(Visitor):
        def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
            found.update(item.value.name.value for item in node.arguments or () if isinstance(item.value, VariableNode))

    visit(info.operation, Flags())
    for fragment in info.fragments.values():
        visit(fragment, Flags())
    return tuple(sorted(found))
