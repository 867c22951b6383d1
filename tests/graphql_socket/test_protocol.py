"""Each rule of the protocol, by a client that keeps it and by one that does not."""

import asyncio
from typing import Any

import pytest

from app.graphql.socket import SocketLimits
from tests.graphql_socket.client import Client, connected, next_message, until
from tests.graphql_socket.service import Deeds, running, socket

INIT = {"type": "connection_init"}
COMPLETE = {"type": "complete"}


async def test_the_server_chooses_its_subprotocol_among_those_offered(url: str) -> None:
    async with connected(url, subprotocols=["graphql-ws", "graphql-transport-ws"]) as client:
        assert client.connection.subprotocol == "graphql-transport-ws"
        await client.init()
        assert await client.is_well()


@pytest.mark.parametrize("offered", [[], ["graphql-ws"]], ids=["none", "another"])
async def test_another_subprotocol_is_not_acceptable(url: str, offered: list[str]) -> None:
    async with connected(url, subprotocols=offered) as client:
        assert await client.closed() == (4406, "Subprotocol not acceptable")


async def test_a_client_that_does_not_begin_is_closed_after_seconds(deeds: Deeds) -> None:
    async with (
        running(socket(deeds, SocketLimits(init_seconds=1))) as url,
        connected(url) as silent,
        connected(url) as chatty,
        connected(url, init=True) as quick,
    ):
        await chatty.send({"type": "ping"})
        assert await chatty.receive() == {"type": "pong"}
        assert await silent.closed() == (4408, "Connection initialisation timeout")
        assert await chatty.closed() == (4408, "Connection initialisation timeout")
        assert await quick.is_well()


async def test_time_that_the_server_takes_is_not_the_clients(deeds: Deeds) -> None:
    async with running(socket(deeds, SocketLimits(init_seconds=0.05))) as url, connected(url) as client:
        await client.send({"type": "connection_init", "payload": {"name": "slow"}})
        await asyncio.sleep(0.1)
        deeds.gate.set()
        assert await client.receive() == {"type": "connection_ack"}


async def test_an_operation_before_the_acknowledgement_is_unauthorized(url: str) -> None:
    async with connected(url) as client:
        await client.subscribe("1", "{ viewer }")
        assert await client.closed() == (4401, "Unauthorized")
    async with connected(url) as client:
        await client.send({"type": "connection_init", "payload": {"name": "slow"}})
        await client.subscribe("1", "{ viewer }")
        assert await client.closed() == (4401, "Unauthorized")


async def test_a_second_init_is_one_too_many(url: str) -> None:
    async with connected(url, init=True) as client:
        await client.send(INIT)
        assert await client.closed() == (4429, "Too many initialisation requests")
    async with connected(url) as client:
        slow = {"type": "connection_init", "payload": {"name": "slow"}}
        await client.send(slow, slow)
        assert await client.closed() == (4429, "Too many initialisation requests")


async def test_the_init_payload_says_who_it_is(url: str, deeds: Deeds) -> None:
    for payload, name in [(None, None), ({}, None), ({"name": "ann", "deep": [1]}, "ann")]:
        async with connected(url) as client:
            await client.send({"type": "connection_init", "payload": payload})
            assert await client.receive() == {"type": "connection_ack"}
            assert await client.run("{ viewer }") == [next_message(viewer=name), COMPLETE]
            assert len(deeds.ends) == (name is not None)
    assert deeds.identified == [{}, {}, {"name": "ann", "deep": [1]}]


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("wrong", 4403, "Forbidden: The API key is unknown, or it was revoked; make another."),
        ("busy", 1013, "The database is busy: try again."),
        ("odd", 4400, "'name' is odd."),
    ],
)
async def test_who_cannot_be_identified_is_told_why(url: str, name: str, code: int, reason: str) -> None:
    async with connected(url) as client:
        await client.send({"type": "connection_init", "payload": {"name": name}})
        assert await client.closed() == (code, reason)


