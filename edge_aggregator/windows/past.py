"""What was before a flush."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edge_aggregator.names import Names
    from edge_aggregator.windows.keys import Spans
    from edge_aggregator.windows.tails import Tails
    from edge_aggregator.windows.told import Told


def nowhere(device: NDArray[np.int64], _start: NDArray[np.int64], _width: NDArray[np.int64]) -> NDArray[np.bool_]:
    """No window lies there."""
    return np.zeros(len(device), np.bool_)


class Past(NamedTuple):
    """The position that the last flush had reached, and what journal and outbox have forgotten (ms).

    `revisions(spans)` gives the highest revision emitted of each window, 0 without any; `tails` and `told` move
    on as windows close and are shown; `coarse(device, start, width)` says where windows have become coarser in the outbox.
    """

    position: int
    evicted_until: int
    lost_until: NDArray[np.int64]  # by device
    revisions: Callable[[Spans], NDArray[np.int64]]
    tails: Tails
    told: Told
    coarse: Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]] = nowhere

    def unsent(self, spans: Spans, names: Names) -> NDArray[np.bool_]:
        """Whether windows may have been dropped from the outbox, shape (windows,)."""
        lost: NDArray[np.bool_] = spans.end <= self.lost_until[names.columns["device"][spans.series]]
        return lost

    def coarsened(self, spans: Spans, names: Names) -> NDArray[np.bool_]:
        """Whether windows lie where those of their device have become coarser, shape (windows,)."""
        return self.coarse(names.columns["device"][spans.series], spans.start, spans.width)
