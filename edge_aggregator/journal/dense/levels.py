"""Levels: a sensor behind a converter has few different values, which look like many digits.

Runs of such values are told as numbers of levels in one rising list that all of a block's runs share: neighbours in it
are neighbours in value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ingest.contract.packing.bits import unzigzag, zigzag
from ingest.contract.packing.decimals import from_ordered_bits, ordered_bits
from ingest.contract.packing.rice import BadCodeError
from ingest.contract.packing.varints import decode_varints, encode_varints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers
    from ingest.contract.packing.decimals import Floats

_DEAR = 7.0
"""Bits a sample from which on it is worth while to look for levels."""
_LEVEL_BITS = 12
"""What a level costs a run, more or less: many runs share it."""
_LAGS = (1, 2, 3)
_REPEATS = 8
"""One sample of so many must be what one of the three before it was: of few levels, each comes again soon."""


def levels(value: Floats, size: Integers, of: Integers, bits: Floats) -> tuple[Integers, Integers]:
    """Levels as ordered bits, rising, and the number of each sample's level, -1 in runs that have none.

    `bits`, shape (runs,), is about what a sample costs without levels.
    """
    number = np.full(len(value), -1)
    at = np.flatnonzero(_likely(value, size, of, bits)[of])
    if not len(at):
        return at, number
    ordered, run = ordered_bits(value[at]), of[at]
    order = np.lexsort((ordered, run))
    ordered, run = ordered[order], run[order]
    new = np.append(True, (ordered[1:] != ordered[:-1]) | (run[1:] != run[:-1]))
    different = np.bincount(run[new], minlength=len(size))
    cost = different * _LEVEL_BITS + size * (1 + np.log2(np.maximum(different, 1)))
    chosen = at[((different > 0) & (cost < bits * size))[of[at]]]
    found, number[chosen] = np.unique(ordered_bits(value[chosen]), return_inverse=True)
    return found, number


def _likely(value: Floats, size: Integers, of: Integers, bits: Floats) -> NDArray[np.bool_]:
    dear = np.flatnonzero((bits > _DEAR)[of])
    dear = dear[dear >= max(_LAGS)]
    again = np.logical_or.reduce([value[dear] == value[dear - lag] for lag in _LAGS])
    repeated = np.bincount(of[dear[again]], minlength=len(size))
    return repeated * _REPEATS >= size


def encode_levels(found: Integers) -> bytes:
    """How many, and the differences of their ordered bits, as varints."""
    return encode_varints(np.append(np.uint64(len(found)), zigzag(np.diff(found, prepend=np.int64(0)))))


def decode_levels(data: bytes) -> Floats:
    """The values of the levels. Raises BadCodeError."""
    count, used = decode_varints(data, 1)
    if int(count[0]) > len(data):
        raise BadCodeError("more levels than bytes")
    steps = decode_varints(memoryview(data)[used:], int(count[0]))[0]
    return from_ordered_bits(np.cumsum(unzigzag(steps)))
