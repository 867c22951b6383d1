"""What a training task was given, as one JSON, and a fingerprint by which equal ones find each other."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import orjson

from app.db.types import json_text

INPUTS = (
    *("modelName", "modelPath", "loraRank", "loraAlpha", "learningRate", "batchSize", "epochs"),
    *("trainDataDir", "metadataPath", "outputPath", "logPath", "extraParams", "snapshotId"),
    *("command", "launcher", "maxAttempts", "hourlyCost", "tags", "notes"),
)
"""All inputs of a task, in the order in which they are shown."""

# Where results go, what people call it and where it runs make no other training of it.
_NOT_COMPARED = {"outputPath", "logPath", "tags", "notes", "launcher", "maxAttempts", "hourlyCost"}


def config(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """All inputs by name, in the order of INPUTS; what is missing is null. Raises ValueError for another name."""
    if unknown := [name for name in inputs if name not in INPUTS]:
        raise ValueError(f"{unknown} are no inputs of a training task: {', '.join(INPUTS)} are.")
    return {name: inputs.get(name) for name in INPUTS}


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of the canonical JSON of what is trained: equal for equal inputs.

    Keys count in any order, a null as if it were missing, empty `extraParams` too, and numbers by their value: 1 is
    1.0, as in JSON. The paths of output and log, tags and notes do not count, nor how it is run (launcher, maxAttempts,
    hourlyCost). Raises ValueError for a name that is no input, TypeError for what is not JSON.
    """
    compared = {name: value for name, value in config(inputs).items() if name not in _NOT_COMPARED}
    compared["extraParams"] = compared["extraParams"] or None
    text = orjson.dumps(orjson.loads(json_text(_canonical(compared))), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value
