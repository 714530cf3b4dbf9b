"""How probable a novelty is by the series' own past: how often there were any, and how far they went.

Novelties come about as often as they did so far, and fall off exponentially beyond. Each that was counts as at most
`MOST`, so that no fault of the past hides the next one; their mean is drawn towards a prior as long as there are few.
This is an assumption about tails that nobody has seen yet, and a bold one: independent noise has heavier ones, so that
a series on its own alarms more often than was asked for. Pooled tails do not assume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PRIOR = 20.0
"""The prior mean counts as so many novelties."""
PRIOR_MEAN = 0.2
MOST = 0.3
"""What one novelty adds to the mean at the most."""


def rarity(
    scores: NDArray[np.float32], seen: NDArray[np.uint16], records: NDArray[np.uint16], excess: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Minus the logarithm of how probable a score this high is in one window, shape (rows,); 0 where there is none.

    `records`: how many scores above 0 there were in `seen` windows; `excess`: their sum, each at most `MOST`.
    """
    mean = mean_excess(records, excess)
    often = (records + np.float32(1.0)) / (seen + np.float32(1.0))
    rare = scores / mean - np.log(np.minimum(often, np.float32(1.0)))
    return np.where(scores > 0, rare, np.float32(0.0))


def mean_excess(records: NDArray[np.uint16], excess: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of the novelties that were, drawn towards the prior; shape (rows,)."""
    mean: NDArray[np.float32] = (np.float32(PRIOR * PRIOR_MEAN) + excess) / (np.float32(PRIOR) + records)
    return mean
