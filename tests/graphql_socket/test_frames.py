"""Reading messages: whatever comes, it is a message or a clear refusal."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.graphql import frames
from app.graphql.frames import CloseCode, SocketError
from app.graphql.operations import Request

TYPES = ["connection_init", "connection_ack", "ping", "pong", "subscribe", "next", "error", "complete"]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
requests = st.fixed_dictionaries(
    {}, optional={"query": values | st.text(), "variables": values, "operationName": values, "extensions": values}
)
messages = st.fixed_dictionaries(
    {}, optional={"type": values | st.sampled_from(TYPES), "id": values | st.text(), "payload": values | requests}
)


def read(text: str | None) -> frames.Message:
    return frames.read(text, max_bytes=1000)


@given(st.none() | st.text() | (messages | values).map(json.dumps))
def test_anything_is_a_message_or_refused_with_4400(text: str | None) -> None:
    refused: SocketError | None = None
    try:
        assert isinstance(read(text), frames.Message)
    except SocketError as error:
        refused = error
    if refused is not None:
        assert refused.code == CloseCode.BAD_REQUEST
        assert 10 < len(refused.reason.encode()) <= 123


@given(
    st.text(min_size=1, max_size=256), st.text(), st.none() | st.text(), st.none() | st.dictionaries(st.text(), values)
)
def test_a_subscription_is_read_as_it_was_sent(
    id: str, query: str, name: str | None, variables: dict[str, Any] | None
) -> None:
    payload = {"query": query, "operationName": name, "variables": variables}
    message = {"type": "subscribe", "id": id, "payload": payload, "other": 1}
    try:
        text = json.dumps(message, allow_nan=False)
    except ValueError:
        return
    read_message = frames.read(text, max_bytes=100_000)
    assert isinstance(read_message, frames.Subscribe)
    assert read_message.id == id
    assert (read_message.request.query, read_message.request.operation_name) == (query, name or None)
    assert (read_message.request.variables is None) == (variables is None)


def test_a_request() -> None:
    text = '{"type":"subscribe","id":"1","payload":{"query":"{a}","operationName":"A","variables":{"b":[1]}}}'
    assert read(text) == frames.Subscribe("1", Request("{a}", {"b": [1]}, "A"))


def test_the_limit_counts_bytes() -> None:
    def message(letter: str, bytes: int) -> str:
        frame = '{"type":"pong","payload":{"a":"%s"}}'
        room = bytes - len(frame % "")
        return frame % (letter * (room // len(letter.encode())) + "." * (room % len(letter.encode())))

    for letter in ".", "ä", "\U0001f600":
        assert read(message(letter, 1000)) == frames.Pong()
        with pytest.raises(SocketError, match=r"1,001 bytes, more than 1,000"):
            read(message(letter, 1001))


@pytest.mark.parametrize("reason", ["a" * 200, "ä" * 200, "a" + "ä" * 200, "\U0001f600" * 200])
def test_a_reason_fits_into_a_close_frame(reason: str) -> None:
    shown = SocketError(CloseCode.BAD_REQUEST, reason).reason
    assert reason.startswith(shown)
    assert 119 <= len(shown.encode()) <= 123


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "The message is a list: expected an object with a 'type'."),
        ('{"type":"start"}', "A client sends no message of type 'start'."),
        ('{"type":null}', "The message's 'type' is missing or null: expected text."),
        ('{"type":"complete","id":7}', "The message's 'id' is a number: expected a text that names the operation."),
        ('{"type":"complete","id":""}', "The message's 'id' is empty: expected a text that names the operation."),
        ('{"type":"ping","payload":true}', "'payload' is a boolean: expected an object, or nothing."),
        (
            '{"type":"subscribe","id":"1","payload":{"query":{}}}',
            "'query' is an object: expected the GraphQL document as text.",
        ),
        (None, "A binary frame: messages are JSON in text frames."),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str | None, reason: str) -> None:
    with pytest.raises(SocketError) as refused:
        read(text)
    assert refused.value.reason == reason
