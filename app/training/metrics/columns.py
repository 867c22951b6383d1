"""A column of numbers as bytes, and back.

Every column is one format byte, the count, a body, and the CRC-32 of all that. Bodies hold 64-bit words: less their
minimum, cut to the bytes that the greatest needs, those bytes grouped by place (all lowest bytes, then all second ...),
and compressed when that helps.

| format         | body                                                                                |
|----------------|-------------------------------------------------------------------------------------|
| FLOATS         | the bits of the numbers                                                             |
| DELTAS         | the first number, then the differences: a regular step costs nothing                |
| SECOND_DELTAS  | the first number, the first difference, then the differences of the differences     |
| RUNS           | equal neighbours as one: the numbers as in DELTAS, then how often each stands there |
| TABLE          | a number, then several rows of equal length                                         |

Differences wrap around at 64 bits, so any whole numbers do. Decoding what was damaged raises DamagedColumnError; it
never gives other numbers and never takes more memory than the expected count needs.
"""

from __future__ import annotations

import struct
import threading
import zlib
from typing import TypeAlias

import numpy as np
import zstandard
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

# A report has up to 10,000 points of a metric and a chunk is closed at the first report that fills it, so no chunk
# comes near. It bounds what a forged count can make the decoder allocate: 512 KiB a column.
MAX_COUNT = 65_536

FLOATS, DELTAS, SECOND_DELTAS, RUNS, TABLE = 0x01, 0x11, 0x12, 0x13, 0x21

_COMPRESSED = 0x80
_CRC = struct.Struct("<I")
_WORD = np.dtype("<i8")
_LEVEL = 3

_local = threading.local()  # zstandard's objects are costly to make and not to be shared by threads


class DamagedColumnError(ValueError):
    """The bytes are not what was written."""


def encode_floats(values: Floats) -> bytes:
    """Every number comes back bit by bit, but NaN, of which there is one."""
    _check_count(len(values))
    normal = np.where(np.isnan(values), np.nan, values).astype("<f8", copy=False)
    return _seal(FLOATS, len(values), _pack(normal.view(_WORD)))


def decode_floats(data: bytes, count: int) -> Floats:
    """The `count` numbers of an encoded column."""
    _, body = _open(data, count, {FLOATS}, "real numbers")
    words = body.unpack(count)
    body.end()
    return words.view("<f8").astype(np.float64, copy=False)


def encode_ints(numbers: Ints) -> bytes:
    """By whichever format takes fewest bytes."""
    _check_count(len(numbers))
    words = numbers.astype(_WORD, copy=False)
    first, differences = _signed(int(words[0])), _differences(words)
    bodies = {DELTAS: first + _pack(differences)}
    if len(words) > 2:
        bodies[SECOND_DELTAS] = first + _deltas(differences)
        starts = np.flatnonzero(np.concatenate([[True], differences != 0]))
        if len(starts) <= len(words) // 2:
            lengths = np.diff(starts, append=len(words)).astype(_WORD)
            bodies[RUNS] = _varint(len(starts)) + _deltas(words[starts]) + _pack(lengths)
    kind = min(bodies, key=lambda kind: len(bodies[kind]))
    return _seal(kind, len(words), bodies[kind])


def decode_ints(data: bytes, count: int) -> Ints:
    """The `count` whole numbers of an encoded column."""
    kind, body = _open(data, count, {DELTAS, SECOND_DELTAS, RUNS}, "whole numbers")
    if kind == DELTAS:
        words = body.deltas(count)
    elif kind == SECOND_DELTAS:
        words = _summed(body.signed(), body.deltas(count - 1))
    else:
        runs = body.varint()
        if not 1 <= runs <= count:
            raise DamagedColumnError(f"A column of {count} numbers says that it has {runs} runs.")
        words, lengths = body.deltas(runs), body.unpack(runs)
        if lengths.min() < 1 or lengths.max() > count or lengths.sum() != count:
            raise DamagedColumnError(f"The runs of a column of {count} numbers do not add up to them.")
        words = np.repeat(words, lengths)
    body.end()
    return words.astype(np.int64, copy=False)


def encode_table(number: int, table: Ints) -> bytes:
    """A small whole number and a table of rows × count words, for many short rows that are always read together."""
    rows, count = table.shape
    _check_count(count)
    # Not grouped by place: that would save 1 part in 200, and curves are read by decoding hundreds of these.
    plain = table.astype(_WORD, copy=False).tobytes()
    return _seal(TABLE, count, _varint(number) + bytes([rows]) + _compressed(8, plain))


def decode_table(data: bytes, rows: int) -> tuple[int, Ints]:
    """The number and the table, which says its count itself."""
    _, body = _open(data, None, {TABLE}, "a table")
    number, found = body.varint(), body.byte()
    if found != rows:
        raise DamagedColumnError(f"A table of {rows} rows says that it has {found}.")
    width, plain = body.decompressed(rows * body.count)
    body.end()
    if width != 8:
        raise DamagedColumnError(f"The numbers of a table have 8 bytes, not {width}.")
    return number, np.frombuffer(plain, _WORD).reshape(rows, body.count)


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_COUNT:
        raise ValueError(f"A column holds 1 to {MAX_COUNT:,} numbers, not {count:,}.")


