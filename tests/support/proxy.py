"""A way to a PostgreSQL that breaks at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

COMMIT = b"COMMIT\0"


@dataclass
class Way:
    """`url` leads through here. `breaks` says when the next commit loses its connection, which happens once."""

    url: str
    breaks: Literal["before", "after"] | None = None


@asynccontextmanager
async def way_to(url: str) -> AsyncIterator[Way]:
    """A proxy before the PostgreSQL database at `url`."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    assert host is not None
    handling: set[asyncio.Task[None]] = set()

    async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(host, port)
        answers = asyncio.create_task(pump(server, to_client))
        try:
            while data := await client.read(65536):
                if way.breaks and COMMIT in data:
                    answers.cancel()
                    await asyncio.wait([answers])
                    if way.breaks == "after":
                        to_server.write(data)
                        assert await server.read(65536)  # it is committed
                    way.breaks = None
                    return
                to_server.write(data)
        finally:
            answers.cancel()
            to_client.close()
            to_server.close()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    def accept(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(client, to_client))
        handling.add(task)
        task.add_done_callback(handling.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    own = listening.sockets[0].getsockname()[1]
    way = Way(url.replace(f"{host}:{port}", f"127.0.0.1:{own}"))
    try:
        yield way
    finally:
        listening.close()
        for task in list(handling):
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
