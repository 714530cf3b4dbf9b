"""Values of runs as whole numbers: of decimals, or the bits of what is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ingest.contract.packing.decimals import MOST_PLACES, as_whole, fewest_places, ordered_bits
from ingest.contract.packing.places import SAMPLES, best_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers
    from ingest.contract.packing.decimals import Floats

BITS = MOST_PLACES + 1
"""In the place of a number of decimals: the run's values are taken by their bits."""
_RAISED = 3


class Wholes(NamedTuple):
    """`places` by run; `whole` by sample; `odd`, the samples that are kept as they are, rising."""

    places: Integers
    whole: Integers
    odd: Integers


def wholes(value: Floats, first: Integers, of: Integers) -> Wholes:
    """Of `value`, shape (n,); `first`, shape (runs,), is where each run begins, `of`, shape (n,), the run of a sample."""
    places = np.minimum(fewest_places(value[first]), MOST_PLACES)
    whole, exact = as_whole(value, places[of])
    for _ in range(_RAISED):
        # A run that begins with a value whose last digits are zeros needs a place more, or two.
        runs, at = _inexact(exact, of, len(first))
        if not len(at):
            return Wholes(places, whole, at)
        places[runs] = np.minimum(places[runs] + 1, MOST_PLACES)
        whole[at], exact[at] = as_whole(value[at], places[of[at]])
    _weigh(value, of, places, whole, exact)
    odd = np.flatnonzero(~exact)
    return Wholes(places, _filled(whole, odd), odd)


def _weigh(value: Floats, of: Integers, places: Integers, whole: Integers, exact: NDArray[np.bool_]) -> None:
    # What is left has values of many places among others, or no decimals at all.
    runs, at = _inexact(exact, of, len(places))
    group = np.searchsorted(runs, of[at])
    places[runs], [(whole[at], exact[at])] = best_places([value[at]], group, len(runs), slice(None), SAMPLES)
    by_bits = at[places[of[at]] == BITS]
    whole[by_bits], exact[by_bits] = ordered_bits(value[by_bits]), True


def _inexact(exact: NDArray[np.bool_], of: Integers, runs: int) -> tuple[Integers, Integers]:
    bad = np.zeros(runs, np.bool_)
    bad[of[~exact]] = True
    return np.flatnonzero(bad), np.flatnonzero(bad[of]) if bad.any() else np.empty(0, np.int64)


def _filled(whole: Integers, odd: Integers) -> Integers:
    # What is kept as it is costs least where it looks like the value before it.
    before = np.arange(len(whole))
    before[odd] = 0
    filled: Integers = whole[np.maximum.accumulate(before)]
    return filled
