"""Configs as people have them, and what is made of each of their oddities."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.annotation.checks import errors_of
from app.errors import GradbookError
from app.training.config_formats import MAX_CHARACTERS, ConfigFormat
from app.training.configs import ImportedConfig, WarningCode, read_config
from app.training.known_keys import COLUMNS, EXTRAS, KNOWN_KEYS
from app.training.secrets import redact

CONFIGS = Path(__file__).parent / "configs"
YAML, TOML, JSON = ConfigFormat.YAML, ConfigFormat.TOML, ConfigFormat.JSON
NAMED = {"modelName": "m"}


def read(config_format: ConfigFormat, text: str) -> ImportedConfig:
    return read_config(config_format, text, NAMED)


def warned(config: ImportedConfig) -> list[tuple[str, str]]:
    return [(warning.code.name, ".".join(map(str, warning.path))) for warning in config.warnings]


def refused(config_format: ConfigFormat, text: str) -> list[GradbookError]:
    with pytest.raises(GradbookError) as error:
        read(config_format, text)
    return list(errors_of(error.value))


def test_the_default_config_of_lora_scripts() -> None:
    config = read_config(TOML, (CONFIGS / "default.toml").read_text())
    assert config.inputs == {
        "modelName": "output_name",
        "modelPath": "./sd-models/model.ckpt",
        "loraRank": 32,
        "loraAlpha": 16.0,
        "batchSize": 1,
        "epochs": 10,
        "trainDataDir": "./train/input",
        "outputPath": "./output",
        "logPath": "./logs",
    }
    assert config.extra_params["unet_lr"] == 1e-4
    assert config.extra_params["network_args"] == []
    assert config.extra_params["reg_data_dir"] == ""
    assert config.extra_params["prior_loss_weight"] == 1
    assert len(config.extra_params) == 39
    assert warned(config) == []


def test_what_the_gui_saves() -> None:
    config = read_config(TOML, (CONFIGS / "autosave.toml").read_text())
    assert config.inputs["learningRate"] == 1e-4
    assert config.inputs["loraAlpha"] == 32.0
    assert isinstance(config.inputs["loraAlpha"], float)
    assert config.inputs["modelName"] == "aki"
    assert config.extra_params["unet_lr"] == 1e-4
    assert config.extra_params["optimizer_args"] == ["d_coef=2.0", "weight_decay=0.01"]
    assert warned(config) == [("CONVERTED", key) for key in ("learning_rate", "unet_lr", "text_encoder_lr")]
    assert redact(config.extra_params, ("extraParams",))[1] == ["extraParams.wandb_api_key"]


def test_peft_and_hugging_face_names() -> None:
    text = """
    peft_config: {r: 8, lora_alpha: 16, lora_dropout: 0.0, target_modules: [q_proj, v_proj]}
    training_arguments:
      learning_rate: 2e-4
      per_device_train_batch_size: 4
      num_train_epochs: 3.0
      output_dir: out
      optim: adamw_torch
    model_name_or_path: meta-llama/Llama-3.1
    """
    config = read_config(YAML, text)
    assert config.inputs == {
        "modelName": "Llama-3.1",
        "modelPath": "meta-llama/Llama-3.1",
        "loraRank": 8,
        "loraAlpha": 16.0,
        "learningRate": 2e-4,
        "batchSize": 4,
        "epochs": 3,
        "outputPath": "out",
    }
    assert config.extra_params == {
        "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj"], "optim": "adamw_torch",
    }  # fmt: skip
    assert warned(config) == [("DERIVED", "modelPath")]


@pytest.mark.parametrize("name", sorted(KNOWN_KEYS))
def test_a_known_key_lands_where_the_table_says(name: str) -> None:
    column = KNOWN_KEYS[name].column
    config = read_config(JSON, json.dumps({name: "7"}), None if column == "modelName" else NAMED)
    found = config.inputs[column] if column else config.extra_params[name]
    assert found == (7 if KNOWN_KEYS[name].kind.name in {"INTEGER", "NUMBER"} else "7")


def test_a_name_is_in_the_table_once() -> None:
    names = [name for column, _, names in COLUMNS for name in (column, *names.split())]
    names += [name for listed in EXTRAS.values() for name in listed.split()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("./sd-models/model.safetensors", "model"),
        ("runwayml/stable-diffusion-v1.5", "stable-diffusion-v1.5"),
        ("C:\\models\\xl.ckpt", "xl"),
        ("/models/xl/", "xl"),
    ],
)
def test_without_a_name_the_model_is_called_as_its_file(path: str, name: str) -> None:
    config = read_config(JSON, json.dumps({"pretrained_model_name_or_path": path}))
    assert config.inputs["modelName"] == name
    assert warned(config) == [("DERIVED", "modelPath")]


@pytest.mark.parametrize("text", ["{}", "", '{"output_name": ""}'])
def test_no_name_at_all_is_an_error(text: str) -> None:
    with pytest.raises(GradbookError, match="add output_name") as error:
        read_config(JSON, text)
    assert error.value.path == ("overrides", "modelName")


def test_overrides_win() -> None:
    text = '{"output_name": "a", "network_dim": 4, "lr": 1, "seed": 1, "x": 2}'
    overrides = {"modelName": "b", "loraRank": 8, "learningRate": None, "tags": ["t"], "extraParams": {"seed": 5}}
    config = read_config(JSON, text, overrides)
    assert config.inputs == {"modelName": "b", "loraRank": 8, "tags": ["t"]}
    assert config.extra_params == {"seed": 5, "x": 2}


@pytest.mark.parametrize(
    ("config_format", "text", "inputs", "extra", "warnings"),
    [
        (JSON, '{"train_batch_size": "4"}', {"batchSize": 4}, {}, ["CONVERTED"]),
        (JSON, '{"epochs": 2.0}', {"epochs": 2}, {}, []),
        (JSON, '{"num_train_epochs": 0.5}', {}, {"num_train_epochs": 0.5}, ["KEPT_AS_EXTRA"]),
        (JSON, '{"r": true, "train_data_dir": ["a"]}', {}, {"r": True, "train_data_dir": ["a"]}, ["KEPT_AS_EXTRA"] * 2),
        (JSON, '{"learning_rate": "", "min_snr_gamma": ""}', {}, {"min_snr_gamma": ""}, ["CONVERTED"]),
        (JSON, '{"learning_rate": null, "x": null}', {}, {"x": None}, []),
        (JSON, '{"learning_rate": NaN, "x": -Infinity}', {}, {"learning_rate": "NaN", "x": "-Infinity"}, None),
        (JSON, '{"unknown": "1e-4", "xformers": "True"}', {}, {"unknown": "1e-4", "xformers": True}, ["CONVERTED"]),
        (JSON, '{"seed": 1, "seed": 2}', {}, {"seed": 2}, ["DUPLICATE_KEY"]),
        (JSON, '{"output_dir": 7}', {"outputPath": "7"}, {}, ["CONVERTED"]),
        (JSON, '{"network_dim": 4, "r": 8}', {"loraRank": 8}, {}, ["DUPLICATE_KEY"]),
        (JSON, '{"network_dim": 8, "r": 8}', {"loraRank": 8}, {}, []),
        (JSON, '{"deepspeed": {"a": {"b": 1}}}', {}, {"deepspeed": {"a": {"b": 1}}}, ["UNKNOWN_SECTION"]),
        (JSON, '{"mine": {"seed": 1, "z": {"r": 2}}}', {}, {"seed": 1, "z": {"r": 2}}, ["UNKNOWN_SECTION"]),
        (TOML, "[model]\nseed=1\n[training]\nseed=1", {}, {"seed": 1}, ["DUPLICATE_KEY"]),
        (TOML, "d = 2024-05-01T10:00:00Z\nt = 07:30:00", {}, {"d": "2024-05-01T10:00:00+00:00", "t": "07:30:00"}, None),
        (TOML, "x = nan\ny = inf\n[[sets]]\na = 1", {}, {"x": "NaN", "y": "Infinity", "sets": [{"a": 1}]}, None),
        (YAML, "lr: 1e-4\nunet_lr: 1e-5\nx: 1e-6", {"learningRate": 1e-4}, {"unet_lr": 1e-5, "x": 1e-6}, []),
        (YAML, "mixed_precision: no\nx: no\nbf16: yes", {}, {"mixed_precision": "no", "x": False, "bf16": True}, None),
        (YAML, "x: 'no'\ny: 1:30", {}, {"x": "no", "y": "1:30"}, []),
        (YAML, "z: 2024-05-01\nw: 512,512", {}, {"z": "2024-05-01", "w": "512,512"}, []),
        (YAML, "a: ~\nb: .inf\nc: 0x10", {}, {"a": None, "b": "Infinity", "c": 16}, None),
        (YAML, "d: -.5\ne: 010\nf: 0o17", {}, {"d": -0.5, "e": 10, "f": 15}, []),
        (YAML, "on: 1\n1: 2", {}, {"on": 1, "1": 2}, []),
        (YAML, "a: &x {p: 1}\nb: {<<: *x, q: 3}", {}, {"a": {"p": 1}, "b": {"p": 1, "q": 3}}, None),
        (YAML, "a: &x {p: 1}\nb: {p: 2, <<: [*x, {q: 4}]}", {}, {"a": {"p": 1}, "b": {"p": 2, "q": 4}}, None),
        (YAML, "a: {k: 1, k: 2}", {}, {"a": {"k": 2}}, ["DUPLICATE_KEY", "UNKNOWN_SECTION"]),
        (YAML, "# nothing\n", {}, {}, []),
        (YAML, "\ufeffr: 4", {"loraRank": 4}, {}, []),
    ],
)  # fmt: skip
def test_odd_values(
    config_format: ConfigFormat, text: str, inputs: dict[str, Any], extra: dict[str, Any], warnings: list[str] | None
) -> None:
    config = read(config_format, text)
    assert config.inputs == NAMED | inputs
    assert config.extra_params == extra
    assert [type(value) for value in config.extra_params.values()] == [type(value) for value in extra.values()]
    if warnings is None:
        assert config.warnings
    else:
        assert [code for code, _ in warned(config)] == warnings
    assert json.loads(json.dumps(config.extra_params, allow_nan=False)) == extra


def test_a_duplicate_says_which_counts_and_keeps_secrets() -> None:
    config = read(TOML, "[model]\nnetwork_dim = 4\nhf_token = 'abc1'\n[network]\nnetwork_dim = 8\nhf_token = 'abc2'")
    messages = [warning.message for warning in config.warnings]
    assert messages[0] == "loraRank is 4 by model.network_dim and 8 by network.network_dim: the later counts."
    assert "abc" not in messages[1]
    assert config.warnings[0].code is WarningCode.DUPLICATE_KEY


@pytest.mark.parametrize(
    ("config_format", "text", "message", "path"),
    [
        (JSON, '{"a": }', "line 1, column 7", ("text",)),
        (TOML, "a = 1\nb = !\n", "line 2", ("text",)),
        (TOML, "a = 1\na = 2", "TOML", ("text",)),
        (YAML, "a: 1\nb: ]", "line 2", ("text",)),
        (YAML, "a: *b", "undefined alias", ("text",)),
        (YAML, "a: 1\n---\nb: 1", "but found another document", ("text",)),
        (YAML, "a: !!binary aGk=", "!!binary", ("text",)),
        (YAML, "a: !!python/object/apply:os.system [x]", "no place in a config", ("text",)),
        (YAML, "? [a]\n: 1", "is no text", ("text",)),
        (YAML, "a: \x01", "#x0001", ("text",)),
        (JSON, "[1]", "no table", ("text",)),
        (YAML, "just words", "no table", ("text",)),
        (TOML, "[network]\nnetwork_dim = 'many'", 'network_dim is "many"', ("text", "network", "network_dim")),
        (JSON, '{"seed": "1.2.3"}', 'seed is "1.2.3"', ("text", "seed")),
        (JSON, '{"x": ' + "9" * 30 + "}", "64 bits", ("text", "x")),
        (JSON, '{"x": ' + "9" * 5000 + "}", "no JSON that can be read", ("text",)),
        (JSON, '{"x": ["\\ud800"]}', "half a character", ("text", "x", 0)),
        (JSON, '{"x": "\\u0000"}', "NUL", ("text", "x")),
    ],
)
def test_what_cannot_be_read_says_where(
    config_format: ConfigFormat, text: str, message: str, path: tuple[str | int, ...]
) -> None:
    (error,) = refused(config_format, text)
    assert message in error.message
    assert error.path == path
    assert error.code == "INVALID_INPUT"


def test_all_errors_come_at_once() -> None:
    assert [error.path[-1] for error in refused(JSON, '{"r": "x", "seed": "y", "ok": "z"}')] == ["r", "seed"]


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)  # fmt: skip


@pytest.mark.parametrize(
    ("config_format", "text"),
    [
        (JSON, '{"a": ' + "[" * 100_000),
        (JSON, '{"a": ' + "[" * 30 + "]" * 30 + "}"),
        (TOML, "a = " + "[" * 100_000),
        (TOML, ".".join(["a"] * 100_000) + " = 1"),
        (TOML, '"a" . ' * 100_000 + "a = 1"),
        (YAML, "a: " + "[" * 100_000),
        (YAML, "a: " + "[" * 30 + "]" * 30),
        (YAML, BOMB),
        (YAML, "a: &a [*a]"),
        (YAML, "a: &a {b: *a}"),
        (JSON, json.dumps({"a": list(range(10_001))})),
        (YAML, "a: [" + "1," * 10_001 + "]"),
        (JSON, " " * (MAX_CHARACTERS + 1)),
    ],
    ids=range(13),
)
def test_bombs_are_refused_in_time(config_format: ConfigFormat, text: str) -> None:
    started = time.process_time()
    (error,) = refused(config_format, text)
    assert error.code == "LIMIT_EXCEEDED"
    assert time.process_time() - started < 3


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["one", "two", "three", "four"]), values))
def test_unknown_keys_keep_value_and_type(extra: dict[str, Any]) -> None:
    config = read(JSON, json.dumps(extra))
    assert json.dumps(config.extra_params) == json.dumps(extra)
    assert config.inputs == NAMED


@given(st.sampled_from(list(ConfigFormat)), st.text(max_size=60))
def test_any_text_is_read_or_refused(config_format: ConfigFormat, text: str) -> None:
    try:
        config = read(config_format, text)
    except GradbookError:
        return
    json.dumps(config.extra_params, allow_nan=False)
    assert all(not isinstance(value, float) or math.isfinite(value) for value in config.inputs.values())
