"""From rollups to encoded batches, each with its entry in the ledger, none too large for the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_aggregator.by_device import NOBODY, by_device
from edge_aggregator.outbox.fitting import MOST_BYTES, Tables, batch, fitting
from edge_aggregator.windows.rollups import Rollups, no_rollups
from ingest.contract.batch import DeviceRow, MetricRow, Origin, RollupBatch
from ingest.contract.batch_wire import encode_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edge_aggregator.by_device import ByDevice
    from edge_aggregator.devices.registry import Registry
    from edge_aggregator.ledger import Ledger
    from edge_aggregator.names import Names
    from ingest.contract.ledger import LedgerEntry

_MOST_VERSIONS = 16


class Batch(NamedTuple):
    """An encoded batch, and what it was made of."""

    seq: int
    value: bytes
    rollups: Rollups = no_rollups()


class BatchMaker:
    """Makes a gateway's batches."""

    def __init__(self, origin: Origin, names: Names, registry: Registry, *, most_bytes: int = MOST_BYTES) -> None:
        self._origin, self._names, self._registry, self._most_bytes = origin, names, registry, most_bytes

    def make(self, rollups: Rollups, ledger: Ledger, now: int) -> Iterator[Batch]:
        """Batches of all rows in their order; with each one the ledger moves on by an entry."""

        def batch_of(part: Rollups, _: bool) -> RollupBatch:  # noqa: FBT001 - the shape that `fitting` asks for
            return self._batch(part, ledger.next_entry(self._net(part)), now)

        for part, made, value in fitting(rollups, batch_of, most_bytes=self._most_bytes):
            ledger.enter(made.ledger, self._net(part))
            yield Batch(made.seq, value, part)

    def account(self, ledger: Ledger, now: int) -> Batch:
        """A batch without rows: it tells the centre how the account stands."""
        made = self._batch(no_rollups(), ledger.next_entry(NOBODY), now)
        ledger.enter(made.ledger)
        return Batch(made.seq, encode_batch(made))

    def _net(self, rollups: Rollups) -> ByDevice:
        return by_device(self._names.columns["device"][rollups.series], rollups.net)

    def _batch(self, rollups: Rollups, entry: LedgerEntry, now: int) -> RollupBatch:
        rollups = rollups.rows(self._by_metric(rollups))
        return batch(self._origin, now, entry, self._tables(rollups), rollups.details)

    def _tables(self, rollups: Rollups) -> Tables:
        devices, device = self._devices(rollups)
        kind = self._names.facts.aspects.kind
        metric_ids, metric = np.unique(self._names.columns["metric"][rollups.series], return_inverse=True)
        metrics = [self._names.metrics[number] for number in metric_ids.tolist()]
        columns: dict[str, NDArray[Any]] = {
            "device": device,
            "metric": metric,
            "start": rollups.start,
            "width": rollups.width,
            "count": rollups.samples,
            "sum": rollups.sum,
            "sumsq": rollups.sumsq,
            "min": rollups.min,
            "max": rollups.max,
            "last": rollups.last,
            "revision": rollups.revision,
        }
        return (
            devices,
            [MetricRow(name.metric, kind=kind(name.metric), labels=name.labels) for name in metrics],
            columns,
        )

    def _by_metric(self, rollups: Rollups) -> NDArray[np.int64]:
        # Like numbers beside each other are the shortest, and devices then count up.
        return np.lexsort((rollups.start, rollups.series, self._names.columns["metric"][rollups.series]))

    def _devices(self, rollups: Rollups) -> tuple[list[DeviceRow], NDArray[np.int64]]:
        device = self._names.columns["device"][rollups.series].astype(np.int64)
        keys = device * _MOST_VERSIONS + self._versions(device, rollups.start)
        unique, index = np.unique(keys, return_inverse=True)
        return [self._device_row(*divmod(key, _MOST_VERSIONS)) for key in unique.tolist()], index

    def _versions(self, device: NDArray[np.int64], start: NDArray[np.int64]) -> NDArray[np.int64]:
        # Most devices have had the same attributes all the time; the others are looked at row by row.
        records = self._registry.records
        changing = [d for d in np.unique(device).tolist() if d in records and len(records[d].history) > 1]
        version = np.zeros(len(device), np.int64)
        for row in np.flatnonzero(np.isin(device, changing)).tolist():
            version[row] = records[int(device[row])].version_at(int(start[row]))
        return version

    def _device_row(self, device: int, version: int) -> DeviceRow:
        name, record = self._names.devices[device], self._registry.records.get(device)
        if record is None:
            return DeviceRow(name)
        attributes = record.history[version]
        return DeviceRow(name, attributes.firmware, attributes.hardware, attributes.group)
