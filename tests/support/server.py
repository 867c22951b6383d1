"""Real servers: `gradbook serve` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx2

START_SECONDS = 60
CHECKOUT = (sys.executable, "-m", "app.cli")


class Server:
    """A server process on a free port, over the database at `url`.

    `key` is the owner's API key and `link` their sign-in link, as the first start printed them (None for later starts).
    `command` runs another `gradbook` than that of this checkout.
    """

    def __init__(self, url: str, folder: Path, *, command: Sequence[str] = CHECKOUT, **settings: str) -> None:
        self.url = url
        self._command = command
        self.key: str | None = None
        self.link: str | None = None
        self.address = ""
        self._settings = settings
        self._output = folder / f"server-{time.monotonic_ns()}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it answers."""
        environment = {**os.environ, "GRADBOOK_DATABASE_URL": self.url, "GRADBOOK_PORT": "0", "PYTHONWARNINGS": "error"}
        environment |= {f"GRADBOOK_{name.upper()}": value for name, value in self._settings.items()}
        with self._output.open("wb") as output:
            self._process = subprocess.Popen([*self._command, "serve"], env=environment, stdout=output, stderr=output)
        deadline = time.monotonic() + START_SECONDS
        while not (found := re.search(r"Gradbook is at (http://[^/\s]+)", self.log)):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)
        self.address = found[1]
        if key := re.search(r"\bgb_[\w-]{43}", self.log):
            self.key = key[0]
        if link := re.search(r"http://\S+/sign-in#gbl_[\w-]{43}", self.log):
            self.link = link[0]
        return self

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return self._output.read_text()

    @property
    def socket_address(self) -> str:
        """Where its GraphQL sockets are."""
        return self.address.replace("http", "ws") + "/graphql"

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as an administrator would; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, sign: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(sign)
        return self._process.wait(30)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


class Client:
    """A caller of one server with one key."""

    def __init__(self, server: Server, key: str | None) -> None:
        self.key = key
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self.http = httpx2.AsyncClient(base_url=server.address, headers=headers, timeout=60, verify=False)

    async def run(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        """The data of a query or mutation without errors."""
        answer = await self.http.post("/graphql", json={"query": query, "variables": variables})
        result = answer.json()
        assert "errors" not in result, result
        return result["data"]

    async def mutate(self, query: str, input: dict[str, Any]) -> Any:
        """The payload of a mutation that is expected to go well."""
        payload = next(iter((await self.run(query, {"input": input})).values()))
        assert payload["errors"] == [], payload
        return payload

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
