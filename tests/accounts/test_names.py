import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.names import checked_name, checked_username
from app.errors import GradbookError


@pytest.mark.parametrize("name", ["a", "jane.doe@example.com", "Jane Doe", "李小龍", "नमस्ते", "x" * 100, "👩"])
def test_good_names_stay(name: str) -> None:
    assert checked_username(name) == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "Username '' is empty: use 1 to 100 characters"),
        (" \t", "is empty"),
        ("x" * 101, "has 101 characters: use at most 100"),
        (" bob", "begins or ends with a space: use 'bob'"),
        ("bob\n", "begins or ends with a space: use 'bob'"),
        ("bo\0b", r"holds U\+0000 at position 2"),
        ("bo\u202eb", r"holds U\+202E at position 2"),
        ("bo\ud800b", r"holds U\+D800 at position 2"),
        ("deleted-5", "begins with 'deleted-', which marks removed users"),
    ],
    ids=["empty", "blank", "long", "space before", "newline after", "NUL", "right-to-left", "surrogate", "removed"],
)
def test_bad_names_are_explained(name: str, says: str) -> None:
    with pytest.raises(GradbookError, match=says) as caught:
        checked_username(name)

    assert (caught.value.code, caught.value.path) == ("INVALID_INPUT", ("username",))
    assert len(caught.value.message) < 250


def test_the_field_is_named_as_it_is_called() -> None:
    with pytest.raises(GradbookError, match="Key name '' is empty") as caught:
        checked_name("", "Key name")

    assert caught.value.path == ("name",)


@given(st.text(max_size=110))
def test_a_name_that_passes_can_be_stored_and_found_again(text: str) -> None:
    try:
        name = checked_name(text, "Name")
    except GradbookError as error:
        error.message.encode()  # the message itself can be sent
        return
    assert name == checked_name(name, "Name") == unicodedata.normalize("NFC", text)
    assert name.encode()
    assert "\0" not in name
