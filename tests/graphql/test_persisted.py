"""Automatic persisted queries: what is kept, what is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from app.errors import GradbookError
from app.graphql.documents import MAX_KEPT_LENGTH
from app.graphql.operations import Operations, Request, RequestError
from app.graphql.persisted import PersistedQueries
from app.schema import build_schema

TEXT = "{ __typename }"


def hashed(text: str, *, send: bool = True, digest: str | None = None) -> Request:
    asked = {"version": 1, "sha256Hash": digest or hashlib.sha256(text.encode()).hexdigest()}
    return Request(text if send else "", extensions={"persistedQuery": asked})


def refused(persisted: PersistedQueries, request: Request) -> tuple[str, str]:
    with pytest.raises(GradbookError) as error:
        persisted.text(request)
    return error.value.code, error.value.message


def test_a_text_is_found_by_its_hash_once_it_was_kept() -> None:
    persisted = PersistedQueries()
    assert refused(persisted, hashed("{ä}", send=False)) == ("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
    assert persisted.text(hashed("{ä}")) == "{ä}"
    persisted.keep(hashed("{ä}"))
    assert persisted.text(hashed("{ä}", send=False)) == "{ä}"


def test_nobody_gives_a_text_the_hash_of_another() -> None:
    persisted = PersistedQueries()
    other = hashlib.sha256(b"{ other }").hexdigest()
    code, message = refused(persisted, hashed(TEXT, digest=other))
    assert code == "INVALID_INPUT"
    assert "not the SHA-256" in message


@pytest.mark.parametrize(
    "asked",
    [
        1, "x", [], {}, {"version": 1}, {"version": 2, "sha256Hash": "0" * 64}, {"version": 1, "sha256Hash": "0" * 63},
        {"version": 1, "sha256Hash": "A" * 64}, {"version": 1, "sha256Hash": None}, {"version": 1, "sha256Hash": []},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_hash_is_refused_in_words(asked: Any) -> None:
    code, message = refused(PersistedQueries(), Request(TEXT, extensions={"persistedQuery": asked}))
    assert code == "INVALID_INPUT"
    assert "64 hexadecimal digits" in message


def test_other_extensions_do_not_matter() -> None:
    for extensions in (None, {}, {"persistedQuery": None}, {"other": 1}):
        assert PersistedQueries().text(Request(TEXT, extensions=extensions)) == TEXT


def test_few_are_kept_the_latest_used_and_none_that_is_long() -> None:
    persisted = PersistedQueries(size=2)
    for text in ("{a}", "{b}"):
        persisted.keep(hashed(text))
    persisted.text(hashed("{a}", send=False))
    persisted.keep(hashed("{c}"))
    assert refused(persisted, hashed("{b}", send=False))[0] == "PERSISTED_QUERY_NOT_FOUND"
    long = "{a}".ljust(MAX_KEPT_LENGTH + 1)
    persisted.keep(hashed(long))
    assert refused(persisted, hashed(long, send=False))[0] == "PERSISTED_QUERY_NOT_FOUND"
    assert [persisted.text(hashed(text, send=False)) for text in ("{a}", "{c}")] == ["{a}", "{c}"]


def test_only_valid_documents_are_kept() -> None:
    operations = Operations(build_schema(""), None, None)  # type: ignore[arg-type]
    for text, kept in ((TEXT, True), ("{ nothing }", False), ("{", False)):
        try:
            operations.prepare(hashed(text), None)
        except RequestError as error:
            assert error.result["errors"][0]["extensions"]["code"] == "INVALID_DOCUMENT"  # noqa: PT017
        if kept:
            assert operations.prepare(hashed(text, send=False), None).is_query
        else:
            with pytest.raises(RequestError, match="PersistedQueryNotFound"):
                operations.prepare(hashed(text, send=False), None)
