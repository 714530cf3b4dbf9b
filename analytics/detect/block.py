"""The columns of the series of one block of rows: views where they are neighbours in the table, copies where not.

Most blocks are neighbours but for a few that are missing. So that these need no copies either, a row that is at rest stands in for
each missing series: it is looked at like the others, without any effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.columns import COLUMNS, HOT, Planes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.columns import Columns

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
    """All series from the first to the last of some: `places` of those among them, and the others, which are `absent`."""

    series: NDArray[np.int32]
    places: NDArray[np.int64]
    absent: NDArray[np.int64]


def neighbours(series: NDArray[np.int32]) -> Neighbours:
    """Of ascending series, shape (rows,); of these alone where too many are missing between them."""
    rows, span = len(series), int(series[-1]) - int(series[0]) + 1
    if span == rows or span > rows * (1 + MOST_ABSENT):
        return Neighbours(series, np.arange(rows), _NONE)
    places = series.astype(np.int64) - int(series[0])
    is_absent = np.ones(span, np.bool_)
    is_absent[places] = False
    return Neighbours(np.arange(series[0], series[-1] + 1, dtype=np.int32), places, np.flatnonzero(is_absent))


_NONE = np.empty(0, np.int64)


def _are_neighbours(series: NDArray[np.integer[Any]]) -> bool:
    return (
        bool(len(series)) and int(series[-1]) - int(series[0]) + 1 == len(series) and bool((np.diff(series) == 1).all())
    )


def _stretch(series: NDArray[np.integer[Any]]) -> slice:
    return slice(int(series[0]), int(series[-1]) + 1)
