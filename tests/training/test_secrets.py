"""What counts as a secret, what does not, and that none gets through wherever it stands."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.accounts.credentials import KEY_PREFIX, SESSION_PREFIX
from app.errors import GradbookError
from app.training.secret_shapes import Suspicion, suspicion
from app.training.secrets import MAX_DEPTH, REDACTED, redact, redact_text

LETTERS = "aB3dE5gH7jK9mN1pQ2sT4vW6yZ8bC0fG" * 4  # as random as a token looks
HEX = "0123456789abcdef" * 4
_BODY = f"Proc-Type: 4,ENCRYPTED\n\n{LETTERS[:64]}\n{LETTERS[:30]}==\n"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{_BODY}-----END RSA PRIVATE KEY-----"
# Built from parts: whole ones in the source would set off other people's scanners.
TOKENS = [
    "hf_" + LETTERS[:34],
    KEY_PREFIX + LETTERS[:43],
    SESSION_PREFIX + LETTERS[:40] + "-_x",
    "gh" + "p_" + LETTERS[:36],
    "github" + "_pat_" + LETTERS[:22] + "_" + LETTERS[:59],
    "glp" + "at-" + LETTERS[:20],
    "sk" + "-" + LETTERS[:48],
    "sk" + "-proj-" + LETTERS[:20] + "_" + LETTERS[:40],
    "sk" + "-ant-api03-" + LETTERS[:80] + "-x",
    "sk" + "_live_" + LETTERS[:24],
    "nv" + "api-" + LETTERS[:64],
    "r8" + "_" + LETTERS[:37],
    "SG" + "." + LETTERS[:22] + "." + LETTERS[:43],
    "wandb_v1_" + LETTERS[:77],
    "AK" + "IA" + "IOSFODNN7EXAMPLE",
    "AI" + "za" + LETTERS[:35],
    "ya29" + "." + LETTERS[:60],
    "xo" + "xb-123456789012-1234567890123-" + LETTERS[:24],
    "xa" + "pp-1-A0-" + LETTERS[:40],
    "123456789:" + "AA" + LETTERS[:33],
    "npm" + "_" + LETTERS[:36],
    "py" + "pi-" + LETTERS[:100],
    "dop" + "_v1_" + HEX,
    "ey" + "J" + LETTERS[:30] + ".ey" + "J" + LETTERS[:50] + "." + LETTERS[:43],
]
SECRET_NAMES = [
    "wandb_api_key", "WANDB_API_KEY", "wandbApiKey", "wandb-api-key", "apikey", "apiKey", "APIKey", "x-api-key",
    "huggingface_token", "hf_token", "HF_TOKEN", "HFToken", "hub_token", "hfToken", "authToken", "access_tokens",
    "token", "Token", "github.token", "password", "db_password", "PGPASSWORD", "MYSQL_PWD", "passwd", "passphrase",
    "DB_PASS", "secret", "client_secret", "AWS_SECRET_ACCESS_KEY", "access_key", "private_key", "privateKey",
    "credentials", "credential", "wandb_key", "api_key_1", "token2", "AccountKey", "jwt", "auth", "密码",
    "wandb_secret_key", "secrets", "ssh_key", "openai_key",
]  # fmt: skip
INNOCENT_NAMES = [
    "max_token_length", "tokenizer", "tokenizer_path", "num_tokens", "token_warmup_step", "token_warmup_min",
    "keep_tokens", "keep_tokens_separator", "secret_sauce_ratio", "caption_tag_dropout_rate", "author", "authors",
    "sd_model_hash", "ss_new_sd_model_hash", "git_commit", "learning_rate", "pad_token", "eosToken", "bos_token",
    "unk_token", "placeholder_token", "initializer_token", "max_token", "pad_token_id", "image_token", "keyframe",
    "key", "keys", "sort_key", "primary_key", "monkey", "bypass", "forward_pass", "compass", "passes", "token_count",
    "password_policy", "api_key_env", "token_file", "authority", "tokens", "valid_tokens", "session_id",
    "network_weights", "secretary", "use_auth_token", "text_token", "cached_tokens", "num_key_value_heads",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_what_stands_under_a_secret_name_goes(name: str) -> None:
    assert redact({"a": [{name: "correct horse"}]}) == ({"a": [{name: REDACTED}]}, [f"a.0.{name}"])
    assert redact("hunter2!", ("extraParams", name)) == (REDACTED, [f"extraParams.{name}"])
    for secret in ({"key": "v"}, ["v"]):
        assert redact({name: secret})[0] == {name: REDACTED}
    for text, clean in (
        (f"{name}=hunter2;x more", f"{name}={REDACTED} more"),
        (f"export {name}='hunter 2' && x", f"export {name}='{REDACTED}' && x"),
        (f'{{"{name}": "hunter 2", "x": 1}}', f'{{"{name}": "{REDACTED}", "x": 1}}'),
        (f'python train.py --{name} "a b" --x', f'python train.py --{name} "{REDACTED}" --x'),
        (f"train --{name}=hunter2 --x", f"train --{name}={REDACTED} --x"),
        (f"line\n  {name}: hunter2\nnext: 1", f"line\n  {name}: {REDACTED}\nnext: 1"),
        (f'os.environ["{name}"] = "hunter2"', f'os.environ["{name}"] = "{REDACTED}"'),
    ):
        assert redact_text(text) == (clean, [name])


@pytest.mark.parametrize("name", INNOCENT_NAMES)
def test_innocent_names_keep_their_values(name: str) -> None:
    assert suspicion(name) is Suspicion.NONE
    for value in ("hunter2", 225, 0.5, ["a"], {"b": "c"}, True, None):
        assert redact({name: value}) == ({name: value}, [])
    for text in (f"{name}=hunter2", f"--{name} hunter2 --{name}=3", f'{{"{name}": "hunter2"}}'):
        assert redact_text(text) == (text, [])


@pytest.mark.parametrize(
    "value",
    [None, True, False, "", " ", "true", "none", "$HF_TOKEN", "${HF_TOKEN}", REDACTED, [], {}],
    ids=repr,
)
@pytest.mark.parametrize("name", ["wandb_api_key", "password", "token", "credentials"])
def test_what_is_no_value_stays_under_a_secret_name(name: str, value: Any) -> None:
    assert redact({name: value}) == ({name: value}, [])


@pytest.mark.parametrize(
    ("name", "value", "goes"),
    [
        ("password", 12345, True),
        ("secret", 0.5, True),
        ("token", 77, False),
        ("token", "77.5", False),
        ("token", "1234567890123456", True),
        ("credentials", "/etc/keys/key.json", False),
        ("GOOGLE_APPLICATION_CREDENTIALS", "~/keys/my key.json", False),
        ("private_key", "C:\\keys\\id_rsa", False),
        ("PWD", "/workspace/run 1", False),
        ("PWD", "hunter2", True),
        ("password", "/looks/like/a/path", True),
    ],
)
def test_numbers_and_paths_under_secret_names(name: str, value: Any, goes: bool) -> None:
    assert redact({name: value}) == ({name: REDACTED}, [name]) if goes else ({name: value}, [])
    assert (redact({name: value})[0] == {name: value}) is not goes


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_goes_wherever_it_stands(token: str) -> None:
    for text in (
        token,
        f"see {token}.",
        f'("{token}")',
        f"a/{token}/b",
        f"x={token}&y",
        f"{token}\n{token}",
        f"é{token} ",
    ):
        clean, found = redact_text(text)
        assert token not in clean
        assert clean == text.replace(token, REDACTED)
        assert len(found) == 1
    assert redact({"notes": f"used {token}"}) == ({"notes": f"used {REDACTED}"}, ["notes"])
    assert redact({token: 1, f"{token}x": [2]}) == (
        {REDACTED: 1, REDACTED + "'": [2]},
        [REDACTED, REDACTED + "'"],
    ) or token.startswith("AK")
    assert token not in json.dumps(redact({"a": {token: token}}, ("p",)))


@pytest.mark.parametrize(
    ("text", "clean", "found"),
    [
        ("Authorization: Bearer ab.cd\nnext", f"Authorization: {REDACTED}\nnext", ["Authorization"]),
        ("curl -H 'Authorization: Basic dXNl cjpw' x", f"curl -H 'Authorization: {REDACTED}' x", ["Authorization"]),
        ("{'Cookie': 'a=b; c=d', 'x': 1}", f"{{'Cookie': '{REDACTED}', 'x': 1}}", ["Cookie"]),
        ("sent Bearer " + LETTERS[:24], f"sent Bearer {REDACTED}", ["bearer token"]),
        ("postgresql://ann:p@ss@host/db", f"postgresql://ann:{REDACTED}@host/db", ["password in a URL"]),
        ("git clone https://oauth2:x@h/r.git", f"git clone https://oauth2:{REDACTED}@h/r.git", ["password in a URL"]),
        ("Server=h;Password=a;b c", f"Server=h;Password={REDACTED} c", ["Password"]),
        ("curl -u ann:pw https://h", f"curl -u ann:{REDACTED} https://h", ["password of a command"]),
        ("wandb login --relogin " + HEX[:40], f"wandb login --relogin {REDACTED}", ["W&B key"]),
        ("$env:HF_TOKEN=abc1", f"$env:HF_TOKEN={REDACTED}", ["HF_TOKEN"]),
        ("cmd='HF_TOKEN=abc1 python'", f"cmd='HF_TOKEN={REDACTED} python'", ["HF_TOKEN"]),
        (r"run '{\"api_key\": \"abc1\"}'", rf"run '{{\"api_key\": \"{REDACTED}\"}}'", ["api_key"]),
        ("the API key: abc1, and so on", f"the API key: {REDACTED} and so on", ["API key"]),
        ("密码：hunter2", f"密码：{REDACTED}", ["密码"]),
        ("https://x.net/c?sv=1&sig=" + LETTERS[:40], f"https://x.net/c?sv=1&sig={REDACTED}", ["signature in a URL"]),
        ("https://discord.com/api/webhooks/12/ab-c", f"https://discord.com/api/webhooks/{REDACTED}", ["webhook"]),
        (f"a\n{PEM}\nb", f"a\n{REDACTED}\nb", ["private key"]),
        (f"a\n{PEM[:100]}", f"a\n{REDACTED}", ["private key"]),
        (LETTERS[:64] + "\n" + PEM[-40:] + "\nb", f"{REDACTED}\nb", ["private key"]),
    ],
)  # fmt: skip
def test_texts_lose_their_secrets(text: str, clean: str, found: list[str]) -> None:
    assert redact_text(text) == (clean, found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "steps:  12%|█▏| 24/200 [00:31<03:49, 1.30s/it, avg_loss=0.112]",
        "token: unknown word, auth: failed",
        "Unexpected token } in JSON at position 3",
        "password authentication failed for user",
        "commit 3f786850e387550fdaab836ed7e6dc881de23001",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "/data/hf_cache/models--meta/snapshots/gb_pictures_of_everything_that_was_ever_painted_here/x.safetensors",
        "sk-learn-based-approach-for-ranking-things",
        "risk-1234567890123456789012",
        "https://example.com:8080/path@v1 http://user@host/x s3://bucket/key",
        "docker run -u 1000:1000 image",
        "--hub_token $HF_TOKEN --use_auth_token train.py --push_to_hub_token --x",
        "std::token::next if token == None",
        "lr=1e-4 unet_lr=0.0001 network_dim=32 5b6 max_token_length=225",
        "tokens: 1024, tokens/s: 77.1, token=5",
        "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----",
        "wandb: run 0123456789abcdef0123456789abcdef01234567",
        "ghp_short hf_short AKIAshort eyJhbGciOi.no",
    ],
)
def test_innocent_texts_stay(text: str) -> None:
    assert redact_text(text) == (text, [])


def test_arguments_and_variables_as_lists() -> None:
    value = {
        "args": ["x.py", "--hub_token", "abc", "--wandb_api_key=x1", "--keep_tokens", "--token", "-x"],
        "env": [{"name": "HF_TOKEN", "value": "abc"}, {"name": "PATH", "value": "/bin"}],
    }
    assert redact(value, ("extraParams",)) == (
        {
            "args": ["x.py", "--hub_token", REDACTED, f"--wandb_api_key={REDACTED}", "--keep_tokens", "--token", "-x"],
            "env": [{"name": "HF_TOKEN", "value": REDACTED}, {"name": "PATH", "value": "/bin"}],
        },
        ["extraParams.args.2", "extraParams.args.3", "extraParams.env.0.value"],
    )  # fmt: skip


def test_the_value_given_stays_as_it_is() -> None:
    value = {"a": [{"password": "x"}]}
    redact(value)
    assert value == {"a": [{"password": "x"}]}


def test_too_deep_is_refused() -> None:
    value: Any = "x"
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(GradbookError, match="nested deeper than 100"):
        redact(value)
    assert redact(value[0])[0] == value[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.sampled_from(SECRET_NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@given(json_values, st.sampled_from(TOKENS), st.data())
def test_no_planted_token_survives(value: Any, token: str, data: st.DataObject) -> None:
    def plant(value: Any) -> Any:
        if isinstance(value, list) and value:
            at = data.draw(st.integers(0, len(value) - 1))
            return [*value[:at], plant(value[at]), *value[at + 1 :]]
        if isinstance(value, dict) and value:
            key = data.draw(st.sampled_from(list(value)))
            if data.draw(st.booleans()):
                return {**value, f"a {token} b": 1}
            return {**value, key: plant(value[key])}
        before = data.draw(st.sampled_from(["", " ", "\n", "=", "'", '"', "x ", "--token ", "://", "é", "token=a,"]))
        return before + token + data.draw(st.sampled_from(["", " ", "\n", "'", ".", ",x", "@h", " password=x"]))

    clean, found = redact(plant(value))
    assert found
    assert token not in json.dumps([clean, found], ensure_ascii=False)


pieces = st.lists(
    st.sampled_from([
        *TOKENS, *SECRET_NAMES, *INNOCENT_NAMES, PEM, REDACTED, *"=:\"'\\-/@.,&? \n", "--",
        "://", "a:b@", "Bearer ", "-u a:b", "wandb login ", "hunter2", "sig=", "{", "}",
    ])
    | st.text(max_size=5),
    max_size=12,
).map("".join)  # fmt: skip


@given(pieces)
@example(f"token={REDACTED}x")
@example("a://b:c@d@e")
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    clean, _ = redact_text(text)
    assert redact_text(clean)[0] == clean
    assert redact({"x": text})[0] == {"x": clean}


@pytest.mark.parametrize(
    "part",
    [
        "a", "a=", "a ", "-", "_", " ", "\n", "hf_", "gb_", "eyJ", "eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----", "://", "://a:", "://a:b@", ":@", "token=", 'token="', "token='",
        "token: ", "--token ",
        "sk-", "sk-a-", "1", "AKIA", "\\", "'\"", "a.", "api ", "api key token:", "wandb login --", "?sig=a",
        "Bearer a",
        "12345678:AA", " -u a:", "token='\"\\", "密", "Authorization: ", f"token={REDACTED}",
    ],
)  # fmt: skip
def test_time_grows_with_the_length_alone(part: str) -> None:
    text = part * (60_000 // len(part)) + " password="
    started = time.process_time()
    redact_text(text)
    redact({"password": text, "credentials": text, "token": text})
    assert time.process_time() - started < 2  # a rescan of what was passed would take minutes
