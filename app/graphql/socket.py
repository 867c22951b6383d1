"""GraphQL over WebSocket: the graphql-transport-ws protocol at /graphql."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from app.errors import Code, GradbookError
from app.graphql import frames
from app.graphql.admission import Admission, Share, deny, too_many
from app.graphql.bodies import Holding
from app.graphql.budget import MESSAGE, RECEIVED
from app.graphql.engine import Viewer
from app.graphql.frames import CloseCode, SocketError
from app.graphql.operations import Operations, Prepared, Request, RequestError, Result, encoded, shown
from app.graphql.sharing import Message
from app.graphql.spent import Spent

_log = logging.getLogger(__name__)

Identify = Callable[[WebSocket, Mapping[str, Any]], Awaitable[Viewer | None]]
"""Who is calling, by the handshake and what `connection_init` holds; raises UNAUTHENTICATED for wrong credentials."""

Watch = Callable[[Viewer, Callable[[], Awaitable[None]]], AbstractContextManager[None]]
"""`with watch(viewer, end)`: during the block `end` is called as soon as the viewer's credential does not hold."""

# A close frame that cannot be sent for so long never will be: the other side does not read.
_CLOSE_SECONDS = 2.0

_COUNTED = 0.002
"""Seconds of messages that are counted together; who sends fewer is not looked at."""

