"""Whole numbers as bytes of seven bits each, the lowest first, the top bit set on all but the last (LEB128)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ingest.contract.packing.bits import bit_length, steps
from ingest.contract.packing.rice import BadCodeError

if TYPE_CHECKING:
    from ingest.contract.packing.bits import Unsigned

MOST_BYTES = 10
_MORE = 128
_ALL = (1 << 64) - 1
_FEW = 64
"""Numbers for which a loop is quicker than columns are."""
_AT_ONCE = 16_384
"""Numbers; what is in between takes eighty bytes of each."""


def encode_varints(numbers: Unsigned) -> bytes:
    """Numbers, shape (n,), one after the other: what repeats in them repeats in the bytes, for zstd to find."""
    if len(numbers) <= _FEW:
        return b"".join(map(_varint, numbers.tolist()))
    return b"".join(_varints(numbers[first : first + _AT_ONCE]) for first in range(0, len(numbers), _AT_ONCE))


def _varints(numbers: Unsigned) -> bytes:
    size = np.maximum((bit_length(numbers) + 6) // 7, 1)
    first = np.cumsum(size) - size
    found = np.zeros(int(size.sum()), np.uint8)
    for place in range(int(size.max(initial=0))):
        here = size > place
        more = np.where(size[here] > place + 1, _MORE, 0)
        found[first[here] + place] = (numbers[here] >> np.uint64(7 * place)).astype(np.uint8) & 127 | more
    return found.tobytes()


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= _MORE:
        found.append(number & _MORE - 1 | _MORE)
        number >>= 7
    return bytes([*found, number])


def _few_read(data: bytes | memoryview, count: int) -> tuple[Unsigned, int]:
    numbers, number, shift = list[int](), 0, 0
    for used, byte in enumerate(data[: MOST_BYTES * count], 1):
        number |= (byte & _MORE - 1) << shift
        shift += 7
        if byte < _MORE:
            numbers.append(number & _ALL)
            number = shift = 0
            if len(numbers) == count:
                return np.array(numbers, np.uint64), used
        elif shift >= 7 * MOST_BYTES:
            break
    if count:
        raise BadCodeError(f"{len(numbers)} numbers in {len(data)} bytes, expected {count}")
    return np.empty(0, np.uint64), 0


def decode_varints(data: bytes | memoryview, count: int) -> tuple[Unsigned, int]:
    """The first `count` numbers, shape (count,), and how many bytes they took. Raises BadCodeError."""
    if count <= _FEW:
        return _few_read(data, count)
    given = np.frombuffer(data, np.uint8, min(len(data), MOST_BYTES * count))
    last = np.flatnonzero(given < _MORE)[:count]
    size = steps(last, -1)
    if len(last) < count or (count and int(size.max()) > MOST_BYTES):
        raise BadCodeError(f"{len(last)} numbers in {len(data)} bytes, expected {count}")
    first, numbers = last - size + 1, np.zeros(count, np.uint64)
    for place in range(int(size.max(initial=0))):
        here = size > place
        numbers[here] |= (given[first[here] + place].astype(np.uint64) & np.uint64(127)) << np.uint64(7 * place)
    return numbers, int(last[-1]) + 1 if count else 0
