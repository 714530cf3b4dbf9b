"""One categorical bet per device for counts (restarts of a process, errors logged): never one per event.

Sources: as in `rank.py`; that pooled events of unlike devices are no evidence: D. R. Cox, P. A. W. Lewis, "The Statistical
Analysis of Series of Events" (1966), on overdispersion.

Events of one device come in clusters, so a bet per event gains from a few bad devices that chance put into one arm. A device's
count is therefore one value out of a few classes, 0, 1, 2-3, 4-7, … and at most 16 of them, and the device is bet on once. For harm
the bet is that of `rank.py` on the classes' mid-ranks: among devices of equal class none ranks higher. For harmlessness a pair's
difference is +1, 0 or -1 as the canary's class is the higher, equal or lower, and the bet is that of `bounded.py` on its mean:
the margin is by how much more probable "the canary is worse" may be than "the control is worse".

Proof sketch: classes are values, so both proofs hold as they stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST_CLASSES = 16


def classes(counts: Floats) -> Floats:
    """The class of each count, shape (n,): 0 for 0, else 1 + floor(log2(count)), at most 15; counts are at least 0."""
    whole = np.floor(np.maximum(counts, 0.0))
    exponent = np.where(whole >= 1, np.floor(np.log2(np.maximum(whole, 1.0))) + 1, 0)
    return np.minimum(exponent, MOST_CLASSES - 1)