_REFUSALS = {
    Code.UNAUTHENTICATED.name: CloseCode.FORBIDDEN,
    Code.FORBIDDEN.name: CloseCode.FORBIDDEN,
    Code.RATE_LIMITED.name: CloseCode.TRY_AGAIN_LATER,
    Code.LIMIT_EXCEEDED.name: CloseCode.TOO_MANY,
    Code.DATABASE_BUSY.name: CloseCode.TRY_AGAIN_LATER,
    Code.DATABASE_UNAVAILABLE.name: CloseCode.TRY_AGAIN_LATER,
}


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What one socket may take."""

    init_seconds: float = 5
    """How long a client may take to send `connection_init`."""

    ping_seconds: float = 20
    """How often the server asks whether the client is still there."""

    pong_seconds: float = 20
    """How long the client may take to answer; any message will do."""

    max_operations: int = 100
    """Operations that run at a time, those included that the client has left and that have not ended yet."""

    max_frame_bytes: int = 1024 * 1024
    """Bytes of a message. The server's own limit (uvicorn's `ws_max_size`, answered by 1009) should be above it."""


class GraphQLSocket:
    """The ASGI application behind /graphql for WebSockets."""

    def __init__(
        self,
        operations: Operations,
        identify: Identify,
        *,
        watch: Watch,
        limits: SocketLimits = SocketLimits(),
        admission: Admission | None = None,
    ) -> None:
        self.admission = admission or Admission()
        self.operations = operations
        self.identify = identify
        self.watch = watch
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket to its end."""
        websocket = WebSocket(scope, receive, send)
        try:  # until it has said who it is, it counts for its address
            share = self.admission.sockets_of.take(self.admission.caller_of(None))
        except GradbookError as error:
            await deny(websocket, too_many(error))
            return
        try:
            if await self._accept(websocket):
                await _Connection(self, websocket, share).serve()
        finally:
            share.release()

    async def _accept(self, websocket: WebSocket) -> bool:
        await websocket.receive()
        with suppress(OSError, WebSocketDisconnect):  # the client may vanish during the handshake
            if frames.SUBPROTOCOL not in websocket.scope["subprotocols"]:
                await websocket.accept()
                await websocket.close(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")
            else:
                await websocket.accept(frames.SUBPROTOCOL)
                return True
        return False


@dataclass(slots=True, eq=False)
class _Operation:
    """One operation of a socket. While it is not `cuttable` it writes, and goes on though nobody listens."""

    id: str
    prepared: Prepared
    held: ExitStack
    cuttable: bool
    task: asyncio.Task[None] = field(init=False)


class _Connection:
    """One accepted socket.

    The listener reads messages one after the other; each operation has a task, which takes its next result only after
    the one before was sent; all send through one lock. So a client that does not read holds one result per operation.
    """

    def __init__(self, door: GraphQLSocket, websocket: WebSocket, share: Share) -> None:
        self._door = door
        self._admission = door.admission
        self._share = share
        self._limits = door.limits
        self._websocket = websocket
        self._viewer: Viewer | None = None
        self._initialised = False
        self._acknowledged = False
        self._operations: dict[str, _Operation] = {}  # those whose messages the client expects
        self._running: set[_Operation] = set()
        self._attendant: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self._heard = asyncio.Event()
        self._message_size = 0
        self._spent = Spent()
        self._watched = ExitStack()
        # When the deadline passes, the listener ends, and the socket is closed for this reason.
        self._deadline = asyncio.timeout(self._limits.init_seconds)
        self._reason = SocketError(CloseCode.TIMEOUT, "Connection initialisation timeout")

    async def serve(self) -> None:
        """Serve the socket until either side ends it; writing operations are waited for."""
        try:
            with self._watched:
                closing = await self._listen()
            self._operations = {}
            for operation in self._running:
                self._leave(operation)
            if self._attendant is not None:
                self._attendant.cancel()
            if closing is not None:
                await self._close(closing)
            if tasks := self._tasks():
                await asyncio.wait(tasks)
        finally:
            for task in self._tasks():  # some are left only if we are cancelled ourselves
                task.cancel()

    def _tasks(self) -> set[asyncio.Task[None]]:
        tasks = {operation.task for operation in self._running}
        return tasks if self._attendant is None else {self._attendant, *tasks}

    # Listening

    async def _listen(self) -> SocketError | None:
        """Handle messages until the socket ends; with what to close it, None if it is closed already."""
        try:
            async with self._deadline:
                while (event := await self._websocket.receive())["type"] == "websocket.receive":
                    self._heard.set()
                    text = event.get("text")
                    self._message_size = len(text or "")
                    with self._spent:
                        message = frames.read(text, max_bytes=self._limits.max_frame_bytes)
                    await self._pace()
                    await self._handle(message)
                    # Many small messages come in one piece: others get their turn between two of them.
                    await asyncio.sleep(0)
        except TimeoutError:
            return self._reason
        except SocketError as error:
            return error
        except WebSocketDisconnect:
            pass
        return None

    async def _pace(self) -> None:
        """Count what messages take. Who takes too much of the server's time is read later, or not at all."""
        self._spent.add(MESSAGE + RECEIVED * self._message_size)
        if self._spent.busy < _COUNTED:
            return
        spent, self._spent = self._spent, Spent()
        self._door.operations.hold(self._viewer, spent)
        try:
            await self._door.operations.admit(self._viewer)
        except GradbookError as error:
            reason = f"Too many messages: try again in {error.retry_after} seconds"
            raise SocketError(CloseCode.TRY_AGAIN_LATER, reason) from error

    def _end(self, reason: SocketError) -> None:
        """End the listener from another task."""
        with suppress(RuntimeError):  # it has ended
            self._deadline.reschedule(0)
            self._reason = reason

    async def _revoked(self) -> None:
        self._end(SocketError(CloseCode.FORBIDDEN, "Forbidden: the credential of this connection no longer holds"))

    async def _handle(self, message: frames.Message) -> None:
        match message:
            case frames.Init(parameters):
                if self._initialised:
                    raise SocketError(CloseCode.TOO_MANY, "Too many initialisation requests")
                self._initialised = True
                self._deadline.reschedule(None)
                self._attendant = asyncio.create_task(self._attend(parameters), name="socket attendant")
            case frames.Ping(payload):
                await self._send(frames.pong(payload))
            case frames.Pong():
                pass
            case frames.Subscribe(id, request):
                await self._subscribe(id, request)
            case frames.Complete(id):
                operation = self._operations.pop(id, None)
                if operation is not None:
                    self._leave(operation)

    # The client

    async def _attend(self, parameters: Mapping[str, Any]) -> None:
        """Find out who it is, welcome it, and look from time to time whether it is still there."""
        try:
            self._viewer = await self._door.identify(self._websocket, parameters)
            self._share.move(self._admission.caller_of(self._viewer))
            if self._viewer is not None:
                self._watched.enter_context(self._door.watch(self._viewer, self._revoked))
            self._acknowledged = True
            await self._send(frames.ack())
            while await self._is_there():
                pass
            self._end(SocketError(CloseCode.TIMEOUT, f"No pong within {self._limits.pong_seconds:g} seconds"))
        except WebSocketDisconnect:
            pass
        except GradbookError as error:
            code = _REFUSALS.get(error.code, CloseCode.BAD_REQUEST)
            self._end(SocketError(code, f"Forbidden: {error}" if code is CloseCode.FORBIDDEN else error.message))
        except Exception:  # noqa: BLE001 - whatever it was, the client has to hear something
            _log.exception("A socket's client could not be identified")
            self._end(SocketError(CloseCode.INTERNAL_ERROR, "Internal server error"))

    async def _is_there(self) -> bool:
        await asyncio.sleep(self._limits.ping_seconds)
        self._heard.clear()
        try:
            async with asyncio.timeout(self._limits.pong_seconds):
                await self._send(frames.ping())
                await self._heard.wait()
        except TimeoutError:
            return False
        return True

    # Operations

    async def _subscribe(self, id: str, request: Request) -> None:
        if not self._acknowledged:
            raise SocketError(CloseCode.UNAUTHORIZED, "Unauthorized")
        if id in self._operations:
            raise SocketError(CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {id} already exists")
        try:
            await self._make_room()
            await self._door.operations.admit(self._viewer)
            await self._door.operations.look_up(request)
            prepared = self._door.operations.prepare(request, self._viewer)
            held = self._hold(prepared)
        except RequestError as error:
            await self._send(frames.error(id, error.result["errors"]))
        except Exception as error:  # noqa: BLE001 - it is logged, and told as far as the client may know
            await self._send(frames.error(id, [shown(error)]))
        else:
            self._start(_Operation(id, prepared, held, cuttable=not prepared.writes))

    def _hold(self, prepared: Prepared) -> ExitStack:
        """Count a subscription, and the bytes of a large message. Raises LIMIT_EXCEEDED and OVERLOADED."""
        with ExitStack() as held:
            holding = Holding(self._admission.held)
            holding.grow(self._message_size)
            held.callback(holding.release)
            if prepared.is_subscription:
                caller = self._admission.caller_of(self._viewer)
                held.callback(self._admission.subscriptions_of.take(caller).release)
            return held.pop_all()

    async def _make_room(self) -> None:
        limit = self._limits.max_operations
        while len(self._running) >= limit and (ending := [task for task in self._tasks() if task.cancelling()]):
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        if len(self._running) >= limit:
            raise GradbookError(
                Code.LIMIT_EXCEEDED,
                f"This connection runs {limit} operations already: complete one of them, or open another connection.",
            )

    def _start(self, operation: _Operation) -> None:
        operation.task = asyncio.create_task(self._run(operation), name="socket operation")
        operation.task.add_done_callback(lambda _: self._ended(operation))
        self._running.add(operation)
        self._operations[operation.id] = operation

    def _ended(self, operation: _Operation) -> None:
        self._running.discard(operation)
        operation.held.close()

    def _leave(self, operation: _Operation) -> None:
        """Nobody listens to it any more. Its reads end now; what writes goes on, and its answer is dropped."""
        if operation.cuttable:
            # One turn later: in this one graphql-core may have made coroutines that warn if they never begin.
            asyncio.get_running_loop().call_soon(operation.task.cancel)

    async def _run(self, operation: _Operation) -> None:
        work = self._stream if operation.prepared.is_subscription else self._answer
        try:
            errors = await work(operation)
            last = frames.error(operation.id, errors) if errors else frames.complete(operation.id)
            await self._tell(operation, last, last=True)
        except WebSocketDisconnect:
            pass  # the listener hears of it too
        except Exception as error:  # noqa: BLE001 - it is logged, and told as far as the client may know
            with suppress(WebSocketDisconnect):
                await self._tell(operation, frames.error(operation.id, [shown(error)]), last=True)

    async def _answer(self, operation: _Operation) -> Sequence[Mapping[str, Any]] | None:
        """Send the result of a query or mutation, or give back what kept it from being executed."""
        result = await self._door.operations.execute(operation.prepared, self._viewer)
        operation.cuttable = True
        if "data" not in result:
            return _errors(result)
        before, after = frames.next_result(operation.id)
        await self._tell(operation, before + encoded(result) + after)
        return None

    async def _stream(self, operation: _Operation) -> Sequence[Mapping[str, Any]] | None:
        """Send the results of a subscription, or give back what kept it from being executed."""
        before, after = frames.next_result(operation.id)

        def send(message: Message) -> Coroutine[Any, Any, None]:
            return self._tell(operation, before + message.text + after)

        refused = await self._door.operations.subscribe(operation.prepared, self._viewer, send)
        return None if refused is None else _errors(refused)

    # Sending

    async def _tell(self, operation: _Operation, text: str, *, last: bool = False) -> None:
        """Send a message of an operation, unless the client has left it; after the last one its id is free."""
        # Not `async with`, which would take two coroutines more for each message of each subscriber.
        await self._sending.acquire()
        try:
            if self._operations.get(operation.id) is operation:
                if last:
                    del self._operations[operation.id]
                await self._transmit(text)
        finally:
            self._sending.release()

    async def _send(self, text: str) -> None:
        async with self._sending:
            await self._transmit(text)

    async def _transmit(self, text: str) -> None:
        """Raises WebSocketDisconnect if the client is gone."""
        try:
            await self._websocket.send({"type": "websocket.send", "text": text})
        except WebSocketDisconnected as error:
            raise WebSocketDisconnect from error

    async def _close(self, error: SocketError) -> None:
        with suppress(WebSocketDisconnect, WebSocketDisconnected, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._websocket.close(error.code, error.reason)


def _errors(result: Result) -> Sequence[Mapping[str, Any]]:
    errors: Sequence[Mapping[str, Any]] = result["errors"]
    return errors
