"""Which devices exceed their quotas most."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edge_aggregator.names import Names

MOST_NAMED = 16


class Offenders:
    """Samples in overflow series, by device; only those with the most are remembered over a restart."""

    def __init__(self, known: Mapping[str, int]) -> None:
        self._samples = Counter(known)

    def note(self, series: NDArray[np.int64], names: Names) -> None:
        """Samples came of these series, shape (n,), sorted."""
        if not names.overflowing:
            return
        found, count = np.unique(series[names.columns["overflow"][series]], return_counts=True)
        for number, samples in zip(found.tolist(), count.tolist(), strict=True):
            self._samples[names.devices[int(names.columns["device"][number])]] += samples

    def most(self) -> dict[str, int]:
        """The devices with the most samples, the most first."""
        return dict(self._samples.most_common(MOST_NAMED))
