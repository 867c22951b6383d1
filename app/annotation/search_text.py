"""The terms that a search goes by: one function makes them of what records say and of what people search for.

Both databases' indexes get finished terms with one blank between and split at blanks alone, so that they agree.

- Text is folded: no case, full-width forms as their plain ones, no accents (é is e, ё is е).
- A word is a run of letters, digits and marks; everything else separates. Words count with their first 100 characters.
- Scripts that write no blanks between words (Chinese, Japanese, Thai, ...; Korean too, whose words carry endings) count
  as single characters and as pairs of neighbours. A search for one character goes by the character, a longer one by
  its pairs.
- Symbols such as emoji are terms of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from operator import add
from typing import Any

from app.annotation.fields import Fields
from app.annotation.tables import FieldType
from app.errors import Code, GradbookError

MAX_WORD = 100  # characters; PostgreSQL takes lexemes of up to 2,046 bytes
MAX_TEXT = 1_000_000  # characters of one record that are looked at: 0.5 s
MAX_TERMS = 30_000  # of one record; PostgreSQL's tsvector holds 1 MB, and each bears its dataset's id
MAX_TERMS_SIZE = 300_000  # bytes
MAX_SEARCH = 10_000  # characters
MAX_SEARCH_TERMS = 200

# Without blanks between words: Han, kana, bopomofo, hangul, Thai, Lao, Tibetan, Burmese, Khmer.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecd\u0edc-\u0edf\u0f40-\u0f84\u0f86-\u0fbc\u1000-\u103f\u1050-\u108f\u1100-\u11ff"
    "\u1780-\u17d3\u2e80-\u2fdf\u3005-\u3007\u3021-\u302f\u3031-\u3035\u3038-\u303c\u3041-\u309f\u30a1-\u30fa\u30fc-\u312f"
    "\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c\uac00-\ud7fb\uf900-\ufaff"
    "\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
# What says nothing about which word it is: accents, soft hyphens, joiners, choices of a glyph, the Arabic tatweel.
_SILENT = re.compile("[\u0300-\u036f\u00ad\u034f\u0640\u200c-\u200f\u2060\u20d0-\u20ff\ufe00-\ufe0f\ufeff]+")
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}]+")
# Each byte of ASCII as it counts in a word, or a blank.
_ASCII = bytes(byte if chr(byte).isalnum() else 0x20 for byte in bytes(range(128)).lower()).ljust(256)


def search_text(dataset_id: int, texts: Iterable[str]) -> str:
    """What is stored of a record: `@` and its dataset's id, then the terms of its texts, each once, in bytewise order.

    Of a record that says very much the first 1,000,000 characters count, and the first 30,000 terms
    of altogether 300,000 bytes.
    """
    terms: dict[str, None] = {}
    left = MAX_TEXT
    for text in texts:
        terms |= _terms(text[:left])
        left -= len(text)
        if left <= 0:
            break
    stored = " ".join([f"@{dataset_id}", *sorted(terms)])
    if len(terms) <= MAX_TERMS and len(stored) * 4 <= MAX_TERMS_SIZE:
        return stored
    return " ".join([f"@{dataset_id}", *sorted(_cut(list(terms)[:MAX_TERMS]))])


def searchable_texts(fields: Fields, values: Mapping[str, Any]) -> list[str]:
    """What is searched of a record: its texts, and what the messages of its chats say."""
    texts: list[str] = []
    for name, field in fields.items():
        value = values.get(name)
        if value is None:
            continue
        if field.type is FieldType.TEXT:
            texts.append(value)
        elif field.type is FieldType.CHAT:
            texts += [message["content"] for message in value]
    return texts


def search_terms(text: str) -> tuple[str, ...] | None:
    """The terms that a record must hold, each once; None for a blank text, which asks for nothing.

    Raises INVALID_INPUT for a text without a term, and for one that is too long.
    """
    if not text.strip():
        return None
    if len(text) > MAX_SEARCH:
        raise _invalid(f"A search text may have {MAX_SEARCH:,} characters; this one has {len(text):,}: leave some out.")
    terms = tuple(sorted(_terms(text, asked=True)))
    if not terms:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise _invalid(f"{shown!r} has no word to search for: give at least one letter, digit or emoji.")
    if len(terms) > MAX_SEARCH_TERMS:
        raise _invalid(
            f"A search may ask for {MAX_SEARCH_TERMS} different words or pairs of Chinese characters; this one asks "
            f"for {len(terms)}: leave some out."
        )
    return terms


def _terms(text: str, *, asked: bool = False) -> dict[str, None]:
    """The terms of a text, each once; `asked` of a search text, where pairs stand for their characters."""
    return _ascii_terms(text) if text.isascii() else dict.fromkeys(_folded_terms(text, asked=asked))


def _folded_terms(text: str, *, asked: bool) -> Iterator[str]:
    folded = _folded(text)
    odd = sorted(character for character in set(folded) if not character.isalnum())
    marks = "".join(character for character in odd if unicodedata.category(character)[0] == "M")
    for word in _words(marks).findall(folded):
        yield word[:MAX_WORD]
    yield from (character for character in odd if _is_symbol(character))
    runs = _UNSPACED_RUN.findall(folded)
    for run in runs:
        if len(run) == 1 or not asked:
            yield from run
    for run in runs:
        yield from map(add, run, run[1:])


def _ascii_terms(text: str) -> dict[str, None]:
    words = dict.fromkeys(text.encode().translate(_ASCII).decode().split())
    if len(text) > MAX_WORD and max(map(len, words), default=0) > MAX_WORD:
        return dict.fromkeys(word[:MAX_WORD] for word in words)
    return words


def _cut(terms: list[str]) -> list[str]:
    """The first terms that fit."""
    joined = " ".join(terms).encode()
    if len(joined) <= MAX_TERMS_SIZE:
        return terms
    return joined[:MAX_TERMS_SIZE].decode(errors="ignore").split(" ")[:-1]


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFKC", _SILENT.sub("", decomposed))


@lru_cache(maxsize=256)
def _words(marks: str) -> re.Pattern[str]:
    # `\w` has letters and digits but no marks, and `re` knows no categories: so it is told of those in the text.
    letter = f"[^\\W_{_UNSPACED}]"
    return re.compile(f"{letter}+(?:[{marks}]+{letter}*)*" if marks else f"{letter}+")


def _is_symbol(character: str) -> bool:
    # Emoji that Python does not know yet are symbols already.
    return unicodedata.category(character) == "So" or (
        "\U0001f000" <= character <= "\U0001faff" and not "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _invalid(message: str) -> GradbookError:
    return GradbookError(Code.INVALID_INPUT, message, ("search",))
