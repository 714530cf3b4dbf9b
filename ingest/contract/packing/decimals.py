"""Floats that are short decimals, as whole numbers: most devices print their values with a few places.

The observation, and that a division by a power of ten gives every bit back where a product would not, are those of ALP
(Afroozeh, Kuffo, Boncz: "ALP: Adaptive Lossless floating-Point Compression", SIGMOD 2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers

    Floats = NDArray[np.float64]

MOST_PLACES = 11
"""So that the square of the power of ten is exact as well: 10^22 is the last one that is."""
GREATEST = 1 << 51
"""Whole numbers stay below it: what is a decimal of p places is then one of p + 1 places, too."""
POWERS = np.array([10.0**places for places in range(2 * MOST_PLACES + 1)])
_ALL_BUT_SIGN = np.int64((1 << 63) - 1)


def as_whole(value: Floats, places: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Whole numbers k, shape as `value`, and where k / 10^places is the value to the last bit (elsewhere k is 0)."""
    power = POWERS[places]
    with np.errstate(invalid="ignore", over="ignore"):
        whole = np.rint(value * power) + 0.0  # of -0.0 no whole number gives the bits back
        exact = (np.abs(whole) < GREATEST) & ((whole / power).view(np.int64) == value.view(np.int64))
    return np.where(exact, whole, 0).astype(np.int64), exact


def as_floats(whole: Integers, places: Integers) -> Floats:
    """The doubles k / 10^places, rounded to the nearest double (k itself first, where it is beyond 2^53)."""
    floats: Floats = whole / POWERS[places]
    return floats


def fewest_places(value: Floats) -> Integers:
    """How many places each value needs, shape (n,); `MOST_PLACES` + 1 where it is no short decimal."""
    need = np.full(len(value), MOST_PLACES + 1)
    others = np.arange(len(value))
    for places in range(MOST_PLACES + 1):
        exact = as_whole(value[others], np.full(len(others), places))[1]
        need[others[exact]] = places
        others = others[~exact]
    return need


def ordered_bits(value: Floats) -> Integers:
    """The doubles' bits as integers in the order of the doubles, neighbours one apart; -0.0 comes before 0.0."""
    bits = value.view(np.int64)
    return bits ^ ((bits >> 63) & _ALL_BUT_SIGN)


def from_ordered_bits(ordered: Integers) -> Floats:
    """What `ordered_bits` was given."""
    floats: Floats = (ordered ^ ((ordered >> 63) & _ALL_BUT_SIGN)).view(np.float64)
    return floats
