"""What batches that were written say of the gateway's own windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_aggregator.names import SeriesName
from edge_aggregator.outbox.revisions import WindowId

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.names import Names
    from edge_aggregator.outbox.pile import Pile
    from edge_aggregator.outbox.revisions import Revisions
    from ingest.contract.batch import RollupBatch


class Written:
    """Rows of batches by the ids of this gateway."""

    def __init__(self, names: Names, revisions: Revisions) -> None:
        self._names, self._revisions = names, revisions

    def windows(self, rows: RollupBatch | Pile, which: NDArray[np.int64] | None = None) -> list[WindowId | None]:
        """The windows of all rows, or of some; None where the series is not known any more."""
        columns: dict[str, NDArray[Any]] = {
            name: rows.columns[name] if which is None else rows.columns[name][which]
            for name in ("device", "metric", "start", "width")
        }
        device_ids = [self._names.find_device(row.device) for row in rows.devices]
        found = []
        for device, metric, start, width in zip(*(column.tolist() for column in columns.values()), strict=True):
            number, name = device_ids[device], rows.metrics[metric]
            series = None if number is None else self._names.find_series(SeriesName(number, name.name, name.labels))
            found.append(None if series is None else WindowId(series, start, width))
        return found

    def nets(self, batch: RollupBatch) -> NDArray[np.int64]:
        """The samples that go with each row, shape (rows,): all of a first emission."""
        nets = batch.column("count").astype(np.int64)
        revised = np.flatnonzero(batch.column("revision"))
        for row, window, revision in zip(
            revised.tolist(), self.windows(batch, revised), batch.column("revision")[revised].tolist(), strict=True
        ):
            nets[row] = self._revisions.net(window, revision) if window else 0
        return nets
