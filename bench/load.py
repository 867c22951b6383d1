"""The load generator: keep-alive connections that ask the next question as soon as the last answer is there.

It runs in a process of its own (the benchmark's) and does little per answer, so that it is not what is measured: its
own CPU time is part of every result.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from bench.operations import without_cost

T = TypeVar("T")

Accept = Callable[[T, int, bytes], None]
"""(what was asked, the status, the body): raises for an answer that is not right."""

_DRAIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Window:
    """What was answered in one run. `seconds` end with the last answer; latencies are in seconds, sorted."""

    seconds: float
    latencies: tuple[float, ...]
    own_cpu_seconds: float

    @property
    def count(self) -> int:
        """How many answers there were."""
        return len(self.latencies)


class _Connection(asyncio.Protocol, Generic[T]):
    """One connection: one request at a time."""

    def __init__(self, requests: Iterator[tuple[T, bytes]], accept: Accept[T]) -> None:
        self._requests = requests
        self._accept = accept
        self._until = 0.0
        self._received: list[bytes] = []
        self._missing = 0
        self._body_at = 0
        self._status = 0
        self.latencies: list[float] = []
        self.done: asyncio.Future[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass

    def run(self, until: float) -> asyncio.Future[None]:
        """Ask again and again until that time (of `time.perf_counter`); the future is done with the last answer."""
        self._until = until
        self.done = asyncio.get_running_loop().create_future()
        self._ask()
        return self.done

    def _ask(self) -> None:
        self._asked, request = next(self._requests)
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received.append(data)
        if not self._body_at:
            data = self._received[0] if len(self._received) == 1 else b"".join(self._received)
            self._received = [data]
            if not self._read_head(data):
                return
            self._missing -= len(data)
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            self._answered()

    def _read_head(self, data: bytes) -> bool:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = data[:end].lower()
        self._status = int(head[9:12])
        self._body_at = end + 4
        length = head.index(b"\r\ncontent-length:") + 17
        self._missing = self._body_at + int(head[length:].partition(b"\r\n")[0])
        return True

    def _answered(self) -> None:
        now = time.perf_counter()
        self.latencies.append(now - self._began)
        whole = self._received[0] if len(self._received) == 1 else b"".join(self._received)
        body = whole[self._body_at :]
        self._received, self._body_at = [], 0
        try:
            self._accept(self._asked, self._status, without_cost(body))
        except Exception as error:  # noqa: BLE001 - whoever waits for the end is told
            self.done.set_exception(error)
            return
        if now < self._until:
            self._ask()
        else:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "done") and not self.done.done():
            self.done.set_exception(ConnectionError(f"The server closed the connection: {exc}"))

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


async def drive(
    port: int,
    requests: Iterator[tuple[T, bytes]],
    accept: Accept[T],
    *,
    connections: int,
    seconds: float,
    address: Callable[[int], str] = lambda _: "127.0.0.1",
) -> Window:
    """Keep `connections` requests in flight for so many seconds, then wait for those that are.

    `address` is where each connection comes from, by its number.
    """
    loop = asyncio.get_running_loop()
    opened: list[_Connection[T]] = []
    try:
        for number in range(connections):
            here = (address(number), 0)
            _, made = await loop.create_connection(
                lambda: _Connection(requests, accept), "127.0.0.1", port, local_addr=here
            )
            opened.append(made)
        own, began = time.process_time(), time.perf_counter()
        async with asyncio.timeout(seconds + _DRAIN_SECONDS):
            await asyncio.gather(*[connection.run(began + seconds) for connection in opened])
        return Window(
            time.perf_counter() - began,
            tuple(sorted(latency for connection in opened for latency in connection.latencies)),
            time.process_time() - own,
        )
    finally:
        for connection in opened:
            connection.close()


def http_request(path: str, key: str, body: bytes, header: str = "") -> bytes:
    """A POST of JSON with an API key, and perhaps one header line more, as bytes for the wire."""
    more = f"{header}\r\n" if header else ""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n{more}"
        f"content-type: application/json\r\naccept: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def one_answer(port: int, request: bytes) -> bytes:
    """The answer to one request, which must be 200."""
    answered: list[bytes] = []

    def accept(_: Any, status: int, answer: bytes) -> None:
        if status != 200:
            raise AssertionError(f"The server answered {status}: {answer[:300]!r}")
        answered.append(answer)

    await drive(port, iter([(None, request)]), accept, connections=1, seconds=0)
    return answered[0]
