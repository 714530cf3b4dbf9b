"""What was before a flush."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from edge_aggregator.windows.keys import Spans
    from edge_aggregator.windows.tails import Tails
    from edge_aggregator.windows.told import Told


class Past(NamedTuple):
    """The position that the last flush had reached, and what journal and outbox have forgotten (ms).

    `revisions(spans)` gives the highest revision emitted of each window, 0 without any; `tails` and `told` move
    on as windows close and are shown.
    """

    position: int
    evicted_until: int
    lost_until: NDArray[np.int64]  # by device
    revisions: Callable[[Spans], NDArray[np.int64]]
    tails: Tails
    told: Told
