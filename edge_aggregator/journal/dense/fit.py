"""How the whole numbers of a run are told: from one to the next, or all from their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ingest.contract.packing.bits import zigzag
from ingest.contract.packing.class_codes import ALL_ZERO
from ingest.contract.packing.rice import MOST_LOW_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers, Unsigned
    from ingest.contract.packing.decimals import Floats


class Fit(NamedTuple):
    """Shape (runs,) each but `off`, shape (samples,): what is left to code of each, folded.

    Where `steps`, a sample is expected to be the one before it and `slope`, the first one to be `base`; else all are
    expected to be `base`. `bits` is about what a sample takes with the parameter.
    """

    steps: NDArray[np.bool_]
    base: Integers
    slope: Integers
    parameter: Integers
    bits: Floats
    off: Unsigned


def fit(whole: Integers, first: Integers, size: Integers, of: Integers) -> Fit:
    """For whole numbers, shape (n,), of runs: `first`, `size`, shape (runs,), and `of`, shape (n,), the run of each."""
    last, inner = first + size - 1, np.maximum(size - 1, 1)
    slope = np.rint((whole[last] - whole[first]) / inner).astype(np.int64)
    base = whole[first]
    above = whole - base[of]
    mean = base + np.rint(np.add.reduceat(above.astype(np.float64), first) / size).astype(np.int64)
    step = np.diff(whole, prepend=whole[:1]) - slope[of]
    step[first] = 0
    ways = zigzag(step), zigzag(whole - mean[of])
    length = [np.add.reduceat(_length(way), first, dtype=np.float64) / size for way in ways]
    steps = length[0] <= length[1]
    off, usual = np.where(steps[of], *ways), np.where(steps, *length)
    # A number's length is on average nearly half a bit more than the parameter that suits it best.
    parameter = np.clip(np.floor(usual + 0.05).astype(np.int64), 0, MOST_LOW_BITS)
    parameter[usual == 0] = ALL_ZERO
    return Fit(steps, np.where(steps, base, mean), np.where(steps, slope, 0), parameter, usual + 1, off)


def _length(numbers: Unsigned) -> NDArray[np.int16]:
    # About the bit length, 0 for 0: from the exponent of the number as a double.
    exponent = (numbers.astype(np.float64).view(np.int64) >> 52).astype(np.int16)
    return np.maximum(exponent - 1022, 0)


def unfit(off: Integers, told: Fit, first: Integers, of: Integers) -> Integers:
    """The whole numbers; `off` is unfolded, and `told` is what was read of how runs were told."""
    step = off + told.slope[of]
    running = np.cumsum(step)
    from_first = running - running[first][of]
    return np.where(told.steps[of], from_first, off) + told.base[of]
