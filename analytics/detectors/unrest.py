"""Change of variance: how surprising windows are in the mean, against how surprising they are in the long run.

Each window's surprise against the robust level and scale counts by its logarithm, so that a wider spread that lasts tells more
than one outlier. The mean of the newest windows is held against its own slow mean, in its own mean deviation. Only more unrest
than ever is told; a series that falls silent in the sense of spreading less is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.calibrate import BINS, EDGES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MEMORY = 16.0
COMPRESSION = 8.0
LEAST_SPREAD = np.float32(0.002)
SURPRISE = np.float32(3.0)
"""Of a mean that is one mean deviation above the usual."""
UNREST = np.log1p((EDGES[:BINS] + EDGES[1:]) / 2 / COMPRESSION).astype(np.float32)
"""Of a window whose surprise is in this bin."""


class Unrest(NamedTuple):
    """What is known of each series, float32 columns of shape (rows,): the `mean`, the `usual` one, and its `spread`."""

    mean: Floats
    usual: Floats
    spread: Floats


def advance(known: Unrest, bins: NDArray[np.uint8], weight: Floats) -> Floats:
    """One window on, of these bins of surprise: `known` is changed in place; returns how surprising its mean is.

    `weight`: of the window for what is slow, 0 for rows that do not learn (`drift.slow_weight`).
    """
    known.mean[:] += np.maximum(weight, np.float32(1.0 / MEMORY)) * (UNREST.take(bins) - known.mean)
    above = known.mean - known.usual
    surprise: Floats = np.maximum(above, np.float32(0.0)) * SURPRISE / np.maximum(known.spread, LEAST_SPREAD)
    known.usual[:] += weight * above
    known.spread[:] += weight * (np.abs(above) - known.spread)
    return surprise
