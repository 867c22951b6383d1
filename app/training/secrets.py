"""Secrets never land: what is stored of a training task goes through here first.

A value is a secret by its name (`wandb_api_key: …`, `--hub_token …`, `HF_TOKEN=…`) or by its shape (`hf_…`); it is
replaced by `[redacted]`, and the answer says where. Redacting twice changes nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from app.errors import Code, GradbookError
from app.training.secret_shapes import HINTS, SHAPES, Suspicion, suspicion

REDACTED = "[redacted]"
MAX_DEPTH = 100

Path = tuple[str | int, ...]

# What stands under a suspicious name and is no secret: nothing, a switch, a place for one (`$HF_TOKEN`), or it went
# before.
_NO_SECRET = re.compile(
    r"\s*|true|false|yes|no|on|off|none|null|\$\{\w+\}|\$[A-Z_][A-Z0-9_]*|%[A-Z_][A-Z0-9_]*%|\*+|…|\.\.\.|<[\w -]*>|"
    + re.escape(REDACTED),
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+]?(?:\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})(?:[eE][-+]?\d{1,3})?")
_FILE_PATH = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\][\w./\\ +@-]*+")
_OPTION = re.compile(r"-{1,2}([A-Za-z_][\w.-]*+)")

# A name that gives a value: `name = `, `"name": `, `os.environ["NAME"] = `, `--name `. The words before some names are
# part of them. Each run of letters is read once.
_NAMED = re.compile(
    r"(?<![\w.-])(?P<dashes>-++)?+"
    r"(?P<name>(?:(?i:api|access|secret|private|auth|client)[ ](?=(?i:key|token|secret)))?+[^\W\d][\w.-]*+)"
    r"(?P<closed>[\\\"'`\]]{0,4}+)"
    r"(?:[ \t]*+(?P<sign>={1,3}>?|:=|：|:(?!:|//))[ \t]*+|(?(dashes)(?P<space>[ \t]++)|(?!)))"
)
_VALUE = re.compile(
    r"\"(?P<double>(?:[^\"\\\n]|\\.)*+)\"|'(?P<single>(?:[^'\\\n]|\\.)*+)'|"
    r"\\++[\"'](?P<escaped>[^\"'\\\n]*+)|[\"'`]?(?P<bare>[^\s\"'`]++)"
)
_REST_OF_LINE = re.compile(r"\"(?P<double>[^\"\n]*+)\"|'(?P<single>[^'\n]*+)'|(?P<bare>[^\s\"'][^\n\"']*+)")
_WORD = re.compile(r"[A-Za-z]{1,15}[.,;!?)]*")


def redact(value: Any, path: Path = ()) -> tuple[Any, list[str]]:
    """The JSON value without its secrets, and the paths where some were, such as `extraParams.wandb_api_key`.

    `path` is where the value itself stands; its last name counts. Under a name that looks secret everything goes, a
    list or object too, but for booleans, null, empty and `$NAME`. Texts are redacted as `redact_text` does, keys too.
    The value is left as it is: what is changed is copied. Raises INVALID_INPUT beyond MAX_DEPTH levels.
    """
    found: list[str] = []
    name = path[-1] if path and isinstance(path[-1], str) else ""
    return _redacted(value, suspicion(name), path, found), found


def redact_text(text: str) -> tuple[str, list[str]]:
    """The text without its secrets, and what they were: the name that gave one away, or the kind of its shape.

    For commands, notes, errors, logs. Time grows with the length of the text alone.
    """
    found: list[str] = []
    for kind, contained, shape in SHAPES:
        if any(part in text for part in contained):
            text, count = shape.subn(_replacement, text)
            found += [kind] * bool(count)
    lowered = text.lower()
    if any(hint in lowered for hint in HINTS):
        parts: list[str] = []
        done = 0
        for start, end, name in _named_secrets(text):
            parts += text[done:start], REDACTED
            done = end
            found.append(name)
        text = "".join([*parts, text[done:]])
    return text, list(dict.fromkeys(found))


@lru_cache(10_000)
def secret_in_name(name: str) -> str | None:
    """What is wrong with a name that something is told by, such as a metric's: it cannot be replaced, so is refused."""
    _, kinds = redact_text(name)
    return f"There is a secret in this name ({kinds[0]}): use another one." if kinds else None


