"""Which media type an answer gets, and which requests are JSON."""

import pytest

from app.graphql import media

OFFERED = (media.EVENT_STREAM, media.MULTIPART, media.RESPONSE, media.JSON)
APOLLO = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", media.JSON),
        (" ", media.JSON),
        ("*/*", media.JSON),
        ("application/*", media.JSON),
        ("text/*", media.EVENT_STREAM),
        ("application/json", media.JSON),
        ("APPLICATION/JSON", media.JSON),
        ("application/json; charset=utf-8", media.JSON),
        ("application/graphql-response+json", media.RESPONSE),
        ("application/graphql-response+json; charset=utf-8, application/json; charset=utf-8", media.RESPONSE),
        ("application/json, application/graphql-response+json", media.RESPONSE),
        ("application/json, application/graphql-response+json;q=0.9", media.JSON),
        ("application/json;q=0.8, application/graphql-response+json;q=0.9", media.RESPONSE),
        ("application/graphql-response+json, */*;q=0.1", media.RESPONSE),
        ("application/json, */*", media.JSON),
        ("application/json;q=0, */*", media.RESPONSE),
        ("text/html, application/xhtml+xml, */*;q=0.8", media.JSON),
        ("text/event-stream", media.EVENT_STREAM),
        ("text/event-stream;q=0.5, application/json", media.JSON),
        ("text/event-stream, application/json", media.EVENT_STREAM),
        (f"{APOLLO},application/graphql-response+json,application/json;q=0.9", media.MULTIPART),
        ('multipart/mixed; subscriptionSpec="1.0", application/json', media.MULTIPART),
        (APOLLO, media.MULTIPART),
        (f"application/json, {APOLLO};q=0.9", media.JSON),
        (f"{APOLLO}, text/event-stream", media.EVENT_STREAM),
        ("multipart/mixed;deferSpec=20220824,application/json;q=0.9", media.JSON),
        ("multipart/mixed;subscriptionSpec=2.0,application/json", media.JSON),
        ("multipart/mixed", None),
        ("text/html", None),
        ("application/xml, text/html;q=0.5", None),
        ("*/*;q=0", None),
        ("application/json; q=0.000", None),
        ('application/json; q="0.5", application/graphql-response+json;q=0.4', media.JSON),
        ("application/json;q=nonsense", media.JSON),
        (",;q,=,", None),
    ],
)
def test_the_best_of_what_is_accepted(accept: str, chosen: str | None) -> None:
    assert media.choose(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json", "Application/JSON", "application/json;charset=utf-8", "application/json ; charset=UTF-8",
        'application/json; charset="utf-8"', "application/json; odata=x", "application/json;charset=utf8;",
    ],
)  # fmt: skip
def test_json_in_utf_8_is_taken(content_type: str) -> None:
    assert media.wrong_content_type(content_type) is None


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        ("", "is missing: send application/json"),
        ("text/plain", "is text/plain"),
        ("text/plain; x=application/json", "is text/plain"),
        ("application/jsonp", "is application/jsonp"),
        ("application/x-www-form-urlencoded", "is application/x-www-form-urlencoded"),
        ("application/json; charset=iso-8859-1", "charset is iso-8859-1"),
        ("application/json; charset=utf-16", "charset is utf-16"),
        ("application/json; charset=", "charset is"),
    ],
)
def test_anything_else_is_refused_in_words(content_type: str, words: str) -> None:
    assert words in (media.wrong_content_type(content_type) or "")
