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

    Where `steps`, a sample is expected to be the one before it and `slope`, and the first one is `base`; else all are
    expected to be `base`, which is rounded to `coarse` bits. `bits` is about what a sample takes with the parameter.
    """

    steps: NDArray[np.bool_]
    base: Integers
    slope: Integers
    parameter: Integers
    bits: Floats
    off: Unsigned

    def coarse(self) -> Integers:
        """How many low bits a base does without: where numbers lie about it, it need not be exact. Shape (runs,)."""
        return np.where(self.steps | (self.parameter == ALL_ZERO), 0, np.maximum(self.parameter - 1, 0))

    def parameters(self, first: Integers, of: Integers) -> Integers:
        """The parameter of each sample, shape (samples,), `ALL_ZERO` where there is nothing to code."""
        parameters: Integers = self.parameter[of]
        parameters[first[self.steps]] = ALL_ZERO
        return parameters


def fit(whole: Integers, first: Integers, size: Integers, of: Integers) -> Fit:
    """For whole numbers, shape (n,), of runs: `first`, `size`, shape (runs,), and `of`, shape (n,), the run of each."""
    base, step = whole[first], np.diff(whole, prepend=whole[:1])
    step[first] = 0
    slope = _slope(whole[first + size - 1] - base, step, first, size)
    if slope.any():
        step -= slope[of]
        step[first] = 0
    mean = base + np.rint(np.add.reduceat((whole - base[of]).astype(np.float64), first) / size).astype(np.int64)
    ways = zigzag(step), zigzag(whole - mean[of])
    length = [np.add.reduceat(_length(way), first, dtype=np.float64) / size for way in ways]
    steps = length[0] <= length[1]
    usual = np.where(steps, *length)
    # A number's length is on average nearly half a bit more than the parameter that suits it best.
    parameter = np.clip(np.floor(usual + 0.05).astype(np.int64), 0, MOST_LOW_BITS)
    parameter[usual == 0] = ALL_ZERO
    told = Fit(steps, np.where(steps, base, mean), np.where(steps, slope, 0), parameter, usual + 1, ways[0])
    coarse = told.coarse()
    rounded = (told.base + ((1 << coarse) >> 1)) >> coarse << coarse
    return told._replace(base=rounded, off=np.where(steps[of], ways[0], zigzag(whole - rounded[of])))


def _slope(rise: Integers, step: Integers, first: Integers, size: Integers) -> Integers:
    # Where a run goes up and down, what it rose in all says nothing of its steps.
    way = np.add.reduceat(np.abs(step).astype(np.float64), first)
    slope = np.rint(rise / np.maximum(size - 1, 1)).astype(np.int64)
    return np.where(2 * np.abs(rise.astype(np.float64)) > way, slope, 0)


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
