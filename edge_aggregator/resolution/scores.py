"""How unlike its own past a series' window is, in units of the noise that the past shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_aggregator.columns import Columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.windows.rollups import Rollups

WARM_WINDOWS = 20
"""So many windows of a series are learned before any is judged."""
_STEP = 1 / 32
_FLOOR = 1e-3
"""Noise is taken to be at least this share of the level: a constant may move a little."""
_CLIP = 3.0
_LEAST_SPREAD = 4


class Scores:
    """By series: the level of its windows' means, how far they stray from it, and the spread of samples inside a window.

    All three are exponentially weighted and Huberised (Huber, "Robust estimation of a location parameter", 1964): one
    window moves them by at most three times their own size.
    """

    def __init__(self) -> None:
        self._past = Columns({"level": ("f8", 0.0), "stray": ("f8", 0.0), "inner": ("f8", 0.0), "seen": ("i4", 0)})

    def step(self, rows: Rollups, learns: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The score of each window, shape (windows,); of those that `learns` is true of, the past takes notice.

        0 while too little is known. At most one window a series is learned from.
        """
        if not len(rows.series):
            return np.empty(0)
        self._past.grow_to(int(rows.series.max()) + 1)
        mean = rows.sum / rows.samples
        inner = np.sqrt(np.maximum(rows.sumsq / rows.samples - mean * mean, 0.0))
        found = self._scores(rows, mean, inner)
        last = np.zeros(len(mean), np.bool_)
        last[len(mean) - 1 - np.unique(rows.series[::-1], return_index=True)[1]] = True
        self._learn(rows.series[last & learns], mean[last & learns], inner[last & learns])
        return found

    def forget(self, series: NDArray[np.int64]) -> None:
        """What these series do from now on is usual."""
        known = series[series < len(self._past)]
        self._past["seen"][known] = 0

    def _scores(self, rows: Rollups, mean: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
        level, stray, usual, seen = (self._past[name][rows.series] for name in ("level", "stray", "inner", "seen"))
        floor = np.maximum(_FLOOR * np.abs(level), 1e-12)
        noise = np.sqrt(usual * usual / rows.samples + stray * stray + floor * floor)
        moved = np.abs(mean - level) / noise
        # The logarithm of a variance of n samples varies by about the root of 2 / n, whatever the variance.
        ratio = (inner * inner + floor * floor) / (usual * usual + floor * floor)
        spread = np.where(rows.samples >= _LEAST_SPREAD, np.abs(np.log(ratio)) * np.sqrt(rows.samples / 2), 0.0)
        return np.where(seen >= WARM_WINDOWS, np.maximum(moved, spread), 0.0)

    def _learn(self, series: NDArray[np.int64], mean: NDArray[np.float64], inner: NDArray[np.float64]) -> None:
        past = self._past
        past["seen"][series] += 1
        fresh = past["seen"][series] == 1
        step = np.maximum(_STEP, 1.0 / past["seen"][series])
        warm = past["seen"][series] > WARM_WINDOWS
        off = np.where(fresh, 0.0, mean - np.where(fresh, 0.0, past["level"][series]))
        size = np.hypot(past["stray"][series], past["inner"][series]) * _CLIP
        off = np.where(warm, np.clip(off, -size, size), off)
        past["level"][series] = np.where(fresh, mean, past["level"][series] + step * off)
        # 1.25: of a normal distribution the standard deviation over the mean absolute one.
        for name, seen in (("stray", np.abs(off) * 1.25), ("inner", inner)):
            before = past[name][series]
            now = np.where(warm, np.minimum(seen, _CLIP * before + _FLOOR * np.abs(mean)), seen)
            past[name][series] = np.where(fresh, now, before + step * (now - before))
