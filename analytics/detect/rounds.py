"""Which rows of a batch are stepped together: one window of each series at a time, in blocks of neighbours of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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


def one_each(index: Ints, series: NDArray[np.int32], end: Ints) -> Iterator[Ints]:
    """Rows of ascending series so that no part holds one twice, earlier windows first: at most `MOST_ROUNDS`, the newest."""
    ascending = _ascending(index, series)
    if (np.diff(series.take(ascending)) > 0).all():
        yield ascending
        return
    ordered = index[np.argsort(end[index], kind="stable")]
    ends_of_parts = np.flatnonzero(np.diff(end[ordered])) + 1
    for part in np.split(ordered, ends_of_parts)[-MOST_ROUNDS:]:
        yield _ascending(part[_last_of_series(part, series)], series)


def blocks(index: Ints, series: NDArray[np.int32]) -> Iterator[Ints]:
    """Rows of ascending series in parts of at most `ROWS_AT_ONCE`, so that few that lie apart do not part the many others."""
    gaps = np.flatnonzero(np.diff(series.take(index)) > FAR) + 1
    parts = np.split(index, gaps) if gaps.size * FEW < len(index) else [index]
    large, few = [part for part in parts if len(part) >= FEW], [part for part in parts if len(part) < FEW]
    for part in [*large, np.concatenate([index[:0], *few])]:
        yield from (part[at : at + ROWS_AT_ONCE] for at in range(0, len(part), ROWS_AT_ONCE))


def _ascending(index: Ints, series: NDArray[np.int32]) -> Ints:
    numbers = series.take(index)
    return index if (np.diff(numbers) >= 0).all() else index.take(np.argsort(numbers, kind="stable"))


def _last_of_series(index: Ints, series: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which rows are the last of their series among `index`."""
    last = np.full(int(series[index].max(initial=0)) + 1, -1, np.int64)
    last[series[index]] = index
    found: NDArray[np.bool_] = last[series[index]] == index
    return found
