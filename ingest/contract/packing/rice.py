"""Golomb-Rice codes of whole columns (Rice and Plaunt 1971, as in CCSDS 121.0-B): near the entropy, without a table.

A number v with the parameter k is its quotient v >> k in unary (that many zeros, then a one) and its k lowest bits. A
quotient of `ESCAPE` says that all 64 bits follow instead. Quotients and low bits are two strings of bits, so that both
are read without a loop.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from ingest.contract.packing.bits import MASKS, ShortBitsError, pack_bits, steps, unpack_bits

if TYPE_CHECKING:
    from ingest.contract.packing.bits import Integers, Unsigned

ESCAPE = 24
MOST_LOW_BITS = 63
_SIZE = struct.Struct("<I")


class BadCodeError(ValueError):
    """Bytes that are no Golomb-Rice codes of that many numbers."""


def encode_rice(values: Unsigned, low_bits: Integers) -> bytes:
    """Numbers, shape (n,), with the parameter of each: four bytes of the quotients' size, quotients, low bits."""
    quotient = values >> low_bits.view(np.uint64)
    escaped = quotient >= np.uint64(ESCAPE)
    if escaped.any():
        quotient[escaped] = ESCAPE
    widths = np.where(escaped, 64, low_bits)
    ones = np.cumsum(quotient.view(np.int64) + 1) - 1
    unary = np.zeros(int(ones[-1]) + 1 if len(ones) else 0, np.uint8)
    unary[ones] = 1
    quotients = np.packbits(unary, bitorder="little").tobytes()
    return _SIZE.pack(len(quotients)) + quotients + pack_bits(values & MASKS[widths], widths)


def decode_rice(data: bytes, low_bits: Integers) -> Unsigned:
    """Numbers of which the parameters, shape (n,), are known (0 to `MOST_LOW_BITS`). Raises BadCodeError."""
    if len(data) < _SIZE.size:
        raise BadCodeError(f"{len(data)} bytes, expected at least {_SIZE.size}")
    rest = memoryview(data)[_SIZE.size :]
    size = _SIZE.unpack_from(data)[0]
    if size > len(rest):
        raise BadCodeError(f"{size} bytes of quotients in {len(rest)} bytes")
    quotient = _quotients(rest[:size], len(low_bits))
    escaped = quotient == ESCAPE
    try:
        low = unpack_bits(rest[size:], np.where(escaped, 64, low_bits))
    except ShortBitsError as error:
        raise BadCodeError(str(error)) from error
    whole = (quotient.view(np.uint64) << low_bits.view(np.uint64)) | low
    return np.where(escaped, low, whole) if escaped.any() else whole


def _quotients(data: memoryview, count: int) -> Integers:
    ones = np.flatnonzero(np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little"))[:count]
    quotient = steps(ones, -1) - 1
    if len(ones) < count or (count and int(quotient.max()) > ESCAPE):
        raise BadCodeError(f"quotients of {len(ones)} numbers, expected {count} of at most {ESCAPE}")
    return quotient
