"""What a gateway's batches name: mostly the same tables in each, so that a row's series is found by its two indexes alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from analytics.pair_index import MISSING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ingest.contract.batch import DeviceRow, MetricRow, RollupBatch

PAIRS_A_ROW = 2
"""Tables of more pairs of device and metric than so many for each row are sparse: their series are looked up row by row."""


class GatewayTable(NamedTuple):
    """The tables of a gateway's newest batch, and what they stand for.

    `numbers` of each device, shape (devices,), int64, `MISSING` before it has a row. `series` of each pair, int32, shape
    (metrics * devices,), `MISSING` before it has a row; of shape (0,) where most pairs have none.
    """

    devices: list[DeviceRow]
    metrics: list[MetricRow]
    numbers: NDArray[np.int64]
    series: NDArray[np.int32]

    @staticmethod
    def of(batch: RollupBatch, numbers: NDArray[np.int64]) -> GatewayTable:
        """That of a batch whose devices have not come before."""
        return GatewayTable(batch.devices, batch.metrics, numbers, np.empty(0, np.int32))

    def find(self, batch: RollupBatch) -> NDArray[np.int32] | None:
        """The series of each of the batch's rows, shape (rows,); None when any is not known, or the tables are others."""
        if not self.series.size or not len(batch) or self.devices != batch.devices or self.metrics != batch.metrics:
            return None
        found = self.series.take(_places(batch))
        return found if found.min() != MISSING else None

    def learn(self, batch: RollupBatch, series: NDArray[np.int32]) -> GatewayTable:
        """With the series of the rows of one more batch of the same devices."""
        pairs = len(batch.metrics) * len(batch.devices)
        is_known = len(self.series) == pairs and self.metrics == batch.metrics
        if not is_known and pairs > PAIRS_A_ROW * len(batch):
            return self._replace(metrics=batch.metrics, series=self.series[:0])
        known = self.series if is_known else np.full(pairs, MISSING, np.int32)
        known[_places(batch)] = series
        return self._replace(metrics=batch.metrics, series=known)


def _places(batch: RollupBatch) -> NDArray[np.int64]:
    places = batch.column("metric").astype(np.int64)
    places *= len(batch.devices)
    places += batch.column("device")
    return places
