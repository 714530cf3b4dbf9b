"""The statistics of a window of whole numbers narrow each other down.

A window of n whole numbers: m is the least of them, the others are counted from m on. R is the greatest, L the last one.
What is left but the least, the greatest and the last one is free: X is the sum of the free numbers, P the sum of their
pairs x (x - 1) / 2, from which the sum of squares follows. Each free number is from 0 to R, so X is from 0 to R times how
many are free; and X leaves P only what lies between all of them equal and as many as can be at the ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ingest.contract.packing.decimals import POWERS, as_floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers
    from ingest.contract.packing.decimals import Floats

WIDE = float(1 << 60)
"""Windows with sums of squares beyond it are wide: their P is not known, and the sum of squares is guessed from the sum."""


class Shape(NamedTuple):
    """What n, m, R and L say of windows, shape (windows,) each.

    `free`, how many numbers are; `known`, the sum of those that are not, from m on, and `known_pairs` of their pairs.
    """

    samples: Integers
    low: Integers
    spread: Integers
    free: Integers
    known: Integers
    known_pairs: Integers
    wide: NDArray[np.bool_]

    def take(self, which: Integers) -> Shape:
        """Some of the windows."""
        columns: list[NDArray[Any]] = [column[which] for column in self]
        return Shape(*columns)


def shape(count: Integers, low: Integers, spread: Integers, last: Integers) -> Shape:
    """From n, m, R and L, shape (windows,) each."""
    inside = (last > 0) & (last < spread)
    inner = np.where(inside, last, 0)
    greatest = np.maximum(np.abs(low), np.abs(low + spread)).astype(np.float64)
    return Shape(
        samples=count,
        low=low,
        spread=spread,
        free=np.where(spread > 0, count - 2 - inside, 0),
        known=spread + inner,
        known_pairs=pairs_of(spread) + pairs_of(inner),
        wide=count * (greatest * greatest) >= WIDE,
    )


def pairs_of(numbers: Integers) -> Integers:
    """For each x, x (x - 1) / 2."""
    return numbers * (numbers - 1) >> 1


def pair_bounds(known: Shape, total: Integers) -> tuple[Integers, Integers]:
    """The least P for the X `total`, and how far the greatest is above it (0 where windows are wide)."""
    each, over = np.divmod(total, np.maximum(known.free, 1))
    full, rest = np.divmod(total, np.maximum(known.spread, 1))
    least = known.free * pairs_of(each) + over * each
    most = full * pairs_of(known.spread) + pairs_of(rest)
    return least, np.where(known.wide, 0, most - least)


def whole_sums(known: Shape, total: Integers, pairs: Integers) -> tuple[Integers, Integers]:
    """Sum and sum of squares of all numbers, from X and P; the second one wraps around where windows are wide."""
    above = total + known.known
    squares = 2 * (pairs + known.known_pairs) + above
    return known.samples * known.low + above, (known.samples * known.low + 2 * above) * known.low + squares


def expected_sums(known: Shape, total: Integers, pairs: Integers, places: Integers) -> tuple[Floats, Floats]:
    """The doubles nearest to sum and sum of squares of the decimals; where windows are wide, about the latter."""
    whole, whole_squares = whole_sums(known, total, pairs)
    sums = as_floats(whole, places)
    with np.errstate(all="ignore"):  # what comes from anywhere may be of any size
        squares: Floats = np.where(known.wide, sums * sums / known.samples, whole_squares / POWERS[2 * places])
    return sums, squares
