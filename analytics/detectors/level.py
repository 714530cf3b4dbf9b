"""Robust level and scale of a series, and how surprising a value is against them.

Level and scale follow by exponential weighting of Huberised residuals (Huber 1964): a residual counts as at most
`CLIP` scales, so that no single value moves them far, and a change that lasts moves them in time. While a series is
young the weights are those of a plain average. The surprise is the squared residual on a scale on which it is about
chi-squared with one degree of freedom however few windows the scale rests on (Wallace 1959, normal approximation to
Student's t): nu * log(1 + t² / nu) * ((8 nu + 1) / (8 nu + 3))². It compresses, so that the tails of normal and of
power-law noise both fall off about exponentially; for that reason nu is held at `FREEDOM_MOST` for old series too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL_MEMORY = 16.0
SCALE_MEMORY = 32.0
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
_LEVEL_WEIGHT = np.maximum(1.0 / (_AGE + 1.0), 1.0 / LEVEL_MEMORY)
_SCALE_WEIGHT = np.maximum(1.0 / np.maximum(_AGE, 1.0), 1.0 / SCALE_MEMORY)
_FREEDOM = np.clip(_AGE - 1.0, 1.0, FREEDOM_MOST)
_FREEDOM_FACTOR = ((8.0 * _FREEDOM + 1.0) / (8.0 * _FREEDOM + 3.0)) ** 2 * _FREEDOM
_WIDENING = 1.0 + 1.0 / np.maximum(_AGE, 1.0)


class Levels(NamedTuple):
    """What is known of each series, columns of shape (rows,).

    `level` f8 and `scale` f4 in the metric's unit, `samples` f4 (the usual number per window), `seen` u1 (windows
    learned, saturating).
    """

    level: NDArray[np.float64]
    scale: NDArray[np.float32]
    samples: NDArray[np.float32]
    seen: NDArray[np.uint8]


class Judgement(NamedTuple):
    """Of each row: the scale it was measured by and its surprise, shape (rows,)."""

    scale: NDArray[np.float64]
    surprise: NDArray[np.float32]


def judge(
    known: Levels, values: NDArray[np.float64], samples: NDArray[np.float64], least: NDArray[np.float64]
) -> Judgement:
    """How surprising each value is. `samples`: numbers of samples behind the values; `least`: least scales."""
    fewer = np.sqrt(np.maximum(1.0, known.samples / samples))  # the mean of fewer samples spreads more
    scale = np.maximum(np.maximum(known.scale * fewer, least), np.finfo(np.float32).tiny)
    distance = np.minimum(np.abs(values - known.level) / scale, FARTHEST)
    squared = distance**2 / _WIDENING[known.seen]
    surprise = _FREEDOM_FACTOR[known.seen] * np.log1p(squared / _FREEDOM[known.seen])
    return Judgement(scale, surprise.astype(np.float32))


def learn(
    known: Levels, values: NDArray[np.float64], samples: NDArray[np.float64], scale: NDArray[np.float64]
) -> Levels:
    """The levels after these values; `scale` as they were judged by. The first value of a series becomes its level."""
    first, young = known.seen == 0, known.seen < UNCLIPPED
    bound = np.where(young, np.inf, CLIP * scale)
    residual = np.clip(np.where(first, 0.0, values - known.level), -bound, bound)
    weight = _SCALE_WEIGHT[known.seen]
    few = np.where(first, 1.0, np.maximum(1.0, known.samples / samples))
    spread = residual**2 / few / _WIDENING[known.seen] / np.where(young, 1.0, CLIPPED_VARIANCE)
    variance = known.scale.astype(np.float64) ** 2
    usual = known.samples + weight * (samples - known.samples)
    return Levels(
        level=np.where(first, values, known.level + _LEVEL_WEIGHT[known.seen] * residual),
        scale=np.sqrt(np.where(first, 0.0, variance + weight * (spread - variance))).astype(np.float32),
        samples=np.where(first, samples, usual).astype(np.float32),
        seen=np.minimum(known.seen, SEEN_MOST - 1) + np.uint8(1),
    )
