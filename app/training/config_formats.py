"""The text of a config as a value: YAML, TOML or JSON, whatever is in it, in bounded time and memory.

A value here is a dict, list, text, number, boolean, None, or a `Word`. The later of two equal keys counts; the earlier
is reported, where the format lets it pass.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from enum import Enum
from typing import Any, NoReturn

import yaml

from app.annotation.checks import Path, invalid, shown
from app.errors import Code, GradbookError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 20
MAX_VALUES = 10_000


class ConfigFormat(Enum):
    """How a config is written."""

    YAML = "YAML"
    TOML = "TOML"
    JSON = "JSON"


class Word(str):
    """`yes`, `no`, `on`, `off` in YAML: a boolean to YAML 1.1 and the trainers that read it, text to YAML 1.2."""

    __slots__ = ()

    @property
    def truth(self) -> bool:
        """The boolean that it is in YAML 1.1."""
        return self.lower() in {"yes", "on"}


DuplicateKey = Callable[[Path], None]


def parse(config_format: ConfigFormat, text: str, on_duplicate: DuplicateKey) -> dict[str, Any]:
    """The config's keys and values. Raises INVALID_INPUT with line and column, as far as the format's parser knows.

    LIMIT_EXCEEDED beyond MAX_CHARACTERS, MAX_DEPTH or MAX_VALUES; aliases count as often as they are used. Takes
    seconds for a text of a million characters: not for the event loop.
    """
    if len(text) > MAX_CHARACTERS:
        _too_much(f"The config has {len(text):,} characters: at most {MAX_CHARACTERS:,} are read.")
    read = {ConfigFormat.YAML: _yaml, ConfigFormat.TOML: _toml, ConfigFormat.JSON: _json}[config_format]
    try:
        value = read(text.removeprefix("\ufeff"), on_duplicate)
    except RecursionError:
        _too_much(f"The config is nested too deeply: {MAX_DEPTH} levels are read.")
    if value is None:
        value = {}
    if not isinstance(value, dict):
        message = f"The {config_format.name} is no table of keys and values, but {shown(_plain_start(value))}."
        raise invalid(message, "text")
    _bounded(value)
    return value


def _too_much(message: str) -> NoReturn:
    raise GradbookError(Code.LIMIT_EXCEEDED, message, ("text",))


def _plain_start(value: Any) -> Any:
    return value[:3] if isinstance(value, list | str) else value


def _bounded(value: Any) -> None:
    left, level = [value], 0
    values = 0
    while left:
        level += 1
        if level > MAX_DEPTH:
            _too_much(f"The config is nested too deeply: {MAX_DEPTH} levels are read.")
        inner: list[Any] = []
        for item in left:
            inner.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        values += len(inner)
        if values > MAX_VALUES:
            _too_much(f"The config holds more than {MAX_VALUES:,} values.")
        left = inner


# tomllib takes time by the square of a key's parts.
_LONG_TOML_KEY = re.compile(r"(?<![\w-])(?:(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+){20}")


def _toml(text: str, _on_duplicate: DuplicateKey) -> Any:
    if _LONG_TOML_KEY.search(text):
        _too_much(f"The config is nested too deeply: {MAX_DEPTH} levels are read.")
    try:
        return tomllib.loads(text)
    except ValueError as error:  # a TOMLDecodeError, or a number of more digits than Python reads
        raise invalid(f"This is no TOML: {error}.", "text") from None


def _json(text: str, on_duplicate: DuplicateKey) -> Any:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    on_duplicate((key,))
                seen.add(key)
        return found

    try:
        return json.loads(text, object_pairs_hook=members) if text.strip() else {}
    except json.JSONDecodeError as error:
        raise invalid(f"This is no JSON: {error.msg} (at line {error.lineno}, column {error.colno}).", "text") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise invalid(f"This is no JSON that can be read: {error}.", "text") from None


# A plain scalar of YAML 1.2's core schema: with an exponent, as in `1e-4`, it is a number.
_YAML_PLAIN: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"|~|null|Null|NULL"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"(?i:yes|no|on|off)"), Word),
    (re.compile(r"[-+]?[0-9]{1,400}"), int),
    (re.compile(r"0x[0-9a-fA-F]{1,400}"), lambda text: int(text, 16)),
    (re.compile(r"0o[0-7]{1,400}"), lambda text: int(text, 8)),
    (re.compile(r"[-+]?(?:\.[0-9]++|[0-9]++(?:\.[0-9]*+)?)(?:[eE][-+]?[0-9]++)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)
_YAML_TAG = "tag:yaml.org,2002:"
_YAML_TYPES = ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "map", "seq")
_YAML_TAGS = {"!", *(_YAML_TAG + name for name in _YAML_TYPES)}
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _yaml(text: str, on_duplicate: DuplicateKey) -> Any:
    try:
        depth = 0
        for event in yaml.parse(text, Loader=_YAML_LOADER):  # composing recurses, this does not
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                _too_much(f"The config is nested too deeply{_at(event)}: {MAX_DEPTH} levels are read.")
        root = yaml.compose(text, Loader=_YAML_LOADER)
    except yaml.MarkedYAMLError as error:
        problem = error.problem or error.context or "it cannot be read"
        raise invalid(f"This is no YAML: {problem}{_at(error, 'problem_mark')}.", "text") from None
    except yaml.YAMLError as error:
        raise invalid(f"This is no YAML: {str(error).splitlines()[0]}.", "text") from None
    return None if root is None else _YamlReader(on_duplicate).value(root, ())


def _at(where: Any, mark_name: str = "start_mark") -> str:
    mark = getattr(where, mark_name)
    return "" if mark is None else f" (at line {mark.line + 1}, column {mark.column + 1})"


class _YamlReader:
    """Values out of YAML's nodes. Aliases count each time, so that a few of them cannot become a million values."""

    def __init__(self, on_duplicate: DuplicateKey) -> None:
        self._on_duplicate = on_duplicate
        self._values = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            _too_much(f"The config holds more than {MAX_VALUES:,} values, aliases resolved.")
        if len(path) > MAX_DEPTH:
            _too_much(f"The config is nested too deeply{_at(node)}: {MAX_DEPTH} levels are read.")
        if node.tag not in _YAML_TAGS:
            tag = node.tag.replace(_YAML_TAG, "!!")
            raise invalid(
                f"The YAML tag {shown(tag)}{_at(node)} has no place in a config: use text or numbers.", "text"
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        plain: str = node.value
        if isinstance(node, yaml.ScalarNode) and not node.style:
            for form, read in _YAML_PLAIN:
                if form.fullmatch(plain):
                    return read(plain)
        return plain

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise invalid(f"A key of the YAML{_at(key)} is no text: use a name.", "text")
            name = key.value  # as it is written: `on` and `1` are names here
            value = self.value(item, (*path, name))
            if name == "<<" and not key.style:
                for source in value if isinstance(value, list) else [value]:
                    if not isinstance(source, dict):
                        raise invalid(f"What << merges in{_at(item)} is no mapping.", "text")
                    merged = {**source, **merged}
                continue
            if name in own:
                self._on_duplicate((*path, name))
            own[name] = value
        return {**merged, **own}
