"""How far signals are beyond all that they ever were, in units of the range that they ever had.

In a stationary series a value beyond all before comes with probability 2 / n at the n-th window: records become rare by
themselves, in every series, without a threshold that anybody had to set (Rényi 1962). How far beyond they go compared
with the range is free of units. Signals add up, each compressed by a logarithm, so that no single one decides, and so that
the tails of normal and of power-law noise both fall off about exponentially.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.detectors.rows import where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WARM_UP = 30
"""So many windows make the first range."""
SMALL = 0.05
"""Of the range: from here on the compression of what is beyond sets in."""
_TINY = np.float32(1e-30)
FARTHEST = 1e6
"""Ranges beyond are not told apart."""


class Ranges(NamedTuple):
    """The least and the greatest that each signal ever was, float32, shape (signals, rows)."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def of(self, rows: NDArray[np.int64]) -> Ranges:
        """Those of some rows."""
        return Ranges(gathered(list(self.low), rows), gathered(list(self.high), rows))


def gathered(columns: Sequence[NDArray[np.float32]], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Of each of these columns, of shape (all rows,), some rows: shape (columns, rows)."""
    found = np.empty((len(columns), len(rows)), np.float32)
    for column, part in zip(columns, found, strict=True):
        column.take(rows, out=part, mode="clip")  # the other modes copy
    return found


def scores(known: Ranges, signals: Sequence[NDArray[np.float32]], least: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of every row the `total` of what is `beyond`, shape (rows,), computed where a signal, of shape (rows,), is outside at all."""
    summed = np.zeros(len(least), np.float32)
    for low, high, signal in zip(*known, signals, strict=True):
        rows = where((signal < low) | (signal > high))
        one = Ranges(low.take(rows), high.take(rows))
        summed[rows] += beyond(one, signal.take(rows), least.take(rows))
    return summed


def beyond(known: Ranges, signals: NDArray[np.float32], least: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each signal is outside of its range, in ranges, compressed; 0 within. Shape (signals, rows), or (rows,).

    `least`: no range is taken for smaller than this, shape (rows,): the resolution of the values.
    """
    away = np.maximum(np.maximum(signals - known.high, known.low - signals), np.float32(0.0))
    width = np.maximum(known.high - known.low, np.maximum(least, _TINY))
    ratio = np.minimum(away, np.float32(FARTHEST) * width) / width
    compressed: NDArray[np.float32] = np.log1p(ratio / np.float32(SMALL))
    return compressed


def widen(known: Ranges, signals: Sequence[NDArray[np.float32]]) -> None:
    """Put these signals, each of shape (rows,), into the ranges."""
    for low, high, signal in zip(*known, signals, strict=True):
        np.minimum(low, signal, out=low)
        np.maximum(high, signal, out=high)


def total(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum over signals, in their order whatever the number of rows; shape (rows,)."""
    summed: NDArray[np.float32] = parts[0].copy()
    for part in parts[1:]:
        summed += part
    return summed


def newest(parts: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The signal that is farthest outside, the first of those that are equally far; shape (rows,)."""
    found, most = np.zeros(parts.shape[1], np.uint8), parts[0].copy()
    for number, part in enumerate(parts[1:], start=1):
        np.copyto(found, np.uint8(number), where=part > most)
        np.maximum(most, part, out=most)
    return found
