"""The columns of the series of one block of rows: views where they are neighbours in the table, copies where not.

Most blocks are neighbours but for a few that are missing. So that these need no copies either, a row that is at rest stands in for
each missing series: it is looked at like the others, without any effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.columns import COLUMNS, HOT, Planes
from analytics.detectors.rows import where

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.columns import Columns
    from analytics.detect.rounds import Ordered

MOST_ABSENT = 0.5
"""Of the rows: where more series are missing between them, each row's columns are copied."""


class Block:
    """`state`: a column each of shape (rows,) or (parts, rows), to be changed in place. `series` of each row, distinct."""

    def __init__(self, table: Columns, series: NDArray[np.integer[Any]]) -> None:
        self.table, self.series = table, series
        self._is_view = _are_neighbours(series)
        self.state = table.planes.stretch(_stretch(series)) if self._is_view else Planes(table.planes.saved(series))

    def give_back(self) -> None:
        """Write to where it came from; views have written already."""
        if not self._is_view:
            self.table.planes.restore(self.series, self.state.arrays)

    def reset(self, rows: NDArray[np.int64]) -> None:
        """These rows' series are fresh but for what they are called, their kind and when they were last seen."""
        for name in HOT:
            if name not in _KEPT:
                self.state[name][..., rows] = COLUMNS[name].fresh
        for name in ("profile", "profile_low", "profile_width"):
            self.table[name][..., self.series[rows]] = COLUMNS[name].fresh


_KEPT = frozenset({"cohort", "kind", "last_end", "previous", "resolution"})


class Neighbours(NamedTuple):
    """All series from the first to the last of some, the row of the batch of each, and which of them, by number, are `absent`."""

    series: NDArray[np.int32]
    rows: NDArray[np.int64]
    absent: NDArray[np.int64]


def neighbours(some: Ordered) -> Neighbours:
    """Of these, at least one, or these alone where too many are missing between them; the row of who is absent is any."""
    first, last, count = int(some.series[0]), int(some.series[-1]), len(some.series)
    if last - first + 1 == count or last - first + 1 > count * (1 + MOST_ABSENT):
        return Neighbours(some.series, some.rows, _NONE)
    rows = np.full(last - first + 1, -1, np.int64)
    rows[some.series - first] = some.rows
    absent = where(rows < 0)
    rows[absent] = some.rows[0]
    return Neighbours(np.arange(first, last + 1, dtype=np.int32), rows, absent)


_NONE = np.empty(0, np.int64)


def _are_neighbours(series: NDArray[np.integer[Any]]) -> bool:
    return (
        bool(len(series)) and int(series[-1]) - int(series[0]) + 1 == len(series) and bool((np.diff(series) == 1).all())
    )


def _stretch(series: NDArray[np.integer[Any]]) -> slice:
    return slice(int(series[0]), int(series[-1]) + 1)