def _seal(kind: int, count: int, body: bytes) -> bytes:
    sealed = bytes([kind]) + _varint(count) + body
    return sealed + _CRC.pack(zlib.crc32(sealed))


def _open(data: bytes, count: int | None, kinds: set[int], what: str) -> tuple[int, _Reader]:
    """The format and the body, after its checks: the checksum first, so that no damaged byte is believed."""
    if len(data) < 2 + _CRC.size:
        raise DamagedColumnError(f"A column has at least {2 + _CRC.size} bytes, this one {len(data)}: it was cut off.")
    body = _Reader(data, len(data) - _CRC.size)
    if zlib.crc32(memoryview(data)[: body.stop]) != _CRC.unpack_from(data, body.stop)[0]:
        raise DamagedColumnError(f"The checksum of a column of {len(data)} bytes is wrong: it was damaged.")
    kind = body.byte()
    if kind not in kinds:
        expected = ", ".join(f"0x{kind:02x}" for kind in sorted(kinds))
        raise DamagedColumnError(f"A column has format 0x{kind:02x}, which is not one of {what} ({expected}).")
    body.count = body.varint()
    if not 1 <= body.count <= MAX_COUNT or count not in {None, body.count}:
        expected = f"1 to {MAX_COUNT:,}" if count is None else f"{count:,}"
        raise DamagedColumnError(f"A column says that it holds {body.count:,} numbers where {expected} are expected.")
    return kind, body


def _varint(number: int) -> bytes:
    """A non-negative number, 7 bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _signed(number: int) -> bytes:
    """0, -1, 1, -2 ... as 0, 1, 2, 3 ..."""
    return _varint(number << 1 if number >= 0 else (-number << 1) - 1)


def _deltas(words: Ints) -> bytes:
    return _signed(int(words[0])) + _pack(_differences(words))


def _differences(words: Ints) -> Ints:
    return words[1:] - words[:-1]


def _summed(first: int, deltas: Ints) -> Ints:
    return np.cumsum(np.concatenate([np.array([first], _WORD), deltas]), dtype=_WORD)


def _pack(words: Ints) -> bytes:
    """The minimum, then what the words are above it: their lowest bytes, grouped by place."""
    if not len(words):
        return b""
    low = words.min()
    above = words.view(np.uint64) - low.view(np.uint64)
    width = (int(above.max()).bit_length() + 7) // 8
    places = above.view(np.uint8).reshape(-1, 8)[:, :width].T
    return _signed(int(low)) + _compressed(width, places.tobytes())


def _compressed(width: int, plain: bytes) -> bytes:
    """How many bytes a word has, and all the bytes, compressed when that helps."""
    if not plain:
        return bytes([width])
    packed: bytes = _compressor().compress(plain)
    if len(packed) < len(plain):
        return bytes([width | _COMPRESSED]) + _varint(len(packed)) + packed
    return bytes([width]) + plain


class _Reader:
    """Reads a body from front to back, and never past its end."""

    def __init__(self, data: bytes, stop: int) -> None:
        self.data, self.at, self.stop, self.count = data, 0, stop, 0

    def take(self, size: int) -> bytes:
        if size > self.stop - self.at:
            raise DamagedColumnError(f"A column ends {size - (self.stop - self.at)} bytes too early.")
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
        raise DamagedColumnError("A number in a column does not end.")

    def signed(self) -> int:
        number = self.varint()
        if number >= 1 << 64:
            raise DamagedColumnError("A number in a column has more than 64 bits.")
        return number >> 1 if number % 2 == 0 else -((number + 1) >> 1)

    def deltas(self, count: int) -> Ints:
        return _summed(self.signed(), self.unpack(count - 1))

    def unpack(self, count: int) -> Ints:
        if not count:
            return np.empty(0, _WORD)
        low = np.array(self.signed(), _WORD)
        width, plain = self.decompressed(count)
        words = np.zeros((count, 8), np.uint8)
        words[:, :width] = np.frombuffer(plain, np.uint8).reshape(width, count).T
        return words.reshape(-1).view(_WORD) + low

    def decompressed(self, count: int) -> tuple[int, bytes]:
        """How many bytes each of `count` words has, and all their bytes."""
        head = self.byte()
        width = head & ~_COMPRESSED
        if width > 8:
            raise DamagedColumnError(f"A column says that its numbers have {width} bytes.")
        if head & _COMPRESSED:
            return width, _decompressed(self.take(self.varint()), count * width)
        return width, self.take(count * width)

    def end(self) -> None:
        if self.at != self.stop:
            raise DamagedColumnError(f"A column has {self.stop - self.at} bytes too many.")


def _decompressed(packed: bytes, size: int) -> bytes:
    """Exactly `size` bytes: the frame's own size is compared before anything is allocated."""
    try:
        if zstandard.frame_content_size(packed) == size:
            plain: bytes = _decompressor().decompress(packed, max_output_size=size, allow_extra_data=False)
            return plain
    except zstandard.ZstdError as error:
        raise DamagedColumnError(f"A column cannot be decompressed: {error}.") from error
    raise DamagedColumnError(f"A compressed column does not hold the {size} bytes that are expected.")


def _compressor() -> zstandard.ZstdCompressor:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    compressor: zstandard.ZstdCompressor = _local.compressor
    return compressor


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    decompressor: zstandard.ZstdDecompressor = _local.decompressor
    return decompressor
