"""When something begins: a score that is higher than those of the recent past.

What goes on is not said again: each window's score is held against a peak that fades by 1 / MEMORY a window. So an alarm
that lasts is one, and one that grows speaks again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEMORY = 100.0
"""Windows until a peak has faded to a third."""
_FADE = np.float32(math.exp(-1.0 / MEMORY))


def fade(peak: NDArray[np.float32]) -> None:
    """One window on: in place."""
    np.multiply(peak, _FADE, out=peak)
