"""Training configs as people have them become the inputs of a task; what was changed on the way is said."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from app.annotation.checks import Path, invalid, raise_errors, shown
from app.db.types import checked_text
from app.errors import GradbookError
from app.training.config_formats import ConfigFormat, Word, parse
from app.training.known_keys import COLUMNS, KNOWN_KEYS, SECTIONS, Kind, KnownKey
from app.training.secrets import redact, redact_text

_COLUMN_NAMES = frozenset(column for column, _, _ in COLUMNS)
_MODEL_FILE = re.compile(r"\.(?:safetensors|ckpt|pth|pt|bin|gguf)$", re.IGNORECASE)
_LEAST, _MOST = -(2**63), 2**64 - 1  # what is stored as a JSON integer


class WarningCode(Enum):
    """What a warning of an import is about; its value says what it means."""

    CONVERTED = "A value was stored as another type than it was written in."
    DERIVED = "An input was taken from another one, because the config does not say it."
    DUPLICATE_KEY = "Two values stand for one input: the later one counts."
    KEPT_AS_EXTRA = "A known key holds what its column cannot: it was kept in `extraParams`."
    UNKNOWN_SECTION = "A table is not known as a section of training configs; the message says how it was read."


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """Something of the config that was not taken as it stands. `path` leads to it in the config."""

    code: WarningCode
    message: str
    path: Path


@dataclass(frozen=True, slots=True)
class ImportedConfig:
    """What a config says. `inputs` has the columns that it sets by name; `extra_params` everything else.

    Secrets are still in both, and not in `warnings`.
    """

    inputs: dict[str, Any]
    extra_params: dict[str, Any]
    warnings: list[ConfigWarning]


def read_config(config_format: ConfigFormat, text: str, overrides: Mapping[str, Any] | None = None) -> ImportedConfig:
    """Read a lora-scripts, kohya or Hugging Face config. `overrides` are inputs of a task by name, and win.

    Tables that group keys are flattened, as sd-scripts does; known keys (known_keys.py) become columns and numbers,
    all others stay as they are in `extra_params`. `modelName` is the key of that meaning, `output_name`, or else the
    last part of the base model's path. An override of null clears; `extraParams` are merged key by key.

    Raises INVALID_INPUT (all errors at once) and LIMIT_EXCEEDED; paths begin with `text`. It is pure and may take
    seconds for a text of a million characters: call it beside the event loop and before a transaction.
    """
    reader = _Reader()
    parsed = parse(config_format, text, reader.duplicate_in_table)
    for path, value in reader.entries(parsed):
        reader.take(path, value)
    raise_errors(reader.errors)
    inputs, extra_params = dict(reader.inputs), dict(reader.extra_params)
    for name, value in (overrides or {}).items():
        if name == "extraParams":
            extra_params.update(value or {})
        elif value is None:
            inputs.pop(name, None)
        else:
            inputs[name] = value
    if "modelName" not in inputs:
        inputs["modelName"] = reader.derived_name(inputs.get("modelPath"))
    return ImportedConfig(inputs, extra_params, reader.warnings)


class _Unfit(Exception):  # noqa: N818 -- no error: the value goes elsewhere
    """The value is nothing that the key's column can hold."""


