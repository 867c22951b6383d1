"""A small schema behind the socket, a server for it in this process, and what its operations have done.

`python -m tests.graphql_socket.service` serves it as a process of its own and prints the port.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self, cast

import uvicorn
from graphql import GraphQLSchema, build_schema
from starlette.requests import HTTPConnection, Request

from app.cli.wire import BoundedWebSocket
from app.db.database import Database
from app.errors import Code, GradbookError
from app.graphql.admission import Admission, AdmissionLimits
from app.graphql.bodies import BodyLimits
from app.graphql.engine import Viewer
from app.graphql.http import GraphQLEndpoint
from app.graphql.limits import Allowed
from app.graphql.operations import Operations
from app.graphql.schema import Built
from app.graphql.socket import GraphQLSocket, SocketLimits
from app.graphql.sse import EventStreams, StreamLimits
from app.live.bus import MemoryBus
from app.live.feeds import Batch, Feed, feed

SDL = """
type Query {
  "Who asks."
  viewer: String
  "The argument again."
  echo(text: String!): String!
  "Waits until it is cut off."
  forever: Int
  "Fails in a way that nobody foresaw."
  broken: Int
  "Fails in a way that the caller can mend."
  refused: Int!
  "Rows, which the database takes minutes to count."
  minutes: Int
}

type Mutation {
  "Writes when the gate opens."
  write(value: Int!): Int!
}

type Subscription {
  "Counts up to a number, or until it is cut off."
  count(to: Int = 1000000000): Int!
  "Texts of so many characters that begin with their number, as fast as they are taken."
  texts(length: Int!): String!
  "Silence."
  silence: Int!
  "The numbers of a log that grows, joined by blanks after so many signs; who asks for the same shares each read."
  log(signs: Int!, after: Int): String!
  "Counts to 2, then fails in a way that the caller can mend."
  failing: Int!
  "Counts to 2, then fails in a way that nobody foresaw."
  breaking: Int!
  "Cannot begin."
  refused: Int!
  "One result, which the database takes minutes to count."
  minutes: Int
}
"""

# Both count to a billion: minutes of work for one statement.
COUNT_TO_A_BILLION = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)"
    " SELECT count(*) FROM n",
    "postgresql": "SELECT count(*) FROM generate_series(1, 1000000000) AS minutes",
}


@dataclass(frozen=True)
class Caller:
    """A viewer."""

    name: str
    id: int = 1
    kind: str = "OWNER"


@dataclass
class Deeds:
    """What the operations have done, and what they wait for."""

    open: int = 0
    """Operations that have begun and have not been cleaned up."""
    given: int = 0
    """Results that streams have given."""
    written: list[int] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    identified: list[Mapping[str, Any]] = field(default_factory=list)
    bus: MemoryBus = field(default_factory=lambda: MemoryBus(heal_seconds=600))
    log: list[int] = field(default_factory=list)
    reads: int = 0
    """How often the log was read."""
    ends: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What the access watch would call, for each socket of a signed-in caller that is open."""

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    @contextlib.contextmanager
    def watch(self, viewer: Viewer, end: Callable[[], Awaitable[None]]) -> Iterator[None]:
        self.ends.append(end)
        try:
            yield
        finally:
            self.ends.remove(end)

    def append(self, *numbers: int) -> None:
        self.log += numbers
        self.bus.publish(["log"])

    async def identify(self, connection: HTTPConnection, parameters: Mapping[str, Any]) -> Viewer | None:
        """By `{"name": …}`; some names are special."""
        self.identified.append(parameters)
        name = parameters.get("name")
        match name:
            case None:
                return None
            case "slow":
                await self.gate.wait()
            case "wrong":
                raise GradbookError(Code.UNAUTHENTICATED, "The API key is unknown, or it was revoked; make another.")
            case "busy":
                raise GradbookError(Code.DATABASE_BUSY, "The database is busy: try again.")
            case "odd":
                raise GradbookError(Code.INVALID_INPUT, "'name' is odd.")
            case "broken":
                raise ZeroDivisionError("a secret")
        return Caller(name)


