"""Media types: what a caller accepts, and what it says it sends (RFC 9110, sections 8.3 and 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
MULTIPART = "multipart/mixed;subscriptionspec=1.0"
"""Apollo's subscriptions. Without that parameter, or with another, multipart/mixed means something else."""

_WEIGHT = re.compile(r"[01](\.\d*)?")


def choose(accept: str, offered: Sequence[str]) -> str | None:
    """The type to answer with, None where none will do.

    Among types that the caller names alike the first one offered wins; whoever takes anything gets the last one.
    """
    if not accept.strip():
        return offered[-1]
    weights = _weights(accept)
    ranked = []
    for place, media_type in enumerate(offered):
        patterns = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
        precision, weight = next(((-i, weights[p]) for i, p in enumerate(patterns) if p in weights), (0, 0.0))
        if weight > 0:
            ranked.append((weight, precision, place if precision else -place, media_type))
    return max(ranked)[-1] if ranked else None


@lru_cache(64)
def _weights(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in accept.split(","):
        pattern, parameters = _split(part)
        if pattern == "multipart/mixed" and parameters.get("subscriptionspec") == "1.0":
            pattern = MULTIPART
        weight = parameters.get("q", "1")
        found[pattern] = float(weight) if _WEIGHT.fullmatch(weight) else 1.0
    return found


def wrong_content_type(content_type: str) -> str | None:
    """What is wrong with a request's content type in words, None for JSON in UTF-8."""
    media_type, parameters = _split(content_type)
    if media_type != JSON:
        return f"The content type is {media_type or 'missing'}: send {JSON}."
    charset = parameters.get("charset", "utf-8")
    if charset not in ("utf-8", "utf8"):
        return f"The charset is {charset}: send {JSON} in utf-8."
    return None


def _split(text: str) -> tuple[str, dict[str, str]]:
    """A media type and its parameters, in lower case."""
    media_type, *parameters = text.lower().split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return media_type.strip(), {name.strip(): value.strip().strip('"') for name, _, value in pairs}
