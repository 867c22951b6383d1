"""What a username, a workspace and a key may be called."""

from __future__ import annotations

import unicodedata

from app.errors import Code, GradbookError

MAX_CHARACTERS = 100
REMOVED_PREFIX = "deleted-"  # usernames of removed users: `deleted-<id>`


def checked_name(value: str, what: str, field: str = "name") -> str:
    """The name as it is stored: in Unicode's NFC, so that what looks the same is the same.

    Raises INVALID_INPUT when it is empty, longer than 100 characters, begins or ends with a space, or holds what does
    not print. `what` ("Username") begins the message, `field` is the input's field.
    """
    name = normalized_name(value)
    shown = repr(name if len(name) <= MAX_CHARACTERS else f"{name[:40]}…")
    if not name.strip():
        raise _invalid(f"{what} {shown} is empty: use 1 to {MAX_CHARACTERS} characters.", field)
    if len(name) > MAX_CHARACTERS:
        raise _invalid(f"{what} {shown} has {len(name):,} characters: use at most {MAX_CHARACTERS}.", field)
    if name != name.strip():
        raise _invalid(f"{what} {shown} begins or ends with a space: use {name.strip()!r}.", field)
    for position, character in enumerate(name):
        if not character.isprintable():
            raise _invalid(
                f"{what} {shown} holds U+{ord(character):04X} at position {position}, which does not print: remove it.",
                field,
            )
    return name


def normalized_name(value: str) -> str:
    """The form in which names are stored and looked for."""
    return unicodedata.normalize("NFC", value)


def checked_username(value: str) -> str:
    """A username as it is stored. Raises INVALID_INPUT as `checked_name`, and for the names of removed users."""
    name = checked_name(value, "Username", "username")
    if name.startswith(REMOVED_PREFIX):
        raise _invalid(f"Username {name!r} begins with {REMOVED_PREFIX!r}, which marks removed users.", "username")
    return name


def _invalid(message: str, field: str) -> GradbookError:
    return GradbookError(Code.INVALID_INPUT, message, (field,))
