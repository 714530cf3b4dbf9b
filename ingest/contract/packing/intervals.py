"""Numbers of which an interval is known: the wider it is, the more bits they get; where it is one number, none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ingest.contract.packing.bits import bit_length, unzigzag, zigzag
from ingest.contract.packing.parameters import best_parameters
from ingest.contract.packing.rice import MOST_LOW_BITS, BadCodeError, decode_rice, encode_rice

if TYPE_CHECKING:
    from ingest.contract.packing.bits import Integers

WHOLE = 255
"""What a fraction is counted in."""
MIDDLE = 32
"""The offset that stands for as many low bits as the interval's width has bits."""


class Within(NamedTuple):
    """Where the numbers of a class lie in their intervals, shape (classes,) each.

    `fraction` of `WHOLE`: about where; `offset` - `MIDDLE`: by how many bits low parts are longer than the width.
    """

    fraction: Integers
    offset: Integers


def encode_inside(number: Integers, width: Integers, group: Integers, groups: int) -> tuple[bytes, Within]:
    """Numbers, shape (n,), each from 0 to its `width` (below 2^62), as codes; `group` is the class of each."""
    some = width > 0
    number, width, group = number[some], width[some], group[some]
    fraction = _fractions(number, width, group, groups)
    folded = zigzag(number - expected(width, fraction[group]))
    of_width = bit_length(width.view(np.uint64))
    lengths = np.clip(bit_length(folded) - of_width + MIDDLE, 0, 64)
    offset = best_parameters(lengths, group, groups)[0]
    return encode_rice(folded, _low_bits(of_width, offset[group])), Within(fraction, offset)


def decode_inside(data: bytes, width: Integers, group: Integers, within: Within) -> Integers:
    """The numbers that `encode_inside` was given. Raises BadCodeError, also for one that is outside its interval."""
    some = np.flatnonzero(width > 0)
    inner, of = width[some], group[some]
    folded = decode_rice(data, _low_bits(bit_length(inner.view(np.uint64)), within.offset[of]))
    found = unzigzag(folded) + expected(inner, within.fraction[of])
    if ((found < 0) | (found > inner)).any():
        raise BadCodeError("a number outside its interval")
    number = np.zeros(len(width), np.int64)
    number[some] = found
    return number


def expected(width: Integers, fraction: Integers) -> Integers:
    """The number at a fraction of `WHOLE` of the width, rounded down twice so that nothing overflows."""
    whole, rest = np.divmod(width, WHOLE)
    number: Integers = whole * fraction + rest * fraction // WHOLE
    return number


def _low_bits(of_width: Integers, offset: Integers) -> Integers:
    low_bits: Integers = np.clip(of_width + offset - MIDDLE, 0, MOST_LOW_BITS)
    return low_bits


def _fractions(number: Integers, width: Integers, group: Integers, groups: int) -> Integers:
    numbers, widths = (np.bincount(group, column, minlength=groups) for column in (number, width))
    return np.rint(WHOLE * numbers / np.maximum(widths, 1)).astype(np.int64)
