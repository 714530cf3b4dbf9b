"""For how many windows a series has been silent while its device went on talking.

What a device as a whole is silent for is its lease's business and one alert; a metric that stops alone is told here. Gaps
that are usual (a metric that is sent every tenth window) are known from those that ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 5
"""Shorter gaps are not looked at."""
SURPRISE = 7.0
"""Of a gap, for each window: alike series miss windows together with their device, and seldom alone."""
LONGER = 1.5
"""A gap has to be so many times longer than any of the series that ended."""
WINDOWS = 100
"""So many windows of a series have to be known before it can be missed."""
MOST = 65_000


def missed(last_end: NDArray[np.int64], until: NDArray[np.int64], width: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Whole windows between a series' last one and `until`, the time (ms) its device was heard of; at least 0, at most `MOST`."""
    whole = (until - last_end) // width.astype(np.int64)
    gap: NDArray[np.uint16] = np.clip(whole, 0, MOST).astype(np.uint16)
    return gap


def unusual(gap: NDArray[np.uint16], longest: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Which gaps are longer than the series' own have been, shape (rows,)."""
    longer: NDArray[np.bool_] = (gap >= FEWEST) & (gap > np.float32(LONGER) * longest)
    return longer


def surprise(gap: NDArray[np.uint16]) -> NDArray[np.float32]:
    """How surprising gaps are, shape (rows,)."""
    return gap.astype(np.float32) * np.float32(SURPRISE)
