"""Robust level and scale of a series, and how surprising a value is against them.

Level and scale follow by exponential weighting of Huberised residuals (Huber 1964): a residual counts as at most
`CLIP` scales, so that no single value moves them far, and a change that lasts moves them in time. While a series is
young the weights are those of a plain average. The surprise is the squared residual on a scale on which it is about
chi-squared with one degree of freedom however few windows the scale rests on (Wallace 1959, normal approximation to
Student's t): nu * log(1 + t² / nu) * ((8 nu + 1) / (8 nu + 3))². It compresses, so that the tails of normal and of
power-law noise both fall off about exponentially; for that reason nu is held at `FREEDOM_MOST` for old series too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analytics.detectors.rows import where

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL_MEMORY = 32.0
SCALE_MEMORY = 100.0
CLIP = 2.5
CLIPPED_VARIANCE = 0.9776
"""E[min(Z², CLIP²)] of a standard normal Z: makes the clipped scale consistent."""
UNCLIPPED = 5
"""As many first windows count whole: there is no scale yet to clip by."""
FARTHEST = 1e12
"""Distances beyond so many scales are not told apart."""
FREEDOM_MOST = 20.0
SEEN_MOST = 255

_AGE = np.arange(SEEN_MOST + 1, dtype=np.float64)
_FREEDOM = np.clip(_AGE - 1.0, 1.0, FREEDOM_MOST)
_WIDENING = 1.0 + 1.0 / np.maximum(_AGE, 1.0)


class _ByAge(NamedTuple):
    """A number for each number of windows seen, the same from `settled` windows on."""

    numbers: NDArray[np.float32]
    settled: int

    @staticmethod
    def of(numbers: NDArray[np.float64]) -> _ByAge:
        """These, of shape (SEEN_MOST + 1,)."""
        rounded = numbers.astype(np.float32)
        return _ByAge(rounded, int(where(rounded != rounded[-1]).max(initial=-1)) + 1)

    def take(self, seen: NDArray[np.integer[Any]]) -> NDArray[np.float32] | np.float32:
        """That of each row; one number for all when it is the same."""
        if seen.size and seen.min() >= self.settled:
            return np.float32(self.numbers[-1])
        return self.numbers.take(seen)


_LEVEL_WEIGHT = _ByAge.of(np.maximum(1.0 / (_AGE + 1.0), 1.0 / LEVEL_MEMORY))
_SCALE_WEIGHT = _ByAge.of(np.maximum(1.0 / np.maximum(_AGE, 1.0), 1.0 / SCALE_MEMORY))
_PER_SQUARE = _ByAge.of(1.0 / (_FREEDOM * _WIDENING))
_FACTOR = _ByAge.of(((8.0 * _FREEDOM + 1.0) / (8.0 * _FREEDOM + 3.0)) ** 2 * _FREEDOM)
_PER_SPREAD = _ByAge.of(1.0 / (_WIDENING * np.where(_AGE < UNCLIPPED, 1.0, CLIPPED_VARIANCE)))


class Levels(NamedTuple):
    """What is known of each series, columns of shape (rows,).

    `level` and `scale` in the metric's unit, `samples` (the usual number per window), all f4; `seen` u1 (windows learned,
    saturating).
    """

    level: NDArray[np.float32]
    scale: NDArray[np.float32]
    samples: NDArray[np.float32]
    seen: NDArray[np.uint8]

    def of(self, rows: NDArray[np.int64]) -> Levels:
        """Copies of some rows."""
        return Levels(self.level[rows], self.scale[rows], self.samples[rows], self.seen[rows])

    def put_back(self, rows: NDArray[np.int64], saved: Levels) -> None:
        """Make these rows what they were."""
        self.level[rows], self.scale[rows] = saved.level, saved.scale
        self.samples[rows], self.seen[rows] = saved.samples, saved.seen


class Judgement(NamedTuple):
    """Of each row, shape (rows,): the scale it was measured by, and its surprise.

    How many times `fewer` samples than usual it is a mean of, at least 1, and how much `wider` it spreads for that.
    """

    scale: NDArray[np.float32]
    surprise: NDArray[np.float32]
    fewer: NDArray[np.float32]
    wider: NDArray[np.float32]


def judge(
    known: Levels, values: NDArray[np.float32], samples: NDArray[np.float32], least: NDArray[np.float32]
) -> Judgement:
    """How surprising each value is. `samples`: numbers of samples behind the values; `least`: least scales, above 0."""
    fewer = np.maximum(known.samples / samples, np.float32(1.0))  # the mean of fewer samples spreads more
    wider = np.sqrt(fewer)
    scale = np.maximum(known.scale * wider, least)
    return Judgement(scale, surprise(distances(known.level, values, scale), known.seen), fewer, wider)


def distances(
    level: NDArray[np.float32], values: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """How far each value is from its level, in scales and with its sign, at most `FARTHEST`; shape (rows,)."""
    most = scale * np.float32(FARTHEST)
    away: NDArray[np.float32] = values - level
    np.minimum(away, most, out=away)
    np.maximum(away, np.negative(most, out=most), out=away)
    away /= scale
    return away


def surprise(distance: NDArray[np.float32], seen: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How surprising distances in scales are for series of so many windows, shape (rows,)."""
    age = seen.astype(np.intp)
    share = distance * distance * _PER_SQUARE.take(age)
    share += np.float32(1.0)
    compressed: NDArray[np.float32] = np.log(share, out=share)
    compressed *= _FACTOR.take(age)
    return compressed


def learn(known: Levels, values: NDArray[np.float32], samples: NDArray[np.float32], judged: Judgement) -> None:
    """Learn these values, `judged` before: `known` is changed in place. The first value of a series becomes its level."""
    bound = judged.scale * np.float32(CLIP)
    residual = values - known.level
    young = where(known.seen < UNCLIPPED)
    first = young[known.seen[young] == 0]
    bound[young], residual[first] = np.inf, 0.0
    np.minimum(np.maximum(residual, -bound, out=residual), bound, out=residual)
    level, scale, usual, seen = known
    age = seen.astype(np.intp)
    weight, variance = _SCALE_WEIGHT.take(age), scale * scale
    variance += weight * (residual * residual / judged.fewer * _PER_SPREAD.take(age) - variance)
    np.sqrt(variance, out=scale)
    residual *= _LEVEL_WEIGHT.take(age)
    level += residual
    usual += weight * (samples - usual)
    np.minimum(seen, SEEN_MOST - 1, out=seen)
    seen += np.uint8(1)
    level[first], scale[first], usual[first] = values[first], 0.0, samples[first]
