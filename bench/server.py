"""One of the servers that are compared, in a process of its own: `python -m bench.server NAME BOOK`.

It prints its port, and ends when its standard input does, so that none is left behind.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
import threading

import uvicorn

from app import logs


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()


def main(target: str, url: str) -> None:
    """Serve `module:factory` as `gradbook serve` does: one process, uvloop, httptools, no line per request."""
    module, _, factory = target.partition(":")
    logs.configure("warning", "console")
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    app = getattr(importlib.import_module(module), factory)(url)
    server = _Server(
        uvicorn.Config(
            app,
            lifespan="on",
            loop="uvloop",
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
        )
    )

    def end_with_parent() -> None:
        sys.stdin.read()
        server.should_exit = True
        threading.Event().wait(10)
        os._exit(1)  # it did not end by itself

    threading.Thread(target=end_with_parent, daemon=True).start()
    print(listening.getsockname()[1], flush=True)
    server.run(sockets=[listening])


if __name__ == "__main__":
    main(*sys.argv[1:])
