"""Which rows of a batch are stepped together: one window of each series at a time, in blocks of neighbours of the table."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detectors.rows import where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MOST_ROUNDS = 1000
"""Of one batch that holds a series more than once, so many points in time are looked at, the newest."""
ROWS_AT_ONCE = 131_072
"""Rows of a block: so many that a call costs little for each, and the numbers between still stay in the processor's cache."""
FAR = 4096
"""Series farther apart in the table are no neighbours,"""
FEW = 1024
"""and less than so many neighbours are no block of their own: all such are one."""


class Ordered(NamedTuple):
    """Rows of a batch by number, shape (rows,), and their series, ascending."""

    rows: Ints
    series: NDArray[np.int32]


def one_each(index: Ints, series: NDArray[np.int32], end: Ints) -> Iterator[Ordered]:
    """Rows of ascending series so that no part holds one twice, earlier windows first: at most `MOST_ROUNDS`, the newest."""
    ordered = _ascending(index, series)
    if (ordered.series[1:] > ordered.series[:-1]).all():
        yield ordered
        return
    by_end = index[np.argsort(end[index], kind="stable")]
    ends_of_parts = where(np.diff(end[by_end])) + 1
    for part in np.split(by_end, ends_of_parts)[-MOST_ROUNDS:]:
        yield _ascending(part[_last_of_series(part, series)], series)


def blocks(ordered: Ordered) -> Iterator[Ordered]:
    """These in parts of at most `ROWS_AT_ONCE`, so that few series that lie apart do not part the many others."""
    gaps = where(np.diff(ordered.series) > FAR) + 1
    ends = [0, *gaps.tolist(), len(ordered.rows)] if gaps.size * FEW < len(ordered.rows) else [0, len(ordered.rows)]
    parts = [Ordered(ordered.rows[a:b], ordered.series[a:b]) for a, b in itertools.pairwise(ends)]
    few = [part for part in parts if len(part.rows) < FEW]
    for part in [*(part for part in parts if len(part.rows) >= FEW), *([_together(few)] if few else [])]:
        for at in range(0, len(part.rows), ROWS_AT_ONCE):
            yield Ordered(part.rows[at : at + ROWS_AT_ONCE], part.series[at : at + ROWS_AT_ONCE])


def _together(parts: list[Ordered]) -> Ordered:
    rows, series = zip(*parts, strict=True)
    return Ordered(np.concatenate(rows), np.concatenate(series))


def _ascending(index: Ints, series: NDArray[np.int32]) -> Ordered:
    numbers = series.take(index)
    if (numbers[1:] >= numbers[:-1]).all():
        return Ordered(index, numbers)
    order = np.argsort(numbers, kind="stable")
    return Ordered(index.take(order), numbers.take(order))


def _last_of_series(index: Ints, series: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which rows are the last of their series among `index`."""
    last = np.full(int(series[index].max(initial=0)) + 1, -1, np.int64)
    last[series[index]] = index
    found: NDArray[np.bool_] = last[series[index]] == index
    return found
