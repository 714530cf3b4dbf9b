"""The columns of the series of one block of rows: views where they are neighbours in the table, copies where not.

Most blocks are a few runs of neighbours, with a series missing between them: these are copied run by run, which is several times
faster than number by number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.series import COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analytics.series import State

COLD = frozenset({"device", "metric", "width", "profile", "profile_low", "profile_width"})
"""Columns that most windows leave alone: they are reached in the table itself."""
HOT = tuple(name for name in COLUMNS if name not in COLD)
RUN = 64
"""Rows of a run of neighbours, in the mean, from which on it is copied as one."""


class Run(NamedTuple):
    """Neighbours: rows of the block, and where they are in the table."""

    rows: slice
    where: slice


class Block:
    """`state`: a column each of shape (rows,) or (parts, rows), to be changed in place. `series` of each row, distinct."""

    def __init__(self, table: State, series: NDArray[np.integer[Any]]) -> None:
        self.table, self.series = table, series
        self._from, self._where = table, _neighbours(series)
        self.state = self._taken()

    def part(self, rows: NDArray[np.int64]) -> Block:
        """Some of the rows; `give_back` puts them into this block."""
        part = object.__new__(Block)
        part.table, part.series = self.table, self.series[rows]
        part._from, part._where = self.state, _neighbours(rows)
        part.state = part._taken()
        return part

    def give_back(self) -> None:
        """Write to where it came from; views have written already."""
        if isinstance(self._where, slice):
            return
        for name, column in self.state.items():
            whole = self._from[name]
            if isinstance(self._where, list):
                for run in self._where:
                    whole[..., run.where] = column[..., run.rows]
            else:
                whole[..., self._where] = column

    def reset(self, rows: NDArray[np.int64]) -> None:
        """These rows' series are fresh but for what they are called, their kind and when they were last seen."""
        for name in HOT:
            if name not in _KEPT:
                self.state[name][..., rows] = COLUMNS[name].fresh
        for name in ("profile", "profile_low", "profile_width"):
            self.table[name][..., self.series[rows]] = COLUMNS[name].fresh

    def _taken(self) -> State:
        if isinstance(self._where, list):
            return {name: _joined(self._from[name], self._where) for name in HOT}
        if isinstance(self._where, slice):
            return {name: self._from[name][..., self._where] for name in HOT}
        return {name: self._from[name].take(self._where, axis=-1) for name in HOT}


_KEPT = frozenset({"cohort", "kind", "last_end", "previous", "resolution"})


def _joined(column: NDArray[Any], runs: list[Run]) -> NDArray[Any]:
    joined = np.empty((*column.shape[:-1], runs[-1].rows.stop), column.dtype)
    for run in runs:
        joined[..., run.rows] = column[..., run.where]
    return joined


def _neighbours(numbers: NDArray[np.integer[Any]]) -> slice | list[Run] | NDArray[np.integer[Any]]:
    """One slice, or runs in the order of the rows, or the numbers themselves where runs are short."""
    if not len(numbers):
        return numbers
    begins = np.flatnonzero(np.diff(numbers) != 1) + 1
    if not begins.size:
        return slice(int(numbers[0]), int(numbers[-1]) + 1)
    if (begins.size + 1) * RUN > len(numbers):
        return numbers
    edges = [0, *begins.tolist(), len(numbers)]
    firsts = numbers[edges[:-1]].tolist()
    spans = zip(firsts, edges[:-1], edges[1:], strict=True)
    return [Run(slice(at, end), slice(first, first + end - at)) for first, at, end in spans]
