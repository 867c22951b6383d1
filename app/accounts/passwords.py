"""Passwords: their rules, and argon2id off the event loop."""

from __future__ import annotations

import asyncio
import functools
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.errors import Code, GradbookError

MIN_CHARACTERS = 8
MAX_BYTES = 1024

# RFC 9106's second recommendation: 3 passes over 64 MiB, about 50 ms of a core.
_HASHER = PasswordHasher()

# Each hash holds 64 MiB while it runs: a burst of sign-ins waits in line instead of taking the machine's memory.
_AT_ONCE = 2
# The line is about a second long. Who comes later is sent away at once: they would wait for those who do nothing else.
MAX_WAITING = 32


def normalized(password: str) -> bytes:
    """The bytes that are hashed. One keyboard composes an accent that another sends as two characters: both sign in.

    Raises INVALID_INPUT, never quoting the password, when it is shorter than 8 characters, longer than 1,024 bytes
    of UTF-8, or not Unicode text.
    """
    text = unicodedata.normalize("NFC", password)
    if len(text) < MIN_CHARACTERS:
        raise _invalid(f"it has {len(text)} characters: use at least {MIN_CHARACTERS}, any kind; longer is stronger")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise _invalid("it holds half of a surrogate pair, which is no character: type it again") from None
    if len(data) > MAX_BYTES:
        raise _invalid(f"it is {len(data):,} bytes long: use at most {MAX_BYTES:,}")
    return data


class _Line:
    """Those whose password is being hashed, or waits for it."""

    def __init__(self) -> None:
        self._waiting = 0

    def __enter__(self) -> None:
        if self._waiting >= MAX_WAITING:
            message = f"{MAX_WAITING} passwords wait to be checked already: try again in a moment."
            raise GradbookError(Code.OVERLOADED, message, retry_after=1)
        self._waiting += 1

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1


in_line = _Line()
"""Stand in line for a hash. Raises OVERLOADED when the line is full."""


async def hash_password(password: str) -> str:
    """The password as argon2id stores it, salt and parameters included.

    Raises INVALID_INPUT as `normalized`, and OVERLOADED.
    """
    data = normalized(password)
    with in_line:
        return await asyncio.get_running_loop().run_in_executor(_executor(), _HASHER.hash, data)


async def verify_password(stored: str | None, password: str) -> bool:
    """Whether `password` is the stored one; False when there is none (`stored` is None).

    It takes the same work with a stored hash and without, so that the time does not tell which usernames exist. The
    caller stands `in_line`.
    """
    try:
        data = normalized(password)
    except GradbookError:
        return False
    return await asyncio.get_running_loop().run_in_executor(_executor(), _verify, stored, data)


def needs_rehash(stored: str) -> bool:
    """Whether `stored` was made with other parameters than those of today."""
    return _HASHER.check_needs_rehash(stored)


def _verify(stored: str | None, password: bytes) -> bool:
    if stored is None:
        _HASHER.hash(password)
        return False
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


@functools.cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="password")


def _invalid(reason: str) -> GradbookError:
    return GradbookError(Code.INVALID_INPUT, f"This password cannot be used: {reason}.", ("password",))
