"""Equal inputs have equal fingerprints, and others have others."""

import hashlib
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.training.fingerprint import INPUTS, config, fingerprint

BASE = {
    "modelName": "m", "loraRank": 8, "learningRate": 1.0, "epochs": 3, "trainDataDir": "d",
    "extraParams": {"seed": 1, "nested": {"a": [1, 2], "b": 0.5}},
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"learningRate": 1},
        {"loraAlpha": None},
        {"extraParams": {"nested": {"b": 0.5, "a": [1, 2.0]}, "seed": 1.0, "x": None}},
        {"outputPath": "o", "logPath": "l", "tags": ["t"], "notes": "n"},
        {"launcher": {"kind": "slurm"}, "maxAttempts": 3, "hourlyCost": 1.5},
    ],
)
def test_the_same_training_has_the_same_fingerprint(change: dict[str, Any]) -> None:
    assert fingerprint(BASE | change) == fingerprint(BASE)


@pytest.mark.parametrize(
    "change",
    [
        {"modelName": "n"},
        {"loraRank": 16},
        {"loraRank": None},
        {"learningRate": 1.0000000000000002},
        {"extraParams": {}},
        {"extraParams": {"seed": "1", "nested": {"a": [1, 2], "b": 0.5}}},
        {"extraParams": {"seed": True, "nested": {"a": [1, 2], "b": 0.5}}},
        {"extraParams": {"seed": 1, "nested": {"a": [2, 1], "b": 0.5}}},
        {"extraParams": {"seed": 1, "nested": {"a": [1, 2, None], "b": 0.5}}},
        {"snapshotId": "snp_1"},
        {"command": "python x.py"},
    ],
)
def test_another_training_has_another(change: dict[str, Any]) -> None:
    assert fingerprint(BASE | change) != fingerprint(BASE)


def test_a_fingerprint_stays_what_it_is() -> None:
    text = '{"extraParams":{"a":"NaN","b":1},"loraRank":8,"modelName":"é"}'
    inputs = {"modelName": "é", "loraRank": 8, "extraParams": {"b": 1.0, "a": float("nan")}, "tags": []}
    assert fingerprint(inputs) == hashlib.sha256(text.encode()).hexdigest()
    assert fingerprint({"extraParams": {}}) == fingerprint({})


def test_the_config_has_all_inputs_in_order() -> None:
    made = config({"notes": "n", "modelName": "m"})
    assert tuple(made) == INPUTS
    assert {name: value for name, value in made.items() if value is not None} == {"notes": "n", "modelName": "m"}
    with pytest.raises(ValueError, match="'lora_rank'"):
        config({"lora_rank": 1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from("wxyz"), json_values), st.randoms(use_true_random=False))
def test_the_order_of_keys_is_irrelevant(extra: dict[str, Any], shuffled: random.Random) -> None:
    def reordered(value: Any) -> Any:
        if isinstance(value, list):
            return [reordered(item) for item in value]
        if isinstance(value, dict):
            keys = list(value)
            shuffled.shuffle(keys)
            return {key: reordered(value[key]) for key in keys}
        return float(value) if type(value) is int else value

    inputs = BASE | {"extraParams": extra}
    assert fingerprint(reordered(inputs)) == fingerprint(inputs)
