"""Unsigned integers of any widths, one after the other in a string of bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Unsigned = NDArray[np.uint64]
    Integers = NDArray[np.int64]

MASKS = np.array([(1 << width) - 1 for width in range(65)], np.uint64)
"""The greatest number of each width."""
_WORD = 64
_EXACT = 1 << 53
_ONE, _LAST = np.uint64(1), np.uint64(_WORD - 1)


class ShortBitsError(ValueError):
    """There are fewer bits than the widths ask for."""


def pack_bits(values: Unsigned, widths: Integers) -> bytes:
    """`values`, shape (n,), each below 2^width, each from its lowest bit on; the lowest bit of a byte comes first."""
    ends = np.cumsum(widths)
    if not len(ends) or not ends[-1]:
        return b""
    offsets = ends - widths
    word, shift = offsets >> 6, (offsets & 63).astype(np.uint64)
    last = np.append(np.flatnonzero(word[1:] != word[:-1]), len(word) - 1)
    words = np.zeros(int(ends[-1]) // _WORD + 2, np.uint64)
    # Within a word no two values share a bit, so that their sum is their union.
    words[word[last]] = np.add.reduceat(values << shift, np.append(0, last[:-1] + 1))
    # Only the last value that begins in a word reaches into the next one.
    words[word[last] + 1] |= (values[last] >> _ONE) >> (_LAST - shift[last])
    return words.astype("<u8", copy=False).tobytes()[: -(-int(ends[-1]) // 8)]


def unpack_bits(data: bytes | memoryview, widths: Integers) -> Unsigned:
    """The values that `pack_bits` was given with these widths (0 to 64). Raises ShortBitsError."""
    ends = np.cumsum(widths)
    size = int(ends[-1]) if len(ends) else 0
    if len(data) * 8 < size:
        raise ShortBitsError(f"{len(data)} bytes for {size} bits")
    words = np.zeros(size // _WORD + 2, "<u8")
    words.view(np.uint8)[: -(-size // 8)] = np.frombuffer(data, np.uint8, -(-size // 8))
    offsets = ends - widths
    word, shift = offsets >> 6, (offsets & 63).astype(np.uint64)
    found: Unsigned = ((words[word] >> shift) | ((words[word + 1] << _ONE) << (_LAST - shift))) & MASKS[widths]
    return found


def bit_length(values: Unsigned) -> Integers:
    """How many bits each number has, 0 for 0."""
    if not len(values) or int(values.max()) < _EXACT:
        return _exponents(values)
    high = values >> np.uint64(32)
    tall = high > 0
    length: Integers = _exponents(np.where(tall, high, values)) + 32 * tall
    return length


def _exponents(values: Unsigned) -> Integers:
    # A double's exponent, which is the bit length of whole numbers below 2^53.
    exponents: Integers = np.maximum((values.astype(np.float64).view(np.int64) >> 52) - 1022, 0)
    return exponents


def steps(values: Integers, before: int = 0) -> Integers:
    """What each number is more than the one before it, the first one than `before`, shape (n,): differences wrap around."""
    found: Integers = values.copy()
    found[1:] -= values[:-1]
    found[:1] -= before
    return found


def zigzag(values: Integers) -> Unsigned:
    """0, -1, 1, -2, 2, … as 0, 1, 2, 3, 4, …"""
    folded: Unsigned = ((values << 1) ^ (values >> 63)).view(np.uint64)
    return folded


def unzigzag(values: Unsigned) -> Integers:
    """What `zigzag` was given."""
    unfolded: Integers = (values >> _ONE).view(np.int64) ^ -(values & _ONE).view(np.int64)
    return unfolded
