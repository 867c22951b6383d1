"""SQL text cut into tokens, as each database does it: what is a name, what is quoted, what is a comment."""

from __future__ import annotations

import re
from typing import NamedTuple

_COMMON = r"""
    (?P<space> \s+ | --[^\n]* )
  | (?P<quoted> "(?:[^"]|"")*" )
  | (?P<word> [^\W\d][\w$]* )
  | (?P<number> \.?\d[\w.]* )
"""
_SQLITE = re.compile(
    r"""(?P<comment> /\* .*? (?:\*/|\Z) )
  | (?P<back> `(?:[^`]|``)*` | \[[^\]]*\] )
  | (?P<string> '(?:[^']|'')*' )
  | """
    + _COMMON
    + "| (?P<operator> . )",
    re.VERBOSE | re.DOTALL,
)
_POSTGRESQL = re.compile(
    r"""(?P<comment> /\* )
  | (?P<dollar> \$(?P<tag>(?:[^\W\d]\w*)?)\$ .*? \$(?P=tag)\$ )
  | (?P<string> [eE]'(?:[^'\\]|\\.|'')*'(?:\s*\n\s*'(?:[^'\\]|\\.|'')*')* | '(?:[^']|'')*' )
  | """
    + _COMMON
    + "| (?P<operator> . )",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """`kind` is word, name (a quoted one), string, other or end; words and names are in lower case, without quotes."""

    kind: str
    text: str

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords: a quoted name is none."""
        return self.kind == "word" and self.text in words

    def is_operator(self, character: str) -> bool:
        """Whether it is this character."""
        return self.kind == "other" and self.text == character

    @property
    def name(self) -> str:
        """The table or column that it would name; "" if it cannot."""
        return self.text if self.kind in {"word", "name"} else ""


def tokenize(sql: str, dialect_name: str) -> list[Token]:
    """The tokens without space and comments.

    SQLite also takes a string where a name should stand: there a string is a name.
    """
    pattern = _SQLITE if dialect_name == "sqlite" else _POSTGRESQL
    tokens: list[Token] = []
    at = 0
    while match := pattern.match(sql, at):
        at = match.end()
        kind, text = match.lastgroup, match.group()
        if kind == "comment" and dialect_name == "postgresql":
            at = _end_of_comment(sql, at)
        elif kind == "word":
            tokens.append(Token("word", text.lower()))
        elif kind in {"quoted", "back"}:
            tokens.append(Token("name", text[1:-1].lower()))
        elif kind == "string":
            tokens.append(Token("name" if dialect_name == "sqlite" else "string", text[1:-1].lower()))
        elif kind not in {"space", "comment"}:
            tokens.append(Token("other", text))
    return tokens


def _end_of_comment(sql: str, at: int) -> int:
    # PostgreSQL's comments nest.
    depth = 1
    for match in re.compile(r"/\*|\*/").finditer(sql, at):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(sql)
