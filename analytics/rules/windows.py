"""What is judged, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from analytics.rules.conditions import statistic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analytics.rules.kinds import SeriesRule
    from analytics.rules.life import Said
    from ingest.contract.batch import RollupBatch


class Finding(NamedTuple):
    """What a rule says of a series at `at` (ms); `number` rises from one to the next of the same series.

    `between`: of a forecast, after how many seconds at the earliest and at the latest (infinite: perhaps never).
    """

    rule: SeriesRule
    series: int
    said: Said
    at: int
    number: int
    value: float
    between: tuple[float, float] | None = None


class Rows(NamedTuple):
    """Some rows of a batch, one of each series: `apart` is the time since the series' window before (ms)."""

    batch: RollupBatch
    at: NDArray[np.intp]
    series: NDArray[np.int32]
    end: NDArray[np.int64]
    apart: NDArray[np.int64]
    computed: dict[str, NDArray[np.float64]]

    def statistic(self, name: str) -> NDArray[np.float64]:
        """One number of each window; computed once."""
        if name not in self.computed:
            self.computed[name] = statistic(name, self.batch)[self.at]
        return self.computed[name]


class SiteMark(msgspec.Struct, array_like=True):
    """Of a site (ms): the end of its newest window, when its silent series were looked for, and the last finding's number."""

    end: int = 0
    swept: int = 0
    number: int = 0
