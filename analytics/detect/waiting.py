"""How long pools wait before they speak: one that errs does so for all its members at once, so large ones wait longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analytics.detect.merge import TERMS, Detector

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL_POOL = 20
"""A pool of so many series need not wait: they are few to be wrong about."""
WAIT, WAIT_MOST = 12.0, 240.0
"""Windows that a larger one waits, by the root of its size."""


def waits(members: NDArray[np.int64], detector: Detector) -> NDArray[np.float64]:
    """The windows that each of so many members must have been seen for, shape (pools,)."""
    windows = np.minimum(WAIT * np.maximum(np.sqrt(members / SMALL_POOL) - 1.0, 0.0), WAIT_MOST)
    return np.maximum(windows, TERMS[detector].wait)
