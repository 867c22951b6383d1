"""Probes of a real server: each is answered, by no 5xx, and takes little of its CPU."""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson
import psutil
import pytest

from tests.server.conftest import Team
from tests.support.probes import HARMLESS, HARMLESS_SOCKET, PROBES, SOCKETS, Aim, send, status
from tests.support.server import Server

CPU_SECONDS = 1.0
CLOSE = b"\x88"


@pytest.fixture
def aim(server: Server, team: Team) -> Aim:
    return Aim(urlsplit(server.address).port or 0, team.owner, team.dataset)


def cpu_seconds(server: Server) -> float:
    """What the server's process took so far."""
    times = psutil.Process(server.pid).cpu_times()
    return times.user + times.system


async def test_every_probe_is_answered_within_a_second_of_cpu(server: Server, aim: Aim) -> None:
    took = {}
    for probe in (HARMLESS, HARMLESS_SOCKET, *PROBES):
        before = cpu_seconds(server)
        answered = await send(aim, probe.make(aim, 1))
        took[probe.name] = cpu_seconds(server) - before
        assert status(answered) < 500, (probe.name, answered[:500])
        said = answered.partition(b"\r\n\r\n")[2]
        if probe.is_socket:
            assert CLOSE in said, probe.name
        else:
            codes = {error["extensions"]["code"] for error in orjson.loads(said).get("errors", [])}
            assert "INTERNAL" not in codes, (probe.name, said)
    assert {name: seconds for name, seconds in took.items() if seconds > CPU_SECONDS} == {}
    assert "Traceback" not in server.log


REASONS = {
    "a message of thirty megabytes": (1009, "frame with 30000012 bytes exceeds limit of 2097152 bytes"),
    "a message in a million pieces": (1008, "A message comes in 300 frames at most"),
    "a hundred thousand frames that ping": (1008, "There were more than 100 pings in 10 seconds"),
    "bytes that are no text in a message": (1007, "A text message is UTF-8"),
}


async def test_what_is_beyond_the_bounds_of_the_wire_is_closed_with_its_reason(aim: Aim) -> None:
    for probe in SOCKETS:
        if reason := REASONS.get(probe.name):
            answered = await send(aim, probe.make(aim, 1))
            closed = answered[answered.rindex(CLOSE) + 2 :]
            assert (int.from_bytes(closed[:2]), closed[2:].decode()) == reason


async def test_frames_are_parsed_up_to_one_that_breaks_a_bound(server: Server, aim: Aim) -> None:
    for name in ("a message in a million pieces", "a hundred thousand frames that ping"):
        (probe,) = (probe for probe in SOCKETS if probe.name == name)
        before = cpu_seconds(server)
        for number in range(10):
            await send(aim, probe.make(aim, number))
        assert cpu_seconds(server) - before < CPU_SECONDS, name
