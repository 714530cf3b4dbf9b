"""What of a series is watched for things never seen before: its value, its moving means, their differences, its profile.

Moving means follow by exponential weighting, so that a signal costs four bytes however far back it looks; while a series is
young they are plain averages. `restless` is the recent mean of how surprising values are against the robust level and scale
(compressed, so that a lasting change of variance differs from one outlier).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEMORIES = (4.0, 12.0, 40.0, 200.0)
"""Of the moving means, in windows."""
NAMES = ("value", "short mean", "trend", "slow trend", "profile", "profile mean", "restless")
"""Of the signals, in the order of their rows: what a person is told that is new."""
SIGNALS = len(NAMES)

PROFILE_MEMORY = 12.0
RESTLESS_MEMORY = 10.0
COMPRESSION = 8.0


Signals = tuple["NDArray[np.float32]", ...]
"""A column each, of shape (rows,), in the order of `NAMES`."""


class Moving(NamedTuple):
    """What is remembered of each series, float32, shape (rows,); `means` (memories, rows)."""

    means: NDArray[np.float32]
    restless: NDArray[np.float32]
    profile_mean: NDArray[np.float32]


class Window(NamedTuple):
    """One window of each series, shape (rows,), float32: its value, what its profile expects (NaN: nothing), its surprise."""

    values: NDArray[np.float32]
    expected: NDArray[np.float32]
    surprise: NDArray[np.float32]


class Weights:
    """How much the newest window counts for means of any memory, when `windows`, shape (rows,), came before it."""

    def __init__(self, windows: NDArray[np.uint16]) -> None:
        self._youngest = int(windows.min(initial=0xFFFF))
        self._plain = np.float32(1.0) / (windows + np.float32(1.0)) if self._youngest < max(MEMORIES) else None

    def of(self, memory: float) -> NDArray[np.float32] | np.float32:
        """As in a plain average, but never less than one in `memory`: of each row, or one number for all."""
        least = np.float32(1.0 / memory)
        if self._plain is None or self._youngest >= memory:
            return least
        newest: NDArray[np.float32] = np.maximum(self._plain, least)
        return newest


def advance(known: Moving, windows: NDArray[np.uint16], now: Window) -> Signals:
    """One window on: `known` is changed in place; returns the signals, some of which are columns of it.

    `windows`: how many there were before, shape (rows,). Values are distances from the series' first, so that large numbers
    lose nothing.
    """
    weights = Weights(windows)
    for mean, memory in zip(known.means, MEMORIES, strict=True):
        _follow(mean, now.values, weights.of(memory))
    usual = now.expected.copy()
    np.copyto(usual, known.means[3], where=np.isnan(usual))
    residual = now.values - usual
    _follow(known.profile_mean, residual, weights.of(PROFILE_MEMORY))
    restlessness = np.log(now.surprise * np.float32(1.0 / COMPRESSION) + np.float32(1.0))
    _follow(known.restless, restlessness, weights.of(RESTLESS_MEMORY))
    trend, slow_trend = known.means[0] - known.means[2], known.means[1] - known.means[3]
    return (now.values, known.means[0], trend, slow_trend, residual, known.profile_mean, known.restless)


def _follow(mean: NDArray[np.float32], now: NDArray[np.float32], newest: NDArray[np.float32] | np.float32) -> None:
    mean += newest * (now - mean)
