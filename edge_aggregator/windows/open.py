"""Windows that are still open: accumulators as columns, one row a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_aggregator.columns import Columns
from edge_aggregator.windows.keys import find, series_of, start_of, window_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.windows.groups import Groups

_SPEC: dict[str, tuple[str, float]] = {
    "series": ("i4", 0),
    "start": ("i8", 0),
    "width": ("i4", 1),
    "count": ("i4", 0),
    "sum": ("f8", 0.0),
    "sumsq": ("f8", 0.0),
    "min": ("f8", np.inf),
    "max": ("f8", -np.inf),
    "last": ("f8", 0.0),
    "last_ts": ("i8", -1),
    "dirty": ("?", 0),
    "first": ("i8", 0),
}


class OpenWindows:
    """All open windows.

    `rows`: series, start, width (ms), the statistics, the newest ts, whether samples came out of order
    (`dirty`: its statistics do not count), and `first`, the journal position of the window's first block. A gateway has
    a row or two a series, so that its columns are no wider than they must be; their order says nothing.
    """

    def __init__(self) -> None:
        self.rows = Columns(_SPEC)
        # Per series: a row of it that is open, and the newest start that may be open.
        self._cursor = Columns({"row": ("i4", -1), "newest": ("i8", -1)})
        self._sorted: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None
        self.fresh = 0
        """How many windows were opened since some were closed, or could have been."""

    def samples(self) -> int:
        """Samples in open windows, duplicates included."""
        return int(self.rows["count"].sum())

    def earliest(self) -> int | None:
        """The position of the first block that an open window needs; None without any window."""
        return int(self.rows["first"].min()) if len(self.rows) else None

    def add(self, groups: Groups, position: int) -> None:
        """Take the samples of groups, which came in the block at `position`."""
        row = self._find_or_open(groups, position)
        rows, of_sample = self.rows, np.repeat(row, groups.size)
        self._mark_disorder(groups, row)
        np.add.at(rows["count"], row, groups.size)
        np.add.at(rows["sum"], of_sample, groups.value)
        np.add.at(rows["sumsq"], of_sample, groups.value * groups.value)
        np.minimum.at(rows["min"], of_sample, groups.value)
        np.maximum.at(rows["max"], of_sample, groups.value)
        rows["last"][row] = groups.last_value
        rows["last_ts"][row] = groups.last_ts

    def doubt(self, keys: NDArray[np.uint64]) -> None:
        """Have open windows computed from the journal, whatever was accumulated."""
        row = self._search(keys)
        self.rows["dirty"][row[row >= 0]] = True

    def end(self) -> NDArray[np.int64]:
        """Where each window ends (ms), shape (windows,)."""
        ends: NDArray[np.int64] = self.rows["start"] + self.rows["width"]
        return ends

    def take(self, which: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Copies of some rows; whole numbers as int64, whatever they are kept as."""
        return {
            name: column.astype(np.int64) if column.dtype.kind == "i" else column
            for name, column in self.rows.take(which).items()
        }

    def close(self, which: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Take these rows out, each given once, rising. What that costs goes by how many they are."""
        closed, self.fresh = self.take(which), 0
        if len(which):
            row = self._cursor["row"]
            row[closed["series"][row[closed["series"]] == which]] = -1
            moved = self.rows.remove(which)
            series = self.rows["series"][moved.to]
            follows = row[series] == moved.of
            row[series[follows]] = moved.to[follows]
            self._sorted = None
        return closed

    def _mark_disorder(self, groups: Groups, row: NDArray[np.int64]) -> None:
        dirty = ~groups.rising | (groups.first_ts <= self.rows["last_ts"][row])
        # A window with two groups in one block: its series went back and forth over the window's edge.
        dirty |= np.bincount(row, minlength=len(self.rows))[row] > 1
        dirty &= ~groups.overflow  # taken in the order of the journal, so that nothing is out of order
        self.rows["dirty"][row[dirty]] = True

    def _find_or_open(self, groups: Groups, position: int) -> NDArray[np.int64]:
        if len(groups.series):
            self._cursor.grow_to(int(groups.series.max()) + 1)
        row = self._cursor["row"][groups.series]
        missing = np.flatnonzero((row < 0) | (self._starts_at(row) != groups.start))
        if len(missing):
            row[missing] = self._look_up(groups, missing, position)
            self._cursor["row"][groups.series[missing]] = row[missing]
        return row

    def _starts_at(self, row: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.rows["start"][row] if len(self.rows) else np.full(len(row), -1, np.int64)

    def _look_up(self, groups: Groups, missing: NDArray[np.int64], position: int) -> NDArray[np.int64]:
        # Most windows begin later than all others of their series: only the others need a search among the open ones.
        series, start = groups.series[missing], groups.start[missing]
        row = np.full(len(missing), -1, np.int64)
        older = np.flatnonzero(start <= self._cursor["newest"][series])
        if len(older):
            row[older] = self._search(window_keys(series[older], start[older]))
        fresh = np.flatnonzero(row < 0)
        if len(fresh):
            row[fresh] = self._open(groups, missing[fresh], position)
        return row

    def _search(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        if self._sorted is None:
            known = window_keys(self.rows["series"], self.rows["start"])
            order = np.argsort(known)
            self._sorted = known[order], order
        known, order = self._sorted
        found = find(keys, known)
        return np.where(found >= 0, order[found], -1) if len(order) else found

    def _open(self, groups: Groups, which: NDArray[np.int64], position: int) -> NDArray[np.int64]:
        keys = window_keys(groups.series[which], groups.start[which])
        unique, first, back = np.unique(keys, return_index=True, return_inverse=True)
        new, rows, source = self.rows.grow(len(unique)), self.rows, which[first]
        rows["series"][new], rows["start"][new] = series_of(unique), start_of(unique)
        rows["width"][new], rows["first"][new] = groups.width[source], position
        self._sorted, self.fresh = None, self.fresh + len(unique)
        np.maximum.at(self._cursor["newest"], rows["series"][new], rows["start"][new])
        opened: NDArray[np.int64] = new.start + back
        return opened
