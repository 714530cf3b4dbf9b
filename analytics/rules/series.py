"""The series that rules look at: dense ids, when each was heard last, and what it said then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from analytics.dense_ids import DenseIds
from analytics.pair_index import MISSING, PairIndex, pair_keys, split_keys
from analytics.series import DeviceKey, MetricKey
from ingest.contract.batch import DeviceRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch

_FIRST = 1024


class RuleSeries:
    """At most `most` series. `end`: the newest window's end (ms, 0 without any); `previous[statistic]`: what it said."""

    def __init__(self, most: int, statistics: Sequence[str]) -> None:
        self._most = most
        self.devices: DenseIds[DeviceKey] = DenseIds()
        self.metrics: DenseIds[MetricKey] = DenseIds()
        self.attributes: dict[int, DeviceRow] = {}
        self.device, self.metric = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self.end = np.zeros(0, np.int64)
        self.previous = {name: np.zeros(0, np.float64) for name in statistics}
        self._index = PairIndex()
        self._tables: dict[tuple[str, ...], tuple[list[DeviceRow], NDArray[np.int64]]] = {}
        self._by_site: dict[str, NDArray[np.int64]] = {}
        self._sited = 0
        self.version = 0
        """Rises whenever series are given other numbers."""

    def __len__(self) -> int:
        return len(self._index)

    def numbers(self, batch: RollupBatch) -> NDArray[np.int32]:
        """The series of each row, shape (rows,), `MISSING` when there is no room for it."""
        devices = self._device_numbers(batch)
        metrics = self.metrics.numbers((MetricKey(m.name, m.labels) for m in batch.metrics), batch.column("metric"))
        keys = pair_keys(devices[batch.column("device")], metrics[batch.column("metric")])
        found = self._index.find(keys)
        absent = np.flatnonzero(found == MISSING)
        if absent.size:
            found[absent] = self._add(keys[absent])
        return found

    def of_site(self, tenant: str, site: str) -> NDArray[np.int64]:
        """The series of one site, shape (series,)."""
        if self._sited != len(self):
            self._group_by_site()
        return self._by_site.get(f"{tenant}/{site}", np.empty(0, np.int64))

    def name(self, series: int) -> tuple[DeviceKey, MetricKey]:
        """Whose it is, and what it measures."""
        device, metric = self.devices.names[self.device[series]], self.metrics.names[self.metric[series]]
        assert device is not None
        assert metric is not None
        return device, metric

    def room_for(self, batch: RollupBatch) -> bool:
        """Whether all rows of a batch would find room, were they all new."""
        return len(self) + len(batch) <= self._most

    def keep(self, kept: NDArray[np.int64]) -> None:
        """Only these series go on, under new numbers, in this order."""
        self.device, self.metric, self.end = self.device[kept], self.metric[kept], self.end[kept]
        self.previous = {name: column[kept] for name, column in self.previous.items()}
        for ids, column in ((self.devices, self.device), (self.metrics, self.metric)):
            used = np.zeros(len(ids.names), np.bool_)
            used[column] = True
            ids.keep(used)
        self.attributes = {n: row for n, row in self.attributes.items() if self.devices.names[n] is not None}
        self._tables.clear()
        self.version += 1
        self._reindex()

    def names(self) -> bytes:
        """Who the series are, as MessagePack."""
        n = len(self)
        return msgspec.msgpack.encode(
            _Names(
                self.devices.names,
                self.metrics.names,
                self.device[:n].tobytes(),
                self.metric[:n].tobytes(),
                self.attributes,
            )
        )

    def marks(self) -> dict[str, bytes]:
        """When each was heard and what it said, by column."""
        n = len(self)
        columns = {name: column[:n].tobytes() for name, column in self.previous.items()}
        return columns | {"end": self.end[:n].tobytes()}

    def load(self, names: bytes, marks: dict[str, bytes]) -> None:
        """Continue from a dump."""
        known = msgspec.msgpack.decode(names, type=_Names)
        self.devices, self.metrics = DenseIds(known.devices), DenseIds(known.metrics)
        self.device, self.metric = (np.frombuffer(column, np.int64).copy() for column in (known.device, known.metric))
        self.attributes = known.attributes
        self.end = np.frombuffer(marks["end"], np.int64).copy()
        self.previous = {
            name: np.frombuffer(marks[name], np.float64).copy() if name in marks else np.full(len(self.end), np.nan)
            for name in self.previous
        }
        self._reindex()

    def _device_numbers(self, batch: RollupBatch) -> NDArray[np.int64]:
        # A gateway's batches mostly name the same devices in the same order: then nothing needs to be looked up.
        rows, before = batch.column("device"), self._tables.get(batch.origin[:3])
        if before is not None and before[0] == batch.devices and (before[1][rows] != MISSING).all():
            return before[1]
        tenant, site = batch.origin.tenant, batch.origin.site
        numbers = self.devices.numbers((DeviceKey(tenant, site, row.device) for row in batch.devices), rows)
        for number, row in zip(numbers.tolist(), batch.devices, strict=True):
            if number != MISSING:
                self.attributes[number] = row
        self._tables[batch.origin[:3]] = batch.devices, numbers
        return numbers

    def _add(self, keys: NDArray[np.int64]) -> NDArray[np.int32]:
        distinct, inverse = np.unique(keys, return_inverse=True)
        taken = min(len(distinct), self._most - len(self))
        first = len(self)
        series = np.full(len(distinct), MISSING, np.int32)
        series[:taken] = np.arange(first, first + taken)
        self._grow_to(first + taken)
        self.device[first : first + taken], self.metric[first : first + taken] = split_keys(distinct[:taken])
        self._index.insert(distinct[:taken], series[:taken])
        return series[inverse]

    def _grow_to(self, size: int) -> None:
        if size <= len(self.end):
            return
        room = max(size, 2 * len(self.end), _FIRST) - len(self.end)
        self.device, self.metric, self.end = (_longer(c, room, 0) for c in (self.device, self.metric, self.end))
        self.previous = {name: _longer(column, room, np.nan) for name, column in self.previous.items()}

    def _reindex(self) -> None:
        self._index = PairIndex(pair_keys(self.device, self.metric), np.arange(len(self.device), dtype=np.int32))
        self._sited = -1

    def _group_by_site(self) -> None:
        self._sited = len(self)
        places: dict[str, int] = {}
        numbers = [
            places.setdefault(f"{name.tenant}/{name.site}" if name else "", len(places)) for name in self.devices.names
        ]
        site = np.array(numbers, np.int64)[self.device[: len(self)]] if numbers else np.empty(0, np.int64)
        order = np.argsort(site, kind="stable")
        bounds = np.searchsorted(site[order], np.arange(len(places) + 1))
        self._by_site = {place: order[bounds[n] : bounds[n + 1]] for place, n in places.items()}


class _Names(msgspec.Struct, array_like=True):
    devices: list[DeviceKey | None]
    metrics: list[MetricKey | None]
    device: bytes
    metric: bytes
    attributes: dict[int, DeviceRow]


def _longer(column: NDArray[Any], room: int, fresh: float) -> NDArray[Any]:
    return np.concatenate([column, np.full(room, fresh, column.dtype)])
