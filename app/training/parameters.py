"""The parameters of tasks, by names under which they can be compared and searched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.training.fingerprint import INPUTS

EXTRA = "extraParams"
COMPARED = tuple(name for name in INPUTS if name not in {EXTRA, "tags", "notes"})
"""The inputs that are parameters, in the order in which they are shown; `extraParams` are taken apart."""

_BARE = re.compile(r"[^.\[\]\"\\\x00-\x1f]+")


def flattened(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a task by name: what is in `extraParams` by its path there, as `extraParams.network_dropout`.

    Objects are taken apart, lists are values. The paths are those that conditions on `extraParams` take.
    """
    found = {name: inputs[name] for name in COMPARED}
    found.update(extra_parameters(inputs[EXTRA] or {}))
    return found


def extra_parameters(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What is in `extraParams`, by such names."""
    return dict(_extra(EXTRA, extra))


def are_equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: 1 is 1.0 and not true, and keys come in any order."""
    return bool(_canonical(one) == _canonical(other))


def _extra(path: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        name = f"{path}.{key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)}"
        if isinstance(item, dict) and item:
            yield from _extra(name, item)
        else:
            yield name, item


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return (type(value).__name__, value) if isinstance(value, bool) or value is None else value
