"""Slow drift and small lasting shifts: a moving mean of how far values are from a level that hardly moves.

The slow level and scale are means of clipped distances over thousands of windows (Huber 1964), frozen in alarms. What moves the
mean of the newest windows (Roberts 1959, weight 1 / `MEMORY`) is bounded for each of them, so that no outlier of a heavy tail
does what only a lasting change should. Under normal noise its square, in units of its own variance, is chi-squared with one
degree of freedom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detectors.rows import where

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SLOW_MEMORY = 4000
"""Windows until a change of level has become two thirds normal; till then the level is a plain mean."""
MEMORY = 16.0
CLIP = 4.0
"""Of the scale: farther away no window counts as."""
UNCLIPPED = 30
"""As many first windows count whole: there is no scale yet to clip by."""
SEEN_MOST = 65_000
_FROM_DEVIATION = np.float32(1.2533)
"""From the mean distance to the standard deviation, for normal noise."""
_NEWEST = np.float32(1.0 / MEMORY)
_PER_SQUARE = np.float32(2.0 * MEMORY - 1.0)


class Slow(NamedTuple):
    """What is known of each series, columns of shape (rows,): `level` and `scale` in the metric's unit, `lean` in scales."""

    level: Floats
    scale: Floats
    lean: Floats


class Window(NamedTuple):
    """One window of each series, shape (rows,): its value, the least scale, and how much wider few samples spread it."""

    values: Floats
    least: Floats
    wider: Floats


def slow_weight(seen: NDArray[np.uint16]) -> Floats:
    """How much a window counts for what is slow, when `seen` came before it; shape (rows,)."""
    weight: Floats = np.maximum(np.float32(1.0) / (seen + np.float32(1.0)), np.float32(1.0 / SLOW_MEMORY))
    return weight


def advance(known: Slow, now: Window, seen: NDArray[np.uint16], weight: Floats) -> Floats:
    """One window on: `known` is changed in place; returns how far each value is from its slow level, clipped, in scales.

    `weight`: see `slow_weight`; 0 for rows that do not learn.
    """
    first = where(seen == 0)
    known.level[first], known.scale[first] = now.values[first], 0.0
    scale = np.maximum(known.scale, now.least)
    scale *= now.wider
    most = scale * np.float32(CLIP)
    away = now.values - known.level
    counted = np.minimum(away, most)
    np.maximum(counted, np.negative(most, out=most), out=counted)
    distance: Floats = counted / scale
    known.lean[:] += _NEWEST * (distance - known.lean)
    young = where(seen < UNCLIPPED)
    counted[young] = away[young]
    known.level[:] += weight * counted
    known.scale[:] += weight * (np.abs(counted) / now.wider * _FROM_DEVIATION - known.scale)
    return distance


def surprise(lean: Floats) -> Floats:
    """How surprising moving means are, shape (rows,)."""
    return lean * lean * _PER_SQUARE
