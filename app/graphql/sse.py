"""Streams over HTTP at /graphql: an operation's results in one response, as `app.graphql.framing` writes them.

Whoever accepts `text/event-stream` gets events, for whatever operation. What is wrong with a document is told by an
event too, since a browser's EventSource does not see the body of an error; what is wrong with the HTTP request or its
credentials is answered by its status. Whoever accepts `multipart/mixed;subscriptionSpec=1.0` gets parts for a
subscription, and for everything else what they would get without.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import GradbookError
from app.graphql import media
from app.graphql.admission import Admission
from app.graphql.engine import Viewer
from app.graphql.framing import EVENTS, PARTS, Framing
from app.graphql.http import GraphQLEndpoint, accepted, only_reads
from app.graphql.operations import Operations, Prepared, RequestError, Result, encoded, shown
from app.graphql.refusals import BadRequestError, refusal
from app.graphql.sharing import Message
from app.graphql.socket import Watch

# An end that cannot be sent for so long never will be: the other side does not read.
_CLOSE_SECONDS = 2.0

_OFFERED = (media.EVENT_STREAM, media.MULTIPART, media.RESPONSE, media.JSON)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What one stream may take."""

    alive_seconds: float = 20
    """How often something is sent that says nothing. A client that takes nothing from one to the next is given up."""


class EventStreams:
    """The ASGI application behind /graphql for HTTP: streams for whoever accepts them, `endpoint` for others."""

    def __init__(
        self,
        endpoint: GraphQLEndpoint,
        operations: Operations,
        *,
        watch: Watch,
        limits: StreamLimits = StreamLimits(),
        admission: Admission | None = None,
    ) -> None:
        self._admission = admission or Admission()
        self.operations = operations
        self.watch = watch
        self.limits = limits
        self._endpoint = endpoint
        self._open: set[_Stream] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = HttpRequest(scope, receive)
        match media.choose(accepted(request), _OFFERED):
            case media.EVENT_STREAM:
                answer = await self._events(request)
            case media.MULTIPART:
                answer = await self._endpoint.answer(request, self._parts)
            case _:
                answer = self._endpoint
        await answer(scope, receive, send)

    async def _events(self, request: HttpRequest) -> ASGIApp:
        try:
            prepared, viewer = await self._prepare(request)
        except (BadRequestError, GradbookError) as error:
            return refusal(error)
        except RequestError as error:
            return partial(self._serve, EVENTS, error.result, None)
        return partial(self._serve, EVENTS, prepared, viewer)

    def _parts(self, prepared: Prepared, viewer: Viewer | None) -> ASGIApp:
        return partial(self._serve, PARTS, prepared, viewer)

    async def _serve(
        self,
        framing: Framing,
        work: Prepared | Result,
        viewer: Viewer | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        try:
            opened = self._count(work, viewer)
        except (BadRequestError, GradbookError) as error:
            await refusal(error)(scope, receive, send)
            return
        stream = _Stream(self, framing, work, viewer, receive, send)
        self._open.add(stream)
        try:
            with opened:
                await stream.serve()
        finally:
            self._open.discard(stream)

    def _count(self, work: Prepared | Result, viewer: Viewer | None) -> ExitStack:
        """Count it as a stream until the stack is closed; what answers once is a request as any other."""
        if isinstance(work, Prepared) and work.is_subscription:
            return self._admission.open_stream(viewer)
        return ExitStack()

    def close(self) -> None:
        """End all streams: the server stops. Clients that reconnect go on after the last event they got."""
        for stream in self._open:
            stream.end()

    async def _prepare(self, request: HttpRequest) -> tuple[Prepared, Viewer | None]:
        asked, viewer = await self._endpoint.read(request)
        prepared = self.operations.prepare(asked, viewer)
        if request.method == "GET" and not (prepared.is_subscription or prepared.is_query):
            raise only_reads()
        last = request.headers.get("last-event-id")
        if last:
            # A browser that connects again sends the same URL: what it got since is later than what stands there.
            variables = dict(asked.variables or {}) | dict.fromkeys(prepared.operation.positions, last)
            prepared = replace(prepared, request=replace(asked, variables=variables))
        return prepared, viewer


class _Stream:
    """One response. The operation has a task, and so has the attendant, who looks whether the client is still there."""

    def __init__(
        self,
        door: EventStreams,
        framing: Framing,
        work: Prepared | Result,
        viewer: Viewer | None,
        receive: Receive,
        send: Send,
    ) -> None:
        self._door = door
        self._framing = framing
        self._work = work
        self._viewer = viewer
        self._receive = receive
        self._send = send
        self._sending = asyncio.Lock()
        self._sent = 0
        self._farewell = ""
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Serve it until the operation ends or nobody listens; a mutation is waited for."""
        await self._send({"type": "http.response.start", "status": 200, "headers": self._framing.headers})
        if self._framing.opening:
            await self._send({"type": "http.response.body", "body": self._framing.opening.encode(), "more_body": True})
        running = asyncio.create_task(self._run(), name="stream operation")
        attendant = asyncio.create_task(self._attend(), name="stream attendant")
        try:
            for task in (running, attendant):
                task.add_done_callback(lambda _: self.end())
            with ExitStack() as watched:
                if self._viewer is not None:
                    watched.enter_context(self._door.watch(self._viewer, self._revoked))
                await self._over
            attendant.cancel()
            if not (isinstance(self._work, Prepared) and self._work.writes):
                # One turn later: in this one graphql-core may have made coroutines that warn if they never begin.
                asyncio.get_running_loop().call_soon(running.cancel)
            await asyncio.wait([running, attendant])
            await self._finish()
        finally:  # some are left only if we are cancelled ourselves
            running.cancel()
            attendant.cancel()

    def end(self) -> None:
        """Let the response end."""
        if not self._over.done():
            self._over.set_result(None)

    async def _revoked(self) -> None:
        if not self._over.done():
            self._farewell = self._framing.revoked
        self.end()

    async def _attend(self) -> None:
        """Wait until the client is gone; meanwhile show that the stream is alive where nothing else does."""
        sent = -1
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._door.limits.alive_seconds):
                    while (await self._receive())["type"] != "http.disconnect":
                        pass
                    return
            if not self._sending.locked():
                with suppress(ClientDisconnect):
                    await self._transmit(self._framing.alive)
            elif sent == self._sent:
                return  # it has not taken one message in all that time
            sent = self._sent

    async def _run(self) -> None:
        with suppress(ClientDisconnect):  # the attendant hears of it too
            try:
                refused = await self._operate(self._work) if isinstance(self._work, Prepared) else self._work
                if refused is not None:
                    await self._next(Message(encoded(refused)))
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - it is logged, and told as far as the client may know
                await self._transmit(self._framing.failure(shown(error)))
            await self._transmit(self._framing.closing)

    async def _operate(self, prepared: Prepared) -> Result | None:
        if prepared.is_subscription:
            return await self._door.operations.subscribe(prepared, self._viewer, self._next)
        return await self._door.operations.execute(prepared, self._viewer)

    async def _next(self, message: Message) -> None:
        await self._transmit(self._framing.result(message))

    async def _transmit(self, text: str) -> None:
        async with self._sending:
            try:
                await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            except OSError as error:
                raise ClientDisconnect from error
            self._sent += 1

    async def _finish(self) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._send({"type": "http.response.body", "body": self._farewell.encode()})
