"""What gives a secret away: the name that it stands under, or its own shape.

Names are judged by how they end, for the last word says what a thing is: `wandb_api_key` is a key, `max_token_length`
a length. Shapes are the prefixes that services give to their tokens.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache


class Suspicion(Enum):
    """What a name says about its value."""

    NONE = "no secret"
    TOKEN = "a token or key: never a number, for `token: 77` counts something"
    PASSWORD = "anything at all can be a password, a number too"
    HEADER = "a header of HTTP: in text the secret is all the rest of its line"
    LOCATED = "a secret, or the path of the file that holds it; a path stays"


# How names end, written as words joined by `_`: `HFToken`, `hf-token` and `HF_TOKEN` are all `hf_token`.
_ENDINGS = (
    (Suspicion.HEADER, r"(?:^|_)(?:authorization|cookie)"),
    (Suspicion.LOCATED, r"credentials?|(?:^|_)(?:pwd|ssh_?key)|private_?keys?"),
    (
        Suspicion.PASSWORD,
        (
            r"passwords?|passwd|passphrase|(?:^|_)secrets?|密码|口令|"
            r"(?:^|_)(?:db|database|user|admin|root|mysql|postgres|pg|redis|smtp|mail|ftp|login|proxy|sudo)_?pass|"
            r"(?:client|app|api|shared)secret"
        ),
    ),
    (
        Suspicion.TOKEN,
        (
            r"(?:api|access|secret|account|auth|encryption|signing|master|service|storage|license|subscription|consumer|"
            r"session|deploy|client|wandb|comet|neptune|swanlab|clearml|openai|anthropic|huggingface|(?:^|_)hf|aws|azure|gcp)"
            r"_?keys?|"
            r"(?:^|_)(?:auth|access|api|refresh|bearer|secret|hf|huggingface|github|hub)_?tokens|"
            r"(?:auth|access|api|refresh|bearer|secret|hf|huggingface|github|gitlab|hub|security|wandb|bot)?token|"
            r"(?:^|_)(?:auth|jwt|bearer|amz_signature)|密钥|令牌"
        ),
    ),
)
_RULES = tuple((suspicion, re.compile(f"(?:{ending})$")) for suspicion, ending in _ENDINGS)

# Tokens of a tokenizer, counts of them, and flags: what comes before the last word tells.
_INNOCENT = re.compile(
    r"(?:^|_)(?:pad|eos|bos|unk|cls|sep|mask|special|image|video|audio|speech|placeholder|initializer|init|trigger|"
    r"instance|class|concept|stop|start|begin|end|eot|eom|eoi|boi|separator|prefix|suffix|decoder_start|forced_bos|"
    r"forced_eos|max|min|num|n|avg|mean|total|per|by|each|every|next|prev|first|last|extra|added|keep|drop|text|word|"
    r"use_auth|use|unexpected|invalid|expected)_token$"
    r"|(?:^|_)(?:kv|cross|self)_?tokens?$"
)
_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_NUMBERED = re.compile(r"(?<=\D)_?\d{1,3}$")
_LONGEST_NAME = 120  # characters, of which only the end is judged


@lru_cache(maxsize=4096)
def suspicion(name: str) -> Suspicion:
    """What the name of a value says about it, in whatever style the name is written."""
    words = _BETWEEN_WORDS.sub("_", _WORD_STARTS.sub("_", name[-_LONGEST_NAME:])).strip("_").lower()
    words = _NUMBERED.sub("", words)
    if _INNOCENT.search(words):
        return Suspicion.NONE
    return next((found for found, ending in _RULES if ending.search(words)), Suspicion.NONE)


# Kind, what any such text contains (read first, for that is fast), and how it looks. A shape goes on to the end of its
# run of letters, so that nothing of a secret is left over. None rescans what it has passed: open-ended runs are
# possessive, and begin or end where others cannot.
_SHAPES = (
    ("Hugging Face token", ("hf_", "api_org_"), r"(?:hf|api_org)_[A-Za-z0-9]{30}\w*+"),
    # A name such as gb_pictures_of_everything has no capital letter; 43 random characters do.
    ("Gradbook key", ("gb_", "gbs_"), r"(?<![A-Za-z0-9])gbs?_(?=[a-z0-9_-]{0,42}[A-Z])[\w-]{43}[\w-]*+"),
    ("GitHub token", ("gh", "github_pat_"), r"gh[pousr]_[A-Za-z0-9]{30}\w*+|github_pat_\w{22}\w*+"),
    ("GitLab token", ("gl",), r"gl(?:pat|ptt|dt|rt|cbt|soat)-[\w-]{20}[\w-]*+"),
    (
        "API key",
        ("sk", "rk", "pk"),
        r"(?<![A-Za-z0-9])(?:g?sk|[rp]k)[-_](?:[A-Za-z0-9]{20}|(?=[A-Za-z_-]{0,40}\d)[\w-]{20})[\w-]*+",
    ),
    ("API key", ("nvapi-",), r"nvapi-[\w-]{40}[\w-]*+"),
    ("API key", ("r8_",), r"(?<![A-Za-z0-9])r8_[A-Za-z0-9]{37}\w*+"),
    ("API key", ("SG.",), r"SG\.[\w-]{22}\.[\w-]{43}[\w-]*+"),
    ("W&B key", ("wandb_v",), r"wandb_v\d_[\w-]{20}[\w-]*+"),
    ("W&B key", ("wandb login ",), r"(?<=wandb login )(?P<kept>(?:-[\w-]{1,20} ){0,3})[0-9a-f]{40}(?!\w)"),
    ("AWS key id", ("AKIA", "ASIA"), r"(?<![A-Za-z0-9])A(?:KIA|SIA)[A-Z0-9]{16}(?!\w)"),
    ("Google key", ("AIza",), r"AIza[\w-]{35}[\w-]*+"),
    ("Google key", ("ya29.",), r"(?<![A-Za-z0-9])ya29\.[\w-]{20}[\w-]*+"),
    ("Slack token", ("xox", "xapp-"), r"(?:xox[abeoprs]|xapp-\d)-[\w-]{10}[\w-]*+"),
    ("webhook", ("hooks.slack.com/services/",), r"(?<=hooks\.slack\.com/services/)[\w/]++"),
    ("webhook", ("/api/webhooks/",), r"(?<=/api/webhooks/)\d++/[\w-]++"),
    ("Telegram token", (":AA",), r"(?<!\d)\d{8,10}:AA[\w-]{33}[\w-]*+"),
    ("package index token", ("pypi-", "npm_"), r"(?:pypi-[\w-]{14}|npm_[A-Za-z0-9])[\w-]{35}[\w-]*+"),
    ("DigitalOcean token", ("_v1_",), r"do[oprt]_v1_[0-9a-f]{64}\w*+"),
    ("JWT", ("eyJ",), r"(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+(?:\.[\w-]*+)?"),
    # Of a key that was cut off the rest of the text goes, or its beginning.
    (
        "private key",
        ("-----BEGIN ",),
        (
            r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?!-----END)[\s\S])*+(?:-----END [A-Z0-9 ]{0,40}-----)?"
        ),
    ),
    ("private key", ("-----END ",), r"\A[A-Za-z0-9+/=\s]++-----END [A-Z0-9 ]{0,30}PRIVATE KEY-----"),
    ("password in a URL", ("://",), r"(?<=://)(?P<kept>[^\s:/?#@\"'<>]*+:)(?!\[redacted\]@)[^\s/\"'<>]+(?=@)"),
    ("signature in a URL", ("sig=",), r"(?<=[?&]sig=)[\w%+/=-]{20}[\w%+/=-]*+"),
    ("bearer token", ("earer ", "EARER "), r"(?<=[Bb][Ee][Aa][Rr][Ee][Rr] )[\w.~+/-]{16}[\w.~+/=-]*+"),
    (
        "password of a command",
        ("-u ", "-u=", "--user ", "--user="),
        r"(?<=\s)(?P<kept>(?:-u|--user)[ =](?!\d+:\d)[^\s:\"'=]++:)(?!\[redacted\])[^\s\"']++",
    ),
)
SHAPES = tuple((kind, contained, re.compile(shape, re.ASCII)) for kind, contained, shape in _SHAPES)

# Any suspicious name contains one of these, lower-cased.
HINTS = (
    *("token", "key", "pass", "pwd", "secret", "credential", "auth", "cookie", "jwt", "bearer", "amz_"),
    *("密", "口令", "令牌"),
)
