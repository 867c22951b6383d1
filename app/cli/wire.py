"""What clients may do on the wire below the messages of a WebSocket: uvicorn's protocol, with bounds.

Frames are parsed one by one in Python, some 10 µs each: a message in a million pieces, or as many pings, would keep the
server busy for 10 s at the cost of 6 bytes a frame. Clients that mean well send a message in few pieces, which are as
large as their buffers, and a ping now and then.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request

from app.cli.connections import Stalling, raw_answer
from app.errors import GradbookError
from app.graphql.bodies import SMALL, Holding
from app.graphql.refusals import BadRequestError

MAX_PIECES: Final = 300
"""Frames of one message: one of 1 MiB may come in frames of 4 KiB."""

MAX_PINGS: Final = 100
"""Ping and pong frames in ten seconds."""

SLICE: Final = 4096
"""Bytes that are parsed before the bounds are looked at: up to 700 frames, 7 ms."""

_WINDOW = 10.0  # seconds


class BoundedWebSocket(Stalling, WebSocketsSansIOProtocol):
    """One connection. What goes beyond a bound closes it, and the close frame says why."""

    pings = 0
    window_ends = 0.0
    holding: Holding | None = None
    received = 0  # bytes since the application took the last message

    def data_received(self, data: bytes) -> None:
        """Parse it in slices, up to one that breaks a bound, if there is room for what has come of the message."""
        self.received += len(data)
        if self.received > SMALL and "admission" in self.app_state:
            if self.holding is None:
                self.holding = Holding(self.app_state["admission"].held)
            try:
                self.holding.grow(self.received)
            except GradbookError as error:
                self._refuse(CloseCode.TRY_AGAIN_LATER, error.message)
                return
        for start in range(0, len(data), SLICE):
            super().data_received(data[start : start + SLICE])
            if self.transport.is_closing():
                return
        if not self.handshake_initiated and self.conn.handshake_exc is not None:  # uvicorn would wait for another one
            self.handle_parser_exception()

    async def receive(self) -> ASGIReceiveEvent:
        """The next message, for which the application answers from now on."""
        event = await super().receive()
        self._release()
        return event

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._release()
        super().connection_lost(exc)

    def handle_parser_exception(self) -> None:
        """End it. uvicorn counts on a close frame, of which there is none before the handshake."""
        if self.transport.is_closing():
            return
        if self.conn.close_sent is None:
            self.transport.write(raw_answer(BadRequestError(400, "This is no WebSocket handshake that can be read.")))
            self.transport.close()
        else:
            super().handle_parser_exception()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done with it: what is left to be read has its time."""
        super().on_task_complete(task)
        self.watch_writing()

    def handle_connect(self, event: Request) -> None:
        """Begin, if it is a handshake: what is none would be told so in plain text."""
        try:
            self.conn.process_request(event)
        except InvalidHandshake as error:
            self.handshake_complete = self.close_sent = True  # there is nothing to close
            self.transport.write(raw_answer(BadRequestError(400, f"This is no WebSocket handshake: {error}.")))
            self.transport.close()
        else:
            super().handle_connect(event)

    async def run_asgi(self) -> None:
        """Serve it. A refusal in place of the handshake is an answer, too: uvicorn would log that there was none."""
        served = self.app

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            await served(scope, receive, send)
            self.handshake_complete = self.handshake_complete or self.close_sent

        self.app = serve
        await super().run_asgi()

    def handle_cont(self, event: Frame) -> None:
        """Take one more piece of a message."""
        if len(self.frames) >= MAX_PIECES:
            self._refuse(CloseCode.POLICY_VIOLATION, f"A message comes in {MAX_PIECES:,} frames at most")
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """The answer is ready; it is sent unless there are too many."""
        if self._may_ping():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """Nobody asked for it, since the application pings by messages."""
        if self._may_ping():
            super().handle_pong(event)

    def send_receive_event_to_app(self) -> None:
        """A message is complete. uvicorn logs invalid text with a traceback, which anybody could fill the log with."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._refuse(CloseCode.INVALID_DATA, "A text message is UTF-8")
                return
        super().send_receive_event_to_app()

    def _may_ping(self) -> bool:
        now = self.loop.time()
        if now >= self.window_ends:
            self.pings, self.window_ends = 0, now + _WINDOW
        self.pings += 1
        if self.pings > MAX_PINGS:
            self._refuse(CloseCode.POLICY_VIOLATION, f"There were more than {MAX_PINGS} pings in {_WINDOW:g} seconds")
        return self.pings <= MAX_PINGS

    def _release(self) -> None:
        self.received = 0
        if self.holding is not None:
            self.holding.release()

    def _refuse(self, code: CloseCode, reason: str) -> None:
        self.frames = []
        if self.close_sent:  # by the application: nobody waits for its answer among all this
            self.transport.close()
        else:
            self.conn.send_close(code, reason)
            self.handle_parser_exception()
