"""`gradbook serve`, from the first start to the end."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import websockets

from tests.cli.conftest import Gradbook

SECONDS = 60


class Served:
    """A server that runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.said = ""
        assert process.stdout is not None
        while not (found := re.search(r"Gradbook is at (http://\S+)/graphql", self.said)):
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            self.said += line
        self.address = found[1]

    @property
    def keys(self) -> list[str]:
        return re.findall(r"gb_[\w-]{43}", self.said)

    def query(self, text: str, key: str) -> Any:
        request = urllib.request.Request(
            f"{self.address}/graphql",
            json.dumps({"query": text}).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {key}"},
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return json.load(answer)

    def sign_in(self, link: str) -> Any:
        request = urllib.request.Request(
            f"{self.address}/sign-in", json.dumps({"link": link}).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return {"username": json.load(answer)["username"]}

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """The exit code, and what stood on standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, err


@contextmanager
def served(gradbook: Gradbook, *options: str) -> Iterator[Served]:
    process = gradbook.start("serve", "--port", "0", *options)
    with process:
        try:
            yield Served(process)
        finally:
            process.kill()


def test_the_first_start_makes_everything_and_later_ones_nothing(
    gradbook: Gradbook, unmigrated: Callable[[str], Gradbook]
) -> None:
    if gradbook.url.startswith("sqlite"):
        gradbook = unmigrated("new.db")
    gradbook.environment["GRADBOOK_LOG_LEVEL"] = "warning"  # slow requests are logged as `info`
    with served(gradbook) as first:
        (key,) = first.keys
        viewer = first.query("{ viewer { username role } }", key)["data"]["viewer"]
        assert viewer == {"username": "owner", "role": "OWNER"}
        assert first.said.count("\n") == 9
        (link,) = re.findall(rf"^    {re.escape(first.address)}/sign-in#(gbl_[\w-]{{43}})$", first.said, re.MULTILINE)
        assert first.sign_in(link) == {"username": "owner"}
        code, err = first.end(signal.SIGTERM)
        assert (code, err) == (0, "")
    with served(gradbook) as second:
        assert second.keys == []
        assert second.said.count("\n") == 1
        assert second.query("{ viewer { username } }", key)["data"]["viewer"] == {"username": "owner"}
        code, _ = second.end(signal.SIGINT)
        assert code == 0
    assert [row[1] for row in gradbook.ok("workspace", "list").rows] == ["default"]
    assert [row[1:3] for row in gradbook.ok("user", "list").rows] == [["owner", "OWNER"]]


def test_a_port_in_use_is_told_before_the_database_is_touched(unmigrated: Callable[[str], Gradbook]) -> None:
    gradbook = unmigrated("untouched.db")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = gradbook.refused("serve", "--port", str(port))
    assert said.startswith(f"Port {port} of 127.0.0.1 is in use, perhaps by another Gradbook")
    assert list(gradbook.folder.iterdir()) == []


def test_addresses_that_are_not_ours(unmigrated: Callable[[str], Gradbook]) -> None:
    gradbook = unmigrated("untouched.db")
    for host in ("192.0.2.1", "no.such.host.invalid"):
        assert f"The address '{host}'" in gradbook.refused("serve", "--port", "0", "--host", host)
    assert "GRADBOOK_PORT is 70000" in gradbook.refused("serve", "--port", "70000")
    assert "GRADBOOK_LOG_LEVEL is 'loud'" in gradbook.refused("serve", "--log-level", "loud")
    assert list(gradbook.folder.iterdir()) == []


async def test_open_sockets_do_not_keep_a_server_from_its_end(gradbook: Gradbook) -> None:
    with served(gradbook) as server:
        address = server.address.replace("http", "ws") + "/graphql"
        async with websockets.connect(
            address, subprotocols=[websockets.Subprotocol("graphql-transport-ws")]
        ) as socket_:
            await socket_.send(
                json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {server.keys[0]}"}})
            )
            assert json.loads(await socket_.recv())["type"] == "connection_ack"
            begin = time.monotonic()
            ending = asyncio.create_task(asyncio.to_thread(server.end, signal.SIGTERM))
            with pytest.raises(websockets.ConnectionClosed):
                await socket_.recv()
        code, err = await ending
        assert (code, err) == (0, "")
        assert time.monotonic() - begin < 8  # seconds; requests may go on for 10, sockets may not


def test_settings_of_the_environment_and_options(unmigrated: Callable[[str], Gradbook]) -> None:
    gradbook = unmigrated("some.db")
    gradbook.environment["GRADBOOK_HOST"] = "::1"
    gradbook.environment["GRADBOOK_LOG_LEVEL"] = "warning"
    with served(gradbook, "--log-level", "debug", "--log-format", "json") as server:
        assert server.address.startswith("http://[::1]:")
        server.query("{ viewer { id } }", server.keys[0])
        _, err = server.end(signal.SIGTERM)
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["path"] for line in lines if line["event"] == "request"] == ["/graphql"]
