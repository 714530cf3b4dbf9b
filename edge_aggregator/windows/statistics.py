"""The statistics of windows from raw samples: the one definition that every order of arrival ends in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Numbers = tuple[Floats, Floats, Floats, Floats, Floats]


class Kept(NamedTuple):
    """Samples with the index of their window, shape (n,) each."""

    window: NDArray[np.int64]
    ts: NDArray[np.int64]
    value: NDArray[np.float64]

    def only(self, samples: NDArray[np.bool_]) -> Kept:
        """Some of the samples."""
        return Kept(self.window[samples], self.ts[samples], self.value[samples])

    def of(self, windows: NDArray[np.bool_]) -> Kept:
        """The samples of some windows, which are counted anew."""
        place = np.cumsum(windows) - 1
        wanted = windows[self.window]
        return Kept(place[self.window[wanted]], self.ts[wanted], self.value[wanted])

    def ordered(self, place: NDArray[np.int64]) -> Kept:
        """By (window, ts), where window i has become `place[i]`; those of negative places are left out."""
        window = place[self.window]
        order = np.lexsort((self.ts, window))[np.count_nonzero(window < 0) :]
        return Kept(window[order], self.ts[order], self.value[order])


def no_samples() -> Kept:
    """None."""
    return Kept(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


class Statistics(NamedTuple):
    """Statistics by window, shape (windows,) each; `taken` counts samples with duplicates, `distinct` without.

    `kept` are the distinct samples by (window, ts).
    """

    taken: NDArray[np.int64]
    distinct: NDArray[np.int64]
    conflicts: NDArray[np.int64]
    sum: NDArray[np.float64]
    sumsq: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    last: NDArray[np.float64]
    kept: Kept

    def same(self, other: Statistics) -> NDArray[np.bool_]:
        """Whether the statistics that travel are equal to the last bit, shape (windows,)."""
        equal: NDArray[np.bool_] = self.distinct == other.distinct
        for mine, theirs in zip(self.numbers(), other.numbers(), strict=True):
            equal = equal & (mine.view(np.int64) == theirs.view(np.int64))
        return equal

    def numbers(self) -> Numbers:
        """Sum, sumsq, min, max, last."""
        return self.sum, self.sumsq, self.min, self.max, self.last


def statistics(
    window: NDArray[np.int64], ts: NDArray[np.int64], value: NDArray[np.float64], windows: int
) -> Statistics:
    """Statistics of `windows` windows; `window`, shape (n,), is the index of each sample's window.

    Samples are taken in the order of (ts, value); of several with one timestamp the greatest counts. Sums run from left
    to right, because sums in another order differ in their last bits.
    """
    order = np.lexsort((value, ts, window))
    window, ts, value = window[order], ts[order], value[order]
    again = (window[1:] == window[:-1]) & (ts[1:] == ts[:-1])
    conflicting = again & (value[1:] != value[:-1])
    kept = np.append(~again, True)[: len(window)]
    taken, conflicts = _counts(window, windows), _counts(window[1:][conflicting], windows)
    window, value = window[kept], value[kept]
    samples = Kept(window, ts[kept], value)
    return Statistics(taken, _counts(window, windows), conflicts, *_numbers(window, value, windows), samples)


def joined(places: Sequence[NDArray[np.int64]], parts: Sequence[Statistics]) -> Statistics:
    """The statistics of all windows from those of parts: window i of a part has the index `places[part][i]`."""
    index = np.argsort(np.concatenate(places))
    columns: list[Any] = [np.concatenate(pieces)[index] for pieces in zip(*(part[:-1] for part in parts), strict=True)]
    moved = [part.kept._replace(window=place[part.kept.window]) for place, part in zip(places, parts, strict=True)]
    samples: list[Any] = [np.concatenate(pieces) for pieces in zip(*moved, strict=True)]
    columns.append(Kept(*samples).ordered(np.arange(len(index))))
    return Statistics(*columns)


def _numbers(window: NDArray[np.int64], value: NDArray[np.float64], windows: int) -> Numbers:
    total, squares, last = np.zeros(windows), np.zeros(windows), np.zeros(windows)
    least, greatest = np.full(windows, np.inf), np.full(windows, -np.inf)
    np.add.at(total, window, value)
    np.add.at(squares, window, value * value)
    np.minimum.at(least, window, value)
    np.maximum.at(greatest, window, value)
    last[window] = value  # of repeated indexes the last one stays
    return total, squares, least, greatest, last


def _counts(window: NDArray[np.int64], windows: int) -> NDArray[np.int64]:
    return np.bincount(window, minlength=windows).astype(np.int64)