def _replacement(match: re.Match[str]) -> str:
    """Of `user:password` who it was may stay."""
    return match.groupdict().get("kept", "") + REDACTED


def _named_secrets(text: str) -> Iterator[tuple[int, int, str]]:
    """Where values begin and end whose names give them away, with those names."""
    position = 0
    while named := _NAMED.search(text, position):
        position = named.end()
        found = suspicion(named["name"])
        by_space = named["space"] is not None
        if found is Suspicion.NONE:
            continue  # from here on, not after the value, which may name a secret: `args: --token=…`
        value = (_REST_OF_LINE if found is Suspicion.HEADER and not by_space else _VALUE).match(text, position)
        if value is None or (by_space and value[0].startswith("-")):
            continue
        group = value.lastgroup or "bare"
        in_prose = named["sign"] in {":", "："} and not named["closed"] and named["name"].isalpha()
        if in_prose and found is not Suspicion.PASSWORD and _WORD.fullmatch(value[group]):
            continue  # "token: unknown" is prose; `hf_token: unknown` is not
        if _is_secret(value[group], found):
            yield *value.span(group), named["name"]
            position = value.end()


def _is_secret(text: str, found: Suspicion) -> bool:
    """Whether the text, under a name that raises this suspicion, is to go."""
    if _NO_SECRET.fullmatch(text):
        return False
    if found is Suspicion.TOKEN or found is Suspicion.HEADER:
        return _NUMBER.fullmatch(text) is None
    return found is not Suspicion.LOCATED or _FILE_PATH.fullmatch(text) is None


def _redacted(value: Any, found: Suspicion, path: Path, secrets: list[str]) -> Any:
    if len(path) > MAX_DEPTH:
        message = f"The value is nested deeper than {MAX_DEPTH} levels: flatten it."
        raise GradbookError(Code.INVALID_INPUT, message, path[:3])
    if value is None or isinstance(value, bool):
        return value
    if found is not Suspicion.NONE and (value if isinstance(value, list | dict) else _is_secret(str(value), found)):
        secrets.append(_dotted(path))
        return REDACTED
    if isinstance(value, str):
        clean, kinds = redact_text(value)
        if kinds:
            secrets.append(_dotted(path))
        return clean
    if isinstance(value, dict):
        return _redacted_object(value, path, secrets)
    if isinstance(value, list):
        return _redacted_list(value, path, secrets)
    return value


def _redacted_object(value: dict[str, Any], path: Path, secrets: list[str]) -> dict[str, Any]:
    # {"name": "HF_TOKEN", "value": "…"}: a variable as containers have it.
    label = value.get("name", value.get("key"))
    of_label = suspicion(label) if isinstance(label, str) else Suspicion.NONE
    clean: dict[str, Any] = {}
    for key, item in value.items():
        name, kinds = redact_text(key)
        while kinds and name in clean:
            name += "'"
        if kinds:
            secrets.append(_dotted((*path, name)))
        found = of_label if key == "value" else suspicion(key)
        clean[name] = _redacted(item, found, (*path, name), secrets)
    return clean


def _redacted_list(value: list[Any], path: Path, secrets: list[str]) -> list[Any]:
    clean: list[Any] = []
    found = Suspicion.NONE
    for index, item in enumerate(value):
        option = _OPTION.fullmatch(item) if isinstance(item, str) else None
        clean.append(_redacted(item, Suspicion.NONE if option else found, (*path, index), secrets))
        # ["--hub_token", "…"]: a command as a list.
        found = suspicion(option[1]) if option else Suspicion.NONE
    return clean


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))