@dataclass(slots=True)
class _Reader:
    inputs: dict[str, Any] = field(default_factory=dict)
    extra_params: dict[str, Any] = field(default_factory=dict)
    warnings: list[ConfigWarning] = field(default_factory=list)
    errors: list[GradbookError] = field(default_factory=list)
    _from: dict[tuple[str, str], Path] = field(default_factory=dict)
    """Where each input was found, by (column or "", name)."""

    def warn(self, code: WarningCode, message: str, path: Path) -> None:
        self.warnings.append(ConfigWarning(code, message, path))

    def duplicate_in_table(self, path: Path) -> None:
        message = f"{_dotted(path)} stands twice in the same table: the later value counts."
        self.warn(WarningCode.DUPLICATE_KEY, message, path)

    def entries(self, parsed: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
        """The keys and values, those of sections too."""
        for name, value in parsed.items():
            if not isinstance(value, dict):
                yield (name,), value
                continue
            flattened = name in SECTIONS or any(key in KNOWN_KEYS for key in value)
            if name not in SECTIONS:
                how = "its keys were read as if they stood outside" if flattened else "it was kept in extraParams"
                message = f"{shown(name)} is not known as a section of training configs: {how}."
                self.warn(WarningCode.UNKNOWN_SECTION, message, (name,))
            if flattened:
                yield from (((name, key), item) for key, item in value.items())
            else:
                yield (name,), value

    def take(self, path: Path, value: Any) -> None:
        """Put one value where it belongs, or note what is wrong with it."""
        name = str(path[-1])
        known = KNOWN_KEYS.get(name)
        try:
            if not isinstance(value, Word):
                value = self.as_json(value, path)
            if known is None or value is None:
                taken = self.as_json(value, path)
            else:
                taken = self.converted(known, value, path)
        except GradbookError as error:
            self.errors.append(error)
            return
        except _Unfit:
            message = f"{name} is {_shown(name, value)}, which {known.column if known else name} cannot hold: "
            self.warn(WarningCode.KEPT_AS_EXTRA, message + "it was kept in extraParams.", path)
            known, taken = None, self.as_json(value, path)
        column = known.column if known else None
        if column is None:
            self.place(self.extra_params, ("", name), taken, path)
        elif taken is not None:
            self.place(self.inputs, (column, column), taken, path)

    def place(self, where: dict[str, Any], target: tuple[str, str], value: Any, path: Path) -> None:
        earlier = self._from.get(target)
        name = target[1]
        if earlier is not None and (earlier[-1] == path[-1] or where[name] != value):
            before, now = _shown(str(earlier[-1]), where[name]), _shown(str(path[-1]), value)
            message = f"{name} is {before} by {_dotted(earlier)} and {now} by {_dotted(path)}: the later counts."
            self.warn(WarningCode.DUPLICATE_KEY, message, path)
        self._from[target] = path
        where[name] = value

    def converted(self, key: KnownKey, value: Any, path: Path) -> Any:
        """The value in its key's type; None for an empty text where a column wants something. Raises _Unfit."""
        if key.kind is Kind.TEXT and (isinstance(value, Word) or key.column is None):
            return str(value) if isinstance(value, Word) else value
        value = self.as_json(value, path)
        try:
            taken = _TAKE[key.kind](value)
        except ValueError:
            message = f"{key.name} is {_shown(key.name, value)}, which is no number: write {key.kind.value}."
            raise invalid(message, "text", *path) from None
        except _Unfit:
            if key.column is not None:
                raise
            return value
        if key.column is None and (taken is None or not isinstance(value, str)):
            return value  # 1 stays 1 where no column asks for 1.0
        if key.kind is Kind.NUMBER and key.column is not None and taken is not None:
            taken = float(taken)
        if taken is None or isinstance(taken, str) is not isinstance(value, str):
            now = "left out" if taken is None else f"stored as {_shown(key.name, taken)}"
            self.warn(WarningCode.CONVERTED, f"{key.name}, {_shown(key.name, value)}, was {now}.", path)
        return taken

    def as_json(self, value: Any, path: Path) -> Any:
        """The value as JSON has it, all through."""
        plain = value
        if isinstance(value, dict):
            return {self.as_json(key, path): self.as_json(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.as_json(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, Word):
            plain = value.truth
        elif isinstance(value, datetime.date | datetime.time):
            plain = value.isoformat()
        elif isinstance(value, float) and not math.isfinite(value):
            plain = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        elif isinstance(value, int) and not _LEAST <= value <= _MOST:
            raise invalid(f"{_dotted(path)} is {str(value)[:40]}, which takes more than 64 bits.", "text", *path)
        elif isinstance(value, str):
            _demand_text(value, path)
        if plain is not value:
            message = f"{_dotted(path)}, written {_shown(str(path[-1]), str(value))}, was stored as {shown(plain)}"
            hint = ": put it in quotes if it is text." if isinstance(value, Word) else "."
            self.warn(WarningCode.CONVERTED, message + hint, path)
        return plain

    def derived_name(self, model_path: Any) -> str:
        """The name of the model file or folder."""
        name = str(model_path or "").replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        name = _MODEL_FILE.sub("", name)
        if not name:
            message = (
                "The config names no model: add output_name or pretrained_model_name_or_path, or override modelName."
            )
            raise invalid(message, "overrides", "modelName")
        self.warn(WarningCode.DERIVED, f"modelName {shown(name)} was taken from modelPath.", ("modelPath",))
        return name


def _number(value: Any) -> int | float | None:
    """The number; None for an empty text. Raises ValueError for text that is none, _Unfit for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if re.fullmatch(r"[-+]?[0-9]{1,18}", text):
            return int(text)
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Unfit
    return value


def _integer(value: Any) -> int | None:
    number = _number(value)
    if number is None:
        return None
    if number != int(number) or abs(number) > _MOST:
        raise _Unfit
    return int(number)


def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    if isinstance(value, bool):
        return value
    raise _Unfit


def _text(value: Any) -> str | None:
    if isinstance(value, bool | dict | list):
        raise _Unfit
    return str(value) or None


_TAKE = {Kind.INTEGER: _integer, Kind.NUMBER: _number, Kind.BOOLEAN: _boolean, Kind.TEXT: _text}


def _demand_text(text: str, path: Path) -> None:
    try:
        checked_text(text).encode()
    except ValueError as error:
        what = "half a character (a lone surrogate)" if isinstance(error, UnicodeEncodeError) else "a NUL character"
        raise invalid(f"{_dotted(path)!a} holds {what}: remove it.", "text", *path) from None


def _shown(name: str, value: Any) -> str:
    """The value for a message, unless it is a secret."""
    return shown(redact(value, (name,))[0])


def _dotted(path: Path) -> str:
    return redact_text(".".join(map(str, path)))[0][:200]