class Resolvers:
    """What stands behind the schema's fields."""

    def __init__(self, deeds: Deeds) -> None:
        self._deeds = deeds

    def fields(self) -> dict[str, dict[str, Any]]:
        """Of queries and mutations, by type and name."""
        query = {
            "viewer": lambda _, info: getattr(info.context.viewer, "name", None),
            "echo": lambda _, info, text: text,
            "forever": self._forever,
            "broken": lambda _, info: 1 // 0,
            "refused": self._refuse,
            "minutes": self._minutes,
        }
        return {"Query": query, "Mutation": {"write": self._write}}

    def streams(self) -> dict[str, Any]:
        """Of subscriptions, by name."""
        return {
            "count": lambda _, info, to: self._stream(lambda number: number, to),
            "texts": lambda _, info, length: self._stream(lambda number: f"{number:x<{length}}"),
            "silence": self._silence,
            "log": self._log,
            "failing": lambda _, info: self._until(GradbookError(Code.NOT_FOUND, "It is gone.")),
            "breaking": lambda _, info: self._until(ZeroDivisionError("a secret")),
            "refused": self._refuse,
            "minutes": self._minutes_stream,
        }

    async def _forever(self, _: Any, info: Any) -> None:
        with self._deeds.counted():
            await asyncio.Event().wait()

    async def _minutes(self, _: Any, info: Any) -> int:
        with self._deeds.counted():
            database: Database = info.context.database
            rows = await database.read(COUNT_TO_A_BILLION[database.dialect_name])
            return int(rows[0][0])

    async def _write(self, _: Any, info: Any, value: int) -> int:
        with self._deeds.counted():
            await self._deeds.gate.wait()
            self._deeds.written.append(value)
            return value

    def _refuse(self, *_: Any) -> Any:
        raise GradbookError(Code.NOT_FOUND, "There is no such thing.")

    async def _stream(self, of: Callable[[int], Any], to: int = sys.maxsize) -> AsyncIterator[Any]:
        with self._deeds.counted():
            for number in range(1, to + 1):
                await asyncio.sleep(0)
                self._deeds.given += 1
                yield of(number)

    async def _silence(self, _: Any, info: Any) -> AsyncIterator[int]:
        with self._deeds.counted():
            await asyncio.Event().wait()
            yield 0

    def _log(self, _: Any, info: Any, signs: int, after: int | None = None) -> Feed[str]:
        async def read(position: tuple[int, ...] | None) -> Batch[str]:
            self._deeds.reads += 1
            with self._deeds.counted():
                await asyncio.sleep(0)
            begin, end = position[0] if position else 0, len(self._deeds.log)
            text = " ".join(map(str, self._deeds.log[begin:end]))
            return Batch(signs * "x" + text if end > begin else None, (end,))

        return feed(self._deeds.bus, ("log",), None if after is None else (after,), read)

    async def _minutes_stream(self, _: Any, info: Any) -> AsyncIterator[int]:
        yield await self._minutes(_, info)

    async def _until(self, error: Exception) -> AsyncIterator[int]:
        with self._deeds.counted():
            yield 1
            yield 2
            raise error


def schema(deeds: Deeds) -> GraphQLSchema:
    """The schema with its resolvers."""
    built = build_schema(SDL)
    resolvers = Resolvers(deeds)
    for type_name, fields in resolvers.fields().items():
        for name, resolver in fields.items():
            cast(Any, built.type_map[type_name]).fields[name].resolve = resolver
    for name, source in resolvers.streams().items():
        stream = cast(Any, built.type_map["Subscription"]).fields[name]
        stream.subscribe, stream.resolve = source, lambda value, info, **_: value
    return built


DEFAULTS = SocketLimits()


def socket(deeds: Deeds, limits: SocketLimits = DEFAULTS, database: Database | None = None) -> GraphQLSocket:
    """The door over the schema."""
    operations = _operations(deeds, database)
    many = Admission(AdmissionLimits(sockets_per_caller=10_000))  # all of them from one address
    return GraphQLSocket(operations, deeds.identify, watch=deeds.watch, limits=limits, admission=many)


def streams(
    deeds: Deeds,
    limits: StreamLimits | None = None,
    database: Database | None = None,
    bodies: BodyLimits = BodyLimits(1024 * 1024),  # noqa: B008 - frozen
    seconds: float = 60,
) -> EventStreams:
    """The door for HTTP over the schema. Who asks stands in the header `name`."""

    async def identify(request: Request) -> Viewer | None:
        return await deeds.identify(request, {"name": request.headers.get("name")})

    operations = _operations(deeds, database, seconds)
    endpoint = GraphQLEndpoint(operations, identify, bodies)
    return EventStreams(endpoint, operations, watch=deeds.watch, limits=limits or StreamLimits())


def _operations(deeds: Deeds, database: Database | None, seconds: float = 60) -> Operations:
    built = Built(cast(Any, None), schema(deeds), cast(Any, SimpleNamespace(entities={})))
    return Operations(built, cast(Database, database), None, Allowed(seconds=seconds))


def config(app: Any, **options: Any) -> uvicorn.Config:
    """As the product runs it."""
    return uvicorn.Config(
        app,
        port=0,
        lifespan="off",
        log_config=None,
        ws=BoundedWebSocket,
        ws_max_size=2 * DEFAULTS.max_frame_bytes,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        **options,
    )


class Server(uvicorn.Server):
    """In this process, and without its signal handlers."""

    async def __aenter__(self) -> Self:
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup()
        return self

    async def __aexit__(self, *_: object) -> None:
        # As `shutdown`, which sleeps in between.
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        async with asyncio.timeout(10):
            while self.server_state.connections or self.server_state.tasks:
                await asyncio.sleep(0.001)

    @property
    def port(self) -> int:
        """Where it listens."""
        number: int = self.servers[0].sockets[0].getsockname()[1]
        return number

    @property
    def url(self) -> str:
        """The endpoint's address."""
        return f"ws://127.0.0.1:{self.port}/graphql"


@contextlib.asynccontextmanager
async def running(app: GraphQLSocket | EventStreams) -> AsyncIterator[str]:
    """A server for the door in this process: its URL."""
    async with Server(config(app)) as server:
        yield server.url


class _PrintingServer(Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"{self.port}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    patient = SocketLimits(ping_seconds=600)  # a busy machine may take long to open a thousand sockets
    _PrintingServer(config(socket(Deeds(), patient), loop="uvloop", timeout_graceful_shutdown=5)).run()
