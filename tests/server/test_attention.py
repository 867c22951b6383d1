"""Whoever takes too much of the server's time for the reading of requests is refused for a while, and nobody else."""

from __future__ import annotations

import asyncio
import itertools
import re
from urllib.parse import urlsplit

from tests.graphql_socket.client import connected
from tests.server.conftest import Start, Team
from tests.support.probes import PROBES, Aim, Probe, harmless, send, status, talk

LONG = {
    "ann": "the largest operation, never seen before",
    "ben": "a hundred thousand ids",
    "cem": "thirty megabytes",
}
TOO_MANY = (1013).to_bytes(2) + b"Too many messages: try again in "


async def test_what_is_long_to_read_is_refused_after_a_while(start: Start, team: Team) -> None:
    port = urlsplit(start(attention_percent="1").address).port or 0
    for who, name in LONG.items():
        (probe,) = (probe for probe in PROBES if probe.name == name)
        aim = Aim(port, team.keys[who], team.dataset)
        assert status(await send(aim, probe.make(aim, 0))) == 200, name
        refused = await refusal(aim, probe)
        assert b"GRADBOOK_ATTENTION_PERCENT" in refused
        assert re.search(rb"\r\nretry-after: \d+\r\n", refused)
    owner = Aim(port, team.owner, team.dataset)
    assert status(await send(owner, harmless(owner, 0))) == 200


async def refusal(aim: Aim, probe: Probe) -> bytes:
    """The first answer that refuses the probe: one request waits meanwhile, and is not waited for."""
    async with asyncio.timeout(60):
        for start in itertools.count(1, 6):
            sending = [asyncio.create_task(send(aim, probe.make(aim, start + number))) for number in range(6)]
            try:
                for sent in asyncio.as_completed(sending):
                    if status(answer := await sent) == 429:
                        return answer
            finally:
                for task in sending:
                    task.cancel()
    raise AssertionError


async def test_operations_of_sockets_are_refused_as_well(start: Start, team: Team) -> None:
    server = start(attention_percent="1")
    aim = Aim(urlsplit(server.address).port or 0, team.keys["ann"], team.dataset)
    (probe,) = (probe for probe in PROBES if probe.name == LONG["ann"])
    await refusal(aim, probe)
    async with connected(server.socket_address) as socket:
        await socket.init(authorization=f"Bearer {aim.key}")
        await socket.subscribe("one", "{ viewer { id } }")
        refused = await socket.receive()
    assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "RATE_LIMITED")


async def test_messages_of_sockets_count_however_small_they_are(start: Start, team: Team) -> None:
    port = urlsplit(start(attention_percent="1", anonymous_percent="1").address).port or 0
    aim = Aim(port, team.keys["ann"], team.dataset)
    many = talk(b'{"type": "connection_init"}', *[b'{"type": "ping"}'] * 100)
    assert TOO_MANY not in await send(aim, many), "it was read slowly"
    sending = {asyncio.create_task(send(aim, many)) for _ in range(2)}
    ended, waiting = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
    assert TOO_MANY in ended.pop().result(), "one waits, the other is refused"
    for task in waiting:
        task.cancel()
