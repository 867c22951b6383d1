"""Cursors of feeds: how far a subscriber has read of a topic's changes.

A cursor is a few numbers, of most feeds a place in the order (change number, id). To clients it is opaque text,
URL-safe base64 of:

| bytes | what |
|---|---|
| 1 | version, 1 |
| 4 | whose it is: the topic's digest |
| 8 each | the numbers |
| 4 | digest of all of the above |

The digests are against mistakes, not against forgery: who invents a cursor reads from another place on, in their own
scope, which they may.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from app.errors import Code, GradbookError

_VERSION = 1
_HEAD = struct.Struct(">B4s")
_DIGEST_BYTES = 4


class Position(NamedTuple):
    """What comes next is `(changed, id) > (change, id)`.

    After a whole read that is (horizon, 0): everything below the horizon has been read. After a part of one it is the
    place of its last row.
    """

    change: int
    id: int = 0


def encode_cursor(topic: str, numbers: Sequence[int]) -> str:
    """The cursor's text; the numbers, for one topic always as many, are 0 to 2**63 - 1."""
    body = _HEAD.pack(_VERSION, _digest(topic.encode())) + struct.pack(f">{len(numbers)}q", *numbers)
    return _text(body + _digest(body))


def decode_cursor(topic: str, text: str) -> tuple[int, ...]:
    """The inverse of `encode_cursor`. Raises INVALID_CURSOR for other text, and for another topic's cursor."""
    try:
        whole = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        whole = b""
    body, check = whole[:-_DIGEST_BYTES], whole[-_DIGEST_BYTES:]
    count, rest = divmod(len(body) - _HEAD.size, 8)
    # base64 ignores the last letter's spare bits: one cursor has one text.
    if count < 1 or rest or check != _digest(body) or text != _text(whole):
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        _refuse(f"{shown!r} is not a cursor: pass the `cursor` of an earlier message of this subscription, unchanged")
    version, owner = _HEAD.unpack_from(body)
    if version != _VERSION:
        _refuse(f"the cursor {text!r} is of version {version}, and this server reads version {_VERSION}")
    if owner != _digest(topic.encode()):
        _refuse(f"the cursor {text!r} comes from a subscription to something else: pass one that this one sent")
    return struct.unpack_from(f">{count}q", body, _HEAD.size)


def check_not_ahead(after: Sequence[int], newest: Sequence[int]) -> None:
    """Raises INVALID_CURSOR if `after` lies beyond everything that this database has seen.

    That happens when the database was restored from a backup, or when the cursor comes from another database.
    """
    if tuple(after) > tuple(newest):
        _refuse("the cursor is ahead of this database: it was made by another one, or before this one was restored"
                " from a backup")  # fmt: skip


def _text(whole: bytes) -> str:
    return base64.urlsafe_b64encode(whole).rstrip(b"=").decode()


def _refuse(reason: str) -> NoReturn:
    raise GradbookError(
        Code.INVALID_CURSOR,
        f"{reason[0].upper()}{reason[1:]}, or leave it out: then the first message has the present cursor.",
        ("after",),
    )


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