async def test_what_nobody_foresaw_while_identifying_is_logged_and_not_shown(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(url) as client:
        await client.send({"type": "connection_init", "payload": {"name": "broken"}})
        assert await client.closed() == (4500, "Internal server error")
    assert "ZeroDivisionError: a secret" in caplog.text
    caplog.clear()


@pytest.mark.parametrize(
    "payload", [{}, {"payload": None}, {"payload": {}}, {"payload": {"a": [1, "ä", None]}}], ids=str
)
@pytest.mark.parametrize("init", [False, True], ids=["before", "after"])
async def test_a_ping_is_answered_with_its_payload(url: str, payload: dict[str, Any], init: bool) -> None:
    async with connected(url, init=init) as client:
        await client.send({"type": "pong", **payload}, {"type": "ping", **payload})
        given = payload.get("payload")
        assert await client.receive() == {"type": "pong", **({} if given is None else {"payload": given})}


def subscribe(**payload: Any) -> dict[str, Any]:
    return {"id": "1", "type": "subscribe", "payload": payload}


QUERY = "{ viewer }"
MALFORMED: dict[str, Any] = {
    "nothing": "",
    "no JSON": "{",
    "two": '{"type": "ping"}{"type": "ping"}',
    "a list": [],
    "a list of messages": [{"type": "ping"}],
    "a text": '"ping"',
    "a number": "1",
    "null": "null",
    "not a number": '{"type": "ping", "payload": {"a": NaN}}',
    "half a surrogate": '{"type": "ping", "payload": {"a": "\\ud800"}}',
    "50,000 brackets": "[" * 50_000,
    "50,000 brackets in a payload": '{"type": "ping", "payload": ' + '{"a":' * 50_000,
    "500 closed brackets": '{"type": "ping", "payload": {"a": ' + "[" * 500 + "]" * 500 + "}}",
    "binary": b'{"type": "ping"}',
    "binary nonsense": b"\xff\x00",
    "no type": {},
    "null type": {"type": None},
    "a number for a type": {"type": 1},
    "a list for a type": {"type": ["ping"]},
    "an unknown type": {"type": "start"},
    "a type of another case": {"type": "PING"},
    "a type that only servers send": {"type": "connection_ack"},
    "a result": {"type": "next", "id": "1", "payload": {}},
    "a list for an init payload": {"type": "connection_init", "payload": []},
    "a text for a ping payload": {"type": "ping", "payload": "a"},
    "a number for a pong payload": {"type": "pong", "payload": 0},
    "no id": {"type": "subscribe", "payload": {"query": QUERY}},
    "a number for an id": {"id": 1, **{k: v for k, v in subscribe(query=QUERY).items() if k != "id"}},
    "an empty id": {**subscribe(query=QUERY), "id": ""},
    "a long id": {**subscribe(query=QUERY), "id": "1" * 257},
    "no payload": {"id": "1", "type": "subscribe"},
    "a text for a payload": {"id": "1", "type": "subscribe", "payload": QUERY},
    "no query": subscribe(),
    "null query": subscribe(query=None),
    "a list for a query": subscribe(query=[QUERY]),
    "a list for variables": subscribe(query=QUERY, variables=[]),
    "a text for variables": subscribe(query=QUERY, variables="{}"),
    "a number for an operation name": subscribe(query=QUERY, operationName=0),
    "a list for extensions": subscribe(query=QUERY, extensions=[]),
    "complete without an id": {"type": "complete"},
    "complete with a number": {"type": "complete", "id": 1},
    "too long": {"type": "ping", "payload": {"a": "a" * 1024 * 1024}},
    "too long in bytes": '{"type": "ping", "payload": {"a": "' + "ä" * (512 * 1024) + '"}}',
}


@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("init", [False, True], ids=["before", "after"])
async def test_a_malformed_message_closes_with_4400_and_says_why(url: str, message: Any, init: bool) -> None:
    async with connected(url, init=init) as client, connected(url, init=True) as other:
        await client.send(message)
        code, reason = await client.closed()
        assert code == 4400
        assert len(reason) > 10
        assert len(reason.encode()) <= 123
        assert await other.is_well()


async def test_a_frame_beyond_the_servers_own_limit_is_1009(url: str) -> None:
    async with connected(url, init=True) as client:
        await client.send("[" * (3 * 1024 * 1024))
        assert (await client.closed())[0] == 1009


async def test_a_message_may_have_null_for_what_it_need_not_have(url: str) -> None:
    async with connected(url, init=True) as client:
        nothing = {"variables": None, "operationName": None, "extensions": None}
        assert await client.run(QUERY, **nothing) == [next_message(viewer=None), COMPLETE]
        assert await client.run(QUERY, variables={}, extensions={"a": 1}) == [next_message(viewer=None), COMPLETE]
        assert await client.run(QUERY, operationName="") == [next_message(viewer=None), COMPLETE]  # as over HTTP


async def test_a_running_operations_id_is_taken(url: str, deeds: Deeds) -> None:
    async with connected(url, init=True) as client:
        await client.subscribe("ä", "subscription { silence }")
        await until(lambda: deeds.open == 1)
        await client.subscribe("ä", QUERY)
        assert await client.closed() == (4409, "Subscriber for ä already exists")
        await until(lambda: deeds.open == 0)


async def test_an_id_is_free_again_after_the_last_message(url: str) -> None:
    async with connected(url, init=True) as client:
        for _ in range(3):
            assert await client.is_well()
            assert [m["type"] for m in await client.run("subscription { count(to: 1) }")] == ["next", "complete"]
            assert [m["type"] for m in await client.run("{ nonsense }")] == ["error"]


async def test_complete_for_what_does_not_run_is_no_error(url: str) -> None:
    async with connected(url, init=True) as client:
        await client.send({"type": "complete", "id": "nobody"})
        assert await client.is_well()


async def finished(client: Client, query: str, **rest: Any) -> tuple[list[Any], list[dict[str, Any]]]:
    """The data that came, and the errors of the last message."""
    *results, last = await client.run(query, **rest)
    assert last["type"] == "error"
    assert all(result["type"] == "next" for result in results)
    return [result["payload"]["data"] for result in results], last["payload"]


@pytest.mark.parametrize(
    ("payload", "code", "message"),
    [
        ({"query": "{"}, "INVALID_DOCUMENT", "Syntax Error"),
        ({"query": ""}, "INVALID_DOCUMENT", "Syntax Error"),
        ({"query": "{ nonsense }"}, "INVALID_DOCUMENT", "nonsense"),
        ({"query": "subscription { nonsense }"}, "INVALID_DOCUMENT", "nonsense"),
        ({"query": "{" * 5000}, "INVALID_DOCUMENT", "Syntax Error"),
        ({"query": "query A { viewer }", "operationName": "B"}, "INVALID_DOCUMENT", "'B'"),
        ({"query": "query A { viewer } query B { viewer }"}, "INVALID_DOCUMENT", "operationName"),
        ({"query": "query ($a: String!) { echo(text: $a) }"}, "INVALID_INPUT", "$a"),
        ({"query": "subscription ($a: Int!) { count(to: $a) }", "variables": {"a": "x"}}, "INVALID_INPUT", "$a"),
        ({"query": "subscription { refused }"}, "NOT_FOUND", "There is no such thing."),
        ({"query": "{ __schema { types { name } } }"}, "UNAUTHENTICATED", "Sign in"),
    ],
    ids=str,
)
async def test_what_cannot_be_executed_is_an_error_of_that_operation_alone(
    url: str, deeds: Deeds, payload: dict[str, Any], code: str, message: str
) -> None:
    async with connected(url, init=True) as client:
        results, errors = await finished(client, **payload)
        assert results == []
        assert {error["extensions"]["code"] for error in errors} == {code}
        assert message in errors[0]["message"]
        assert await client.is_well()


async def test_an_error_of_the_execution_is_a_result(url: str) -> None:
    async with connected(url, init=True) as client:
        result, complete = await client.run("{ refused }")
        assert result["type"] == "next"
        assert result["payload"]["data"] is None
        assert result["payload"]["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        assert complete == COMPLETE


async def test_a_stream_that_fails_says_so_in_its_last_result(url: str) -> None:
    async with connected(url, init=True) as client:
        *results, last, complete = await client.run("subscription { failing }")
        assert results == [next_message(failing=1), next_message(failing=2)]
        assert last["payload"]["data"] is None
        assert last["payload"]["errors"][0]["extensions"]["code"] == "NOT_FOUND"
        assert complete == COMPLETE


async def test_what_nobody_foresaw_is_logged_and_shown_as_an_id(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(url, init=True) as client:
        result, _ = await client.run("{ broken }")
        [of_query] = result["payload"]["errors"]
        results, [of_stream] = await finished(client, "subscription { breaking }")
        assert results == [{"breaking": 1}, {"breaking": 2}]
        assert await client.is_well()
    for error in (of_query, of_stream):
        assert error["extensions"]["code"] == "INTERNAL"
        assert error["extensions"]["incident"] in caplog.text
        assert "secret" not in str(error)
    caplog.clear()


async def test_operations_run_side_by_side(url: str, deeds: Deeds) -> None:
    async with connected(url, init=True) as client:
        await client.subscribe("mutation", "mutation { write(value: 1) }")
        await client.subscribe("stream", "subscription { count(to: 2) }")
        before = await client.all_until("complete", "stream")
        assert [m["payload"]["data"]["count"] for m in before[:-1]] == [1, 2]
        deeds.gate.set()
        [result, _] = await client.all_until("complete", "mutation")
        assert result["payload"] == {"data": {"write": 1}}


async def test_one_operation_too_many_is_an_error_of_its_own(deeds: Deeds) -> None:
    async with running(socket(deeds, SocketLimits(max_operations=2))) as url, connected(url, init=True) as client:
        await client.subscribe("1", "subscription { silence }")
        await client.subscribe("2", "subscription { silence }")
        _, [error] = await finished(client, QUERY)
        assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
        assert "2 operations" in error["message"]
        await client.send({"type": "complete", "id": "1"})
        assert await client.is_well()
