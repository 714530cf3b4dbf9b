"""A window of a series as one integer, so that columns of windows can be sorted and searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SERIES_BITS = 22
_SERIES_MASK = np.uint64((1 << _SERIES_BITS) - 1)


class Spans(NamedTuple):
    """Windows of series: start and width in ms, shape (windows,) each."""

    series: NDArray[np.int64]
    start: NDArray[np.int64]
    width: NDArray[np.int64]

    @property
    def end(self) -> NDArray[np.int64]:
        """Where they end, ms."""
        ends: NDArray[np.int64] = self.start + self.width
        return ends

    def only(self, mask: NDArray[np.bool_]) -> Spans:
        """Some of them."""
        return Spans(self.series[mask], self.start[mask], self.width[mask])


def window_keys(series: NDArray[np.int64], start: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys, shape (n,): by start, then by series; starts below 2^42 ms (the year 2109), series below 2^22."""
    shifted: NDArray[np.uint64] = start.astype(np.uint64) << np.uint64(_SERIES_BITS)
    return shifted | series.astype(np.uint64)


def window_key(series: int, start: int) -> int:
    """The key of one window."""
    return start << _SERIES_BITS | series


def series_of(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The series in keys."""
    return (keys & _SERIES_MASK).astype(np.int64)


def start_of(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The window starts in keys."""
    return (keys >> np.uint64(_SERIES_BITS)).astype(np.int64)


def find(wanted: NDArray[np.uint64], among: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each wanted key its index in `among`, which rises; -1 where it is not there. Shape (n,)."""
    if not len(among):
        return np.full(len(wanted), -1, np.int64)
    index = np.minimum(np.searchsorted(among, wanted), len(among) - 1)
    return np.where(among[index] == wanted, index, -1)
