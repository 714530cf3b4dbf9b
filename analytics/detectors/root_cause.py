"""Which of a device's metrics is the likeliest cause: those that moved farthest from what they were just before.

A fault that spreads moves first and farthest what it began with; how far is told in shares of the range that the metric ever
had, so that neither units nor a noisy neighbour decide. This one function ranks in incidents, in files and in the benches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEFORE = 60
"""What metrics were like is their middle over so many windows before."""
_TINY = 1e-12


def moved(before: NDArray[np.float64], since: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each metric went at the most from its middle before, in its own unit; shape (metrics,).

    `before` (windows, metrics) are the last windows of old, `since` (windows, metrics) those from the beginning on.
    """
    farthest: NDArray[np.float64] = np.abs(since - np.median(before, axis=0)).max(axis=0)
    return farthest


def shares(farthest: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `moved` says in shares of the ranges, shape (metrics,); `low`, `high` are the least and the greatest value ever."""
    return farthest / np.maximum(high - low, _TINY)


def ranked(moves: NDArray[np.float64]) -> list[int]:
    """The numbers of the metrics, the one that moved farthest first; between equals the first."""
    return [int(number) for number in np.argsort(-moves, kind="stable")]
