"""Raw samples of open windows whose details cannot be had from running sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_aggregator.columns import Columns
from edge_aggregator.windows.keys import find
from edge_aggregator.windows.statistics import Kept, no_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_HELD = 1 << 20
"""Samples of 24 bytes each; windows of which some found no room are computed from the journal instead."""


class HeldSamples:
    """Samples in order of arrival with the keys of their windows."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self._rows, self._most = Columns({"key": ("u8", 0), "ts": ("i8", 0), "value": ("f8", 0.0)}), most

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, key: NDArray[np.uint64], ts: NDArray[np.int64], value: NDArray[np.float64]) -> bool:
        """Keep samples, shape (n,) each; False when there is no room for them."""
        if len(self._rows) + len(key) > self._most:
            return False
        new, rows = self._rows.grow(len(key)), self._rows
        rows["key"][new], rows["ts"][new], rows["value"][new] = key, ts, value
        return True

    def take(self, keys: NDArray[np.uint64]) -> Kept:
        """The samples of these windows, shape (windows,), by index of window; they are held no longer."""
        if not len(self._rows) or not len(keys):
            return no_samples()
        order = np.argsort(keys)
        place = find(self._rows["key"], keys[order])
        taken = place >= 0
        found = self._rows.take(taken)
        self._rows.keep(~taken)
        return Kept(order[place[taken]], found["ts"], found["value"])

    def peek(self, keys: NDArray[np.uint64]) -> Kept:
        """The samples of these windows; they go on being held."""
        if not len(self._rows) or not len(keys):
            return no_samples()
        order = np.argsort(keys)
        place = find(self._rows["key"], keys[order])
        found = self._rows.take(place >= 0)
        return Kept(order[place[place >= 0]], found["ts"], found["value"])
