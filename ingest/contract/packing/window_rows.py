"""Which windows are decimals through and through: these become whole numbers, class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ingest.contract.packing.decimals import GREATEST, POWERS
from ingest.contract.packing.window_shape import Shape, pair_bounds, shape, whole_sums

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ingest.contract.packing.bits import Integers
    from ingest.contract.packing.decimals import Floats
    from ingest.contract.packing.places import Whole


_CERTAIN = float(1 << 62)


class WholeWindows(NamedTuple):
    """Windows as whole numbers, by rising class, within a class in the order of the rows; shape (windows,) each.

    `row` is where each stands in its batch, `group` its class; `last` and `total` are L and X of `window_shape`.
    """

    row: Integers
    group: Integers
    places: Integers
    last: Integers
    total: Integers
    known: Shape

    def take(self, which: Integers) -> WholeWindows:
        """Some of them."""
        columns: list[NDArray[Any]] = [column[which] for column in self[:-1]]
        row, group, places, last, total = columns
        return WholeWindows(row, group, places, last, total, self.known.take(which))


def whole_windows(
    columns: Mapping[str, NDArray[Any]], whole: Sequence[Whole], group: Integers, places: Integers
) -> WholeWindows:
    """Of a batch's columns, shape (rows,), those rows that decimals of these `places` give back to the last bit.

    `whole` is what `min`, `max` and `last` are in whole numbers.
    """
    count = columns["count"].astype(np.int64)
    (low, _), (high, _), (last, _) = whole
    exact = np.logical_and.reduce([found for _, found in whole])
    known = shape(count, low, high - low, last - low)
    total, certain = _whole(columns["sum"], POWERS[places])
    total -= count * low + known.known
    sound = exact & certain & (count > 0) & (low <= last) & (last <= high) & (count < GREATEST // _greatest(known))
    sound &= (known.free >= 0) & (total >= 0) & (total <= known.free * known.spread)
    windows = WholeWindows(np.arange(len(group)), group, places, last - low, total, known)
    return windows if sound.all() and rises(group) else windows.take(by_class(group, np.flatnonzero(sound)))


def by_class(group: Integers, rows: Integers) -> Integers:
    """Rows in the order of their classes, within a class as they are."""
    ordered: Integers = rows[np.argsort(group[rows].astype(np.uint16), kind="stable")]
    return ordered


def rises(group: Integers) -> bool:
    """Whether classes follow each other already."""
    return not (group[1:] < group[:-1]).any()


def free_pairs(windows: WholeWindows, sumsq: Floats) -> tuple[Integers, Integers, Integers]:
    """P above its least value, within its bounds, these bounds' distance, and the least value.

    Where the sum of squares is no whole number that can be, the nearest is taken.
    """
    least, room = pair_bounds(windows.known, windows.total)
    squares, _ = _whole(sumsq, POWERS[2 * windows.places])
    without = whole_sums(windows.known, windows.total, least)[1]
    return np.clip((squares - without) >> 1, 0, room), room, least


def _greatest(known: Shape) -> Integers:
    greatest: Integers = np.maximum(np.maximum(np.abs(known.low), np.abs(known.low + known.spread)), 1)
    return greatest


def _whole(value: Floats, power: Floats) -> tuple[Integers, NDArray[np.bool_]]:
    with np.errstate(invalid="ignore", over="ignore"):
        product = value * power
        certain = np.abs(product) < _CERTAIN
    return np.rint(np.where(certain, product, 0)).astype(np.int64), certain
