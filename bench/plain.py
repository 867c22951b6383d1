"""RecordPage as people write it with Strawberry and SQLAlchemy: ORM objects by `selectinload`, field by field.

It is written with care, not to lose: parsed and validated documents are cached, JSON is written by orjson, a page takes
a constant number of statements, leaf fields have no resolvers, and the resolvers of the many are synchronous.
"""

import datetime
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, cast

import orjson
import strawberry
from sqlalchemy import Executable, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

from app.accounts import credentials
from app.annotation.enums import RecordStatus, ResponseStatus
from app.annotation.types import Record as ProductRecord
from app.db.secrets import CURSORS
from app.graphql.paging import SIGNATURE, order_tag
from bench import plain_tables as tables

Info = strawberry.Info[Any, Any]
Instant = strawberry.scalar(
    name="DateTime", serialize=lambda instant: instant.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
)


@strawberry.type
class User:
    """Who answered."""

    id: strawberry.ID
    username: str


@strawberry.type
class Response:
    """An answer."""

    id: strawberry.ID
    status: ResponseStatus
    values: JSON | None
    updated_at: datetime.datetime
    user: User | None

    @classmethod
    def of(cls, row: tables.Response) -> Self:
        """From the ORM."""
        user = User(id=strawberry.ID(f"usr_{row.user.id}"), username=row.user.username)
        return cls(
            id=strawberry.ID(f"rsp_{row.id}"),
            status=row.status,
            values=row.values,  # type: ignore[arg-type]  # any JSON
            updated_at=row.updated_at,
            user=user,
        )


@strawberry.type
class Suggestion:
    """A suggestion."""

    question: str
    value: JSON
    score: float | None
    agent: str | None


@strawberry.type
class ResponseConnection:
    """A record's answers."""

    total_count: int
    nodes: list[Response]


@strawberry.type
class Record:
    """A record."""

    row: strawberry.Private[tables.Record]
    id: strawberry.ID
    external_id: str | None
    status: RecordStatus
    fields: JSON
    metadata: JSON | None
    inserted_at: datetime.datetime
    updated_at: datetime.datetime
    submitted_count: int

    @strawberry.field
    def responses(self, first: int = 50) -> ResponseConnection:
        """Its answers, loaded with the page."""
        rows = self.row.responses
        return ResponseConnection(total_count=len(rows), nodes=[Response.of(row) for row in rows[:first]])

    @strawberry.field
    def suggestions(self) -> list[Suggestion]:
        """Its suggestions, loaded with the page."""
        return [
            Suggestion(question=row.question, value=row.value, score=row.score, agent=row.agent)
            for row in self.row.suggestions
        ]

    @classmethod
    def of(cls, row: tables.Record) -> Self:
        """From the ORM."""
        return cls(
            row=row,
            id=strawberry.ID(f"rec_{row.id}"),
            external_id=row.external_id,
            status=row.status,
            fields=row.fields,  # type: ignore[arg-type]
            metadata=row.metadata_,  # type: ignore[arg-type]
            inserted_at=row.inserted_at,
            updated_at=row.updated_at,
            submitted_count=row.submitted_count,
        )


@strawberry.type
class RecordEdge:
    """A record with its cursor."""

    cursor: str
    node: Record


