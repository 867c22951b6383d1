import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import GradbookError
from app.live.cursors import Position, check_not_ahead, decode_cursor, encode_cursor

numbers = st.integers(0, 2**63 - 1)


@given(st.text(), st.builds(Position, numbers, numbers))
def test_a_cursor_comes_back_as_it_was(topic: str, position: Position) -> None:
    assert decode_cursor(topic, encode_cursor(topic, position)) == position


@given(st.text(), st.lists(numbers, min_size=1, max_size=6))
def test_a_cursor_may_have_more_numbers(topic: str, found: list[int]) -> None:
    assert decode_cursor(topic, encode_cursor(topic, found)) == tuple(found)


@given(st.text(max_size=50))
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(GradbookError, match="is not a cursor: pass the `cursor` of an earlier message") as caught:
        decode_cursor("dataset:1", text)
    assert caught.value.code == "INVALID_CURSOR"
    assert caught.value.path == ("after",)


@given(st.integers(0, 33), st.characters(codec="ascii"))
def test_an_altered_cursor_is_refused(at: int, character: str) -> None:
    text = encode_cursor("dataset:1", Position(7312, 5))
    altered = text[:at] + character + text[at + 1 :]
    if altered != text:
        with pytest.raises(GradbookError, match="is not a cursor"):
            decode_cursor("dataset:1", altered)


def test_a_cursor_has_one_text() -> None:
    text = encode_cursor("dataset:1", Position(7312, 5))
    for character in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=":
        if text != text[:-1] + character:
            with pytest.raises(GradbookError, match="is not a cursor"):
                decode_cursor("dataset:1", text[:-1] + character)


def test_a_truncated_cursor_is_refused() -> None:
    text = encode_cursor("dataset:1", Position(7312, 5))
    for length in range(len(text)):
        with pytest.raises(GradbookError, match="is not a cursor"):
            decode_cursor("dataset:1", text[:length])


def test_long_nonsense_is_not_repeated() -> None:
    with pytest.raises(GradbookError) as caught:
        decode_cursor("dataset:1", "x" * 1_000_000)
    assert len(caught.value.message) < 300


def test_a_cursor_of_another_topic_is_refused() -> None:
    text = encode_cursor("dataset:1", Position(7312))
    with pytest.raises(
        GradbookError, match=f"The cursor '{text}' comes from a subscription to something else"
    ) as caught:
        decode_cursor("dataset:2", text)
    assert caught.value.code == "INVALID_CURSOR"


def test_a_cursor_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr("app.live.cursors._VERSION", 2)
        text = encode_cursor("dataset:1", Position(7312))
    with pytest.raises(GradbookError, match="is of version 2, and this server reads version 1"):
        decode_cursor("dataset:1", text)


def test_a_cursor_from_the_future_is_refused() -> None:
    check_not_ahead(Position(8, 5), Position(9))
    check_not_ahead(Position(9), Position(9))
    with pytest.raises(
        GradbookError, match=r"is ahead of this database: .* leave it out: then the first message"
    ) as caught:
        check_not_ahead(Position(9, 1), Position(9))
    assert caught.value.code == "INVALID_CURSOR"


def test_a_cursor_is_opaque_and_short() -> None:
    text = encode_cursor("dataset:1", Position(2**63 - 1, 2**63 - 1))
    assert len(text) == 34
    assert base64.urlsafe_b64decode(text + "==")
