"""What like devices have in common in a window: a shift that nearly all of them show is none of each of them.

While a pool is too young to know how often such shocks come, a device is held against the others: its distance from its level
less the shift that three quarters of its cohort exceed in the same direction, in a scale that is wider by half of it, since
devices answer one cause unequally.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST = 8
"""Fewer devices than this have nothing in common."""
UNEQUAL = 0.5
_QUARTILES = (0.25, 0.75)


def shift(distances: NDArray[np.float32]) -> float:
    """What these devices have in common, in scales; their signed distances have shape (devices,). 0 if there is nothing."""
    if len(distances) < LEAST:
        return 0.0
    low, high = np.quantile(distances, _QUARTILES)
    return float(low) if low > 0 else float(min(high, 0.0))


def relative(distances: NDArray[np.float32], common: float) -> NDArray[np.float32]:
    """The distances of devices from what they have in common, shape (rows,)."""
    wider = np.float32(np.hypot(1.0, UNEQUAL * common))
    apart: NDArray[np.float32] = (distances - np.float32(common)) / wider
    return apart
