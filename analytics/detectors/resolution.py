"""What is too small to be a change: the smallest step of a series' values, and what is not known of them anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.detectors.rows import where

if TYPE_CHECKING:
    from numpy.typing import NDArray

DECIMALS = 4
CONTINUOUS = 0.0
"""The resolution of values that have more decimals than `DECIMALS`."""
RELATIVE = 1e-4
"""Of its level, what no series is taken to resolve."""
LEAST = np.float32(1e-30)
"""No scale is smaller."""
_TOLERANCE = 1e-9


def decimal_resolution(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """1 for whole numbers, 0.1 for numbers with one decimal and so on, `CONTINUOUS` beyond; shape (rows,), float32."""
    resolution = np.full(len(values), CONTINUOUS, np.float32)
    for decimals in range(DECIMALS, -1, -1):
        resolution[_is_whole(values * 10.0**decimals)] = 10.0**-decimals
    return resolution


def finer(resolution: NDArray[np.float32], values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The finer of each row's resolution and of that of its newest value, shape (rows,), float32."""
    known = resolution.copy()
    some = where(known > CONTINUOUS)
    steps = np.rint(1.0 / known[some].astype(np.float64))
    some = some[~_is_whole(values[some] * steps)]  # the others are no finer than is known
    known[some] = np.minimum(known[some], decimal_resolution(values[some]))
    return known


def _is_whole(scaled: NDArray[np.float64]) -> NDArray[np.bool_]:
    whole: NDArray[np.bool_] = np.abs(scaled - np.rint(scaled)) <= _TOLERANCE * np.maximum(1.0, np.abs(scaled))
    return whole


def least_scale(level: NDArray[np.float32], resolution: NDArray[np.float32]) -> NDArray[np.float32]:
    """The least scale of a gauge, shape (rows,): one step of its values is never more than one scale."""
    return np.maximum(np.maximum(resolution, np.float32(RELATIVE) * np.abs(level)), LEAST)


def least_rate_scale(
    level: NDArray[np.float32],
    resolution: NDArray[np.float32],
    elapsed_ms: NDArray[np.int64],
    sample_gap_ms: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The least scale of a rate per second, shape (rows,).

    When within its window the last sample was taken is not known: that share of the usual rate is uncertain.
    """
    seconds = (elapsed_ms / 1000.0).astype(np.float32)
    uncertain = np.abs(level) * sample_gap_ms / (np.float32(2000.0) * seconds)
    return np.maximum(least_scale(level, resolution / seconds), uncertain)