@strawberry.type
class PageInfo:
    """What lies around a page."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type
class RecordConnection:
    """A page of records."""

    dataset_id: strawberry.Private[int]
    page_info: PageInfo
    edges: list[RecordEdge]

    @strawberry.field
    async def total_count(self, info: Info) -> int:
        """Of the whole list."""
        counted = select(func.count()).select_from(tables.Record).where(tables.Record.dataset_id == self.dataset_id)
        async with info.context["sessions"]() as session:
            return int(await session.scalar(counted) or 0)


@strawberry.type
class Progress:
    """How far the records are."""

    total: int
    completed: int
    pending: int


@strawberry.input
class RecordWhere:
    """Named by the operation."""

    id: strawberry.ID | None = None


@strawberry.input
class RecordOrder:
    """Named by the operation."""

    field: str | None = None


@strawberry.type
class Dataset:
    """A dataset."""

    number: strawberry.Private[int]
    id: strawberry.ID
    name: str

    @strawberry.field
    async def progress(self, info: Info) -> Progress:
        """Counted by the database."""
        status = tables.Record.status
        counted = select(
            func.count(),
            func.count().filter(status == RecordStatus.COMPLETED),
            func.count().filter(status == RecordStatus.PENDING),
        ).where(tables.Record.dataset_id == self.number)
        async with info.context["sessions"]() as session:
            total, completed, pending = (await session.execute(counted)).one()
        return Progress(total=total, completed=completed, pending=pending)

    @strawberry.field
    async def records(
        self,
        info: Info,
        first: int = 50,
        after: str | None = None,
        where: RecordWhere | None = None,
        order_by: list[RecordOrder] | None = None,
        search: str | None = None,
    ) -> RecordConnection:
        """The oldest first."""
        page = (
            select(tables.Record)
            .where(tables.Record.dataset_id == self.number)
            .order_by(tables.Record.id)
            .limit(first + 1)
            .options(
                selectinload(tables.Record.responses).selectinload(tables.Response.user),
                selectinload(tables.Record.suggestions),
            )
        )
        async with info.context["sessions"]() as session:
            rows = list(await session.scalars(page))
        cursor: Callable[[int], str] = info.context["cursor"]
        edges = [RecordEdge(cursor=cursor(row.id), node=Record.of(row)) for row in rows[:first]]
        page_info = PageInfo(
            has_next_page=len(rows) > first,
            has_previous_page=after is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        )
        return RecordConnection(dataset_id=self.number, page_info=page_info, edges=edges)


@strawberry.type
class Query:
    """The root."""

    @strawberry.field
    async def dataset(self, info: Info, id: strawberry.ID) -> Dataset | None:
        """One that the viewer sees."""
        number = int(id.removeprefix("dst_"))
        mine = select(tables.Membership.workspace_id).where(tables.Membership.user_id == info.context["viewer_id"])
        visible = select(tables.Dataset).where(tables.Dataset.id == number, tables.Dataset.workspace_id.in_(mine))
        async with info.context["sessions"]() as session:
            row = (await session.scalars(visible)).one_or_none()
        return None if row is None else Dataset(number=row.id, id=id, name=row.name)


schema = strawberry.Schema(
    Query,
    extensions=[ParserCache, ValidationCache],
    config=StrawberryConfig(scalar_map={datetime.datetime: Instant}),
)


class View(GraphQL[dict[str, Any], None]):
    """The HTTP view; it knows the caller by the product's own statement."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession], secret: str) -> None:
        super().__init__(schema, graphql_ide=None)
        self._sessions = sessions
        self._secret = secret
        self._tag = order_tag(ProductRecord.__entity__, (), ())  # type: ignore[attr-defined]

    async def get_context(self, request: Request | WebSocket, response: HttpResponse | WebSocket) -> dict[str, Any]:
        """Who calls, and where sessions come from."""
        secret = request.headers["authorization"].removeprefix("Bearer ")
        given = {"now": datetime.datetime.now(datetime.UTC), "secret_hash": credentials.hashed(secret)}
        by_hash = cast("Executable", credentials._BY_HASH.core)
        async with self._sessions() as session:
            found = (await session.execute(by_hash, given)).one()
        return {"sessions": self._sessions, "viewer_id": found[1], "cursor": self._cursor}

    def encode_json(self, data: object) -> bytes:
        """By orjson."""
        return orjson.dumps(data)

    def decode_json(self, data: str | bytes) -> object:
        """By orjson."""
        return orjson.loads(data)

    def _cursor(self, record_id: int) -> str:
        """The product's cursor, so that all answers are equal."""
        body = f'["{self._tag}",{record_id}]'.encode()
        return body.hex() + hashlib.sha256(self._secret.encode() + body).hexdigest()[:SIGNATURE]


def page(url: str) -> Starlette:
    """RecordPage."""
    views: dict[str, View] = {}

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        engine = _engine(url)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        async with sessions() as session:
            found = await session.scalar(text("SELECT value FROM secret WHERE name = :name"), {"name": CURSORS})
        views["/graphql"] = View(sessions, str(found))
        yield {}
        await engine.dispose()

    class _View:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await views["/graphql"](scope, receive, send)

    return Starlette(routes=[Route("/graphql", _View())], lifespan=lifespan)


def _engine(url: str) -> AsyncEngine:
    if url.startswith("sqlite"):
        return create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"), pool_size=16)
    # The product's JSON type takes JSON as text.
    return create_async_engine(
        url, pool_size=16, json_deserializer=str, connect_args={"server_settings": {"jit": "off"}}
    )
