"""Text of other people on a terminal or in a log: what would steer the terminal, or seem to be a line of its own."""

from __future__ import annotations

import re

_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
# Controls of ASCII and Latin-1, marks that turn the direction of writing, other line ends, halves of characters.
_STEERING = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_IN_LINES = re.compile(f"[{_STEERING}]")
_IN_A_LINE = re.compile(f"[\t\n{_STEERING}]")


def visible(text: str, *, lines: bool = False) -> str:
    r"""The text with such characters as JSON escapes them, `\u001b`: within JSON it means the same as before.

    With `lines`, line ends and tabs stay.
    """
    return (_IN_LINES if lines else _IN_A_LINE).sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}"
