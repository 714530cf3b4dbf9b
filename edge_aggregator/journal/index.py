"""The numbers of all sound blocks of one file, as columns: what is where, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.columns import Columns
from edge_aggregator.journal.block import Numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


class Gap(NamedTuple):
    """Positions of which there is nothing sound, both included."""

    first: int
    last: int


class Index:
    """Columns of shape (blocks,), by rising position, named as in `Numbers`; `spoilt`: it is known to be damaged inside."""

    def __init__(self, rows: Iterable[Numbers] = ()) -> None:
        self.rows = Columns({**dict.fromkeys(Numbers._fields, ("i8", 0)), "spoilt": ("?", 0)})
        found = list(rows)
        self._fill(self.rows.grow(len(found)), found)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, numbers: Numbers) -> None:
        """A block was written at the end."""
        self._fill(self.rows.grow(1), [numbers])

    def replace(self, numbers: Numbers) -> None:
        """A block has taken the place of all that lie within its positions."""
        inside = (self.rows["position"] >= numbers.position) & (self.rows["last"] <= numbers.last)
        at = int(np.flatnonzero(inside)[0])
        inside[at] = False
        self._fill(slice(at, at + 1), [numbers])
        self.rows.keep(~inside)

    def spoil(self, rows: list[int]) -> None:
        """These blocks turned out to be damaged."""
        self.rows["spoilt"][rows] = True

    def at(self, row: int) -> Numbers:
        """The numbers of one row; negative ones count from the end."""
        return Numbers(*(int(self.rows[name][row]) for name in Numbers._fields))

    def within(self, first: int, last: int) -> list[int]:
        """Rows with positions from `first` to `last`, both included."""
        rows: list[int] = np.flatnonzero((self.rows["last"] >= first) & (self.rows["position"] <= last)).tolist()
        return rows

    def overlapping(self, ranges: Sequence[tuple[int, int]], first: int, last: int) -> list[int]:
        """Rows within positions `first` to `last` with samples that may lie in one of the ranges [start, end), in ms."""
        wanted = np.zeros(len(self.rows), np.bool_)
        for start, end in ranges:
            wanted |= (self.rows["max_ts"] >= start) & (self.rows["min_ts"] < end)
        within = (self.rows["last"] >= first) & (self.rows["position"] <= last)
        rows: list[int] = np.flatnonzero(wanted & within).tolist()
        return rows

    def gaps(self, first: int, last: int) -> list[Gap]:
        """What is missing of the positions from `first` to `last`, both included."""
        begins = np.append(self.rows["position"], last + 1)
        expected = np.append(first, self.rows["last"] + 1)
        missing = np.flatnonzero((begins > expected) & (expected <= last) & (begins > first))
        return [Gap(max(first, int(expected[row])), min(last, int(begins[row]) - 1)) for row in missing.tolist()]

    def newest_ts(self) -> int:
        """The greatest timestamp of all samples; -1 without any."""
        newest: NDArray[np.int64] = self.rows["max_ts"]
        return int(newest.max()) if len(newest) else -1

    def _fill(self, where: slice, found: Sequence[Numbers]) -> None:
        for name, values in zip(Numbers._fields, zip(*found, strict=True), strict=True) if found else ():
            self.rows[name][where] = values
