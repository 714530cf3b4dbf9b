"""The widths that series had before: a late sample belongs to the window that its time had then."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = """
CREATE TABLE IF NOT EXISTS past_widths (series INTEGER, until INTEGER, width INTEGER NOT NULL,
    PRIMARY KEY (series, until)) WITHOUT ROWID;
"""
MOST = 400_000
"""Of 24 bytes each; when there are more, no further width changes by itself."""

_TIME_BITS = np.uint64(42)


class PastWidth(NamedTuple):
    """A series had windows of `width` until a time (both ms)."""

    series: int
    until: int
    width: int


class PastWidths:
    """Spans of time by series, each up to its end; what is forgotten is so old that no sample of it is taken."""

    def __init__(self) -> None:
        self._key, self._width = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._fresh: list[PastWidth] = []
        self._gone: list[PastWidth] = []

    def __len__(self) -> int:
        return len(self._key)

    def add(self, series: NDArray[np.int64], until: NDArray[np.int64], width: NDArray[np.int64]) -> None:
        """Widths that are over, shape (n,) each."""
        self._insert(_keys(series, until), width)
        self._fresh += map(PastWidth, series.tolist(), until.tolist(), width.tolist())

    def of(self, series: NDArray[np.int64], ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The width of the window of each sample, shape (n,); each lies before the newest end known of its series."""
        found: NDArray[np.int64] = self._width[np.searchsorted(self._key, _keys(series, ts), side="right")]
        return found

    def forget(self, over: NDArray[np.int64]) -> NDArray[np.int64]:
        """Forget what ended at or before `over`, shape (series,), in ms; the series of which nothing is left."""
        series, until = self._columns()
        known = series < len(over)
        old = known & (until <= over[np.minimum(series, max(len(over) - 1, 0))]) if len(over) else known
        if not old.any():
            return np.empty(0, np.int64)
        self._gone += map(PastWidth, series[old].tolist(), until[old].tolist(), self._width[old].tolist())
        self._key, self._width = self._key[~old], self._width[~old]
        return np.setdiff1d(series[old], series[~old])

    def take_changes(self) -> tuple[list[PastWidth], list[PastWidth]]:
        """What was added and what was forgotten since the last call: to be saved."""
        (fresh, self._fresh), (gone, self._gone) = (self._fresh, []), (self._gone, [])
        return fresh, gone

    def load(self, rows: list[PastWidth]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Take over what was saved; the series, and the newest end of each."""
        if not rows:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        series, until, width = (np.array(column, np.int64) for column in zip(*rows, strict=True))
        self._insert(_keys(series, until), width)
        series, until = self._columns()
        last = np.flatnonzero(np.append(series[1:] != series[:-1], True))
        return series[last], until[last]

    def _insert(self, key: NDArray[np.uint64], width: NDArray[np.int64]) -> None:
        keys, widths = np.append(self._key, key), np.append(self._width, width)
        self._key, first = np.unique(keys, return_index=True)
        self._width = widths[first]

    def _columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        until = self._key & ((np.uint64(1) << _TIME_BITS) - np.uint64(1))
        return (self._key >> _TIME_BITS).astype(np.int64), until.astype(np.int64)


def _keys(series: NDArray[np.int64], ts: NDArray[np.int64]) -> NDArray[np.uint64]:
    keys: NDArray[np.uint64] = (series.astype(np.uint64) << _TIME_BITS) | ts.astype(np.uint64)
    return keys
