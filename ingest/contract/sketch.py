"""Quantile sketches of many windows at once: buckets whose bounds grow geometrically.

DDSketch (Masson, Rim, Lee, "DDSketch: A fast and fully-mergeable quantile sketch with relative-error guarantees", PVLDB
2019): bucket k holds the numbers of magnitude (GAMMA^(k-1), GAMMA^k], so that its middle is within ACCURACY of each.
A sketch depends on the numbers alone, never on their order, and of two sketches the sum is the sketch of all numbers.

Bound: of each sign at most MOST_BUCKETS consecutive buckets, the ones of greatest magnitude. Whatever is nearer to zero
goes to the lowest of them: quantiles that fall there are too great in magnitude, all others keep their accuracy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ACCURACY = 0.01
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
MOST_BUCKETS = 2048
"""Of one sign: magnitudes over more than seventeen decades."""
NEAREST = 1e-150
"""Numbers of lesser magnitude count as zero."""
HIGHEST_INDEX = 1 << 15
_PER_LOG = 1 / math.log(GAMMA)
_INDEX_BITS = 17


class Sketches(NamedTuple):
    """Sketches of n windows; `bucket` and `samples` have shape (buckets,), the others (n,).

    A window has `below` buckets of negative numbers and `above` of positive ones, by rising value (of negative
    ones the index falls), and `zeros` samples between them.
    """

    zeros: NDArray[np.int64]
    below: NDArray[np.int64]
    above: NDArray[np.int64]
    bucket: NDArray[np.int64]
    samples: NDArray[np.int64]

    def take(self, which: NDArray[np.int64]) -> Sketches:
        """Some of the windows, in that order."""
        size = self.below + self.above
        first = np.cumsum(size) - size
        place = np.repeat(first[which] - (np.cumsum(size[which]) - size[which]), size[which])
        place += np.arange(len(place))
        return Sketches(
            self.zeros[which], self.below[which], self.above[which], self.bucket[place], self.samples[place]
        )

    def total(self) -> NDArray[np.int64]:
        """Samples by window, shape (n,)."""
        total: NDArray[np.int64] = self.zeros.copy()
        np.add.at(total, self.window(), self.samples)
        return total

    def window(self) -> NDArray[np.int64]:
        """The window of each bucket, shape (buckets,)."""
        return np.repeat(np.arange(len(self.zeros)), self.below + self.above)

    def negative(self) -> NDArray[np.bool_]:
        """Whether a bucket holds negative numbers, shape (buckets,)."""
        parts = np.stack([self.below, self.above], axis=1).ravel()
        return np.repeat(np.arange(len(parts)) % 2 == 0, parts)


def no_sketches() -> Sketches:
    """None."""
    return Sketches(*[np.empty(0, np.int64)] * 5)


def sketch(window: NDArray[np.int64], value: NDArray[np.float64], windows: int) -> Sketches:
    """Sketches of `windows` windows; `window`, shape (n,), is the index of the window of each finite `value`."""
    size = np.abs(value)
    counts = size >= NEAREST
    zeros = np.bincount(window[~counts], minlength=windows).astype(np.int64)
    index = np.ceil(np.log(size[counts]) * _PER_LOG).astype(np.int64)
    return _bucketed(zeros, window[counts], value[counts] < 0, index, np.ones(len(index), np.int64))


def merged(sketches: Sketches, group: NDArray[np.int64], groups: int) -> Sketches:
    """The sketches of `groups` wider windows; `group`, shape (n,), says which one each window is part of."""
    zeros = np.zeros(groups, np.int64)
    np.add.at(zeros, group, sketches.zeros)
    return _bucketed(zeros, group[sketches.window()], sketches.negative(), sketches.bucket, sketches.samples)


def joined(parts: Sequence[Sketches]) -> Sketches:
    """The windows of all parts, one part after the other."""
    return Sketches(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def unlike(one: Sketches, other: Sketches) -> NDArray[np.bool_]:
    """Which of the same number of windows differ, shape (n,)."""
    differs: NDArray[np.bool_] = (one.zeros != other.zeros) | (one.below != other.below) | (one.above != other.above)
    both = joined([one, other])
    key = _keys(np.concatenate([one.window(), other.window()]), both.negative(), both.bucket)
    unique, back = np.unique(key, return_inverse=True)
    left = np.zeros(len(unique), np.int64)
    np.add.at(left, back, np.where(np.arange(len(key)) < len(one.bucket), both.samples, -both.samples))
    differs[unique[left != 0] >> (_INDEX_BITS + 1)] = True
    return differs


def quantiles(sketches: Sketches, levels: Sequence[float]) -> NDArray[np.float64]:
    """The values at these levels (0 to 1), shape (n, levels), each within ACCURACY of the sample of rank level (n - 1)."""
    # Zeros take their place behind the negative buckets of their window, as a bucket of value zero.
    middle = np.cumsum(sketches.below + sketches.above) - sketches.above
    value = np.insert(_middles(sketches), middle, 0.0)
    samples = np.insert(sketches.samples, middle, sketches.zeros)
    reached, total = np.cumsum(samples), sketches.total()
    before = np.cumsum(total) - total
    rank = before[:, None] + np.asarray(levels)[None, :] * (total[:, None] - 1)
    place = np.searchsorted(reached, rank.ravel(), side="right").reshape(rank.shape)
    found: NDArray[np.float64] = value[place]
    return found


def _middles(sketches: Sketches) -> NDArray[np.float64]:
    size = 2.0 / (GAMMA + 1.0) * np.exp(sketches.bucket / _PER_LOG)
    return np.where(sketches.negative(), -size, size)


def _bucketed(
    zeros: NDArray[np.int64],
    window: NDArray[np.int64],
    negative: NDArray[np.bool_],
    index: NDArray[np.int64],
    samples: NDArray[np.int64],
) -> Sketches:
    side = window * 2 + ~negative
    top = np.full(2 * len(zeros), -HIGHEST_INDEX, np.int64)
    np.maximum.at(top, side, index)
    index = np.maximum(index, top[side] - (MOST_BUCKETS - 1))
    unique, back = np.unique(_keys(window, negative, index), return_inverse=True)
    total = np.zeros(len(unique), np.int64)
    np.add.at(total, back, samples)
    sides = np.bincount(unique >> _INDEX_BITS, minlength=2 * len(zeros)).astype(np.int64)
    ranked = (unique & ((1 << _INDEX_BITS) - 1)) - HIGHEST_INDEX
    positive = (unique >> _INDEX_BITS & 1).astype(np.bool_)
    return Sketches(zeros, sides[0::2], sides[1::2], np.where(positive, ranked, -ranked), total)


def _keys(window: NDArray[np.int64], negative: NDArray[np.bool_], index: NDArray[np.int64]) -> NDArray[np.int64]:
    # By window, then by value: the index of negative numbers counts backwards.
    ranked = np.where(negative, -index, index) + HIGHEST_INDEX
    keys: NDArray[np.int64] = (window * 2 + ~negative) << _INDEX_BITS | ranked
    return keys
