"""The series table: dense ids for (device, metric, labels), and one array per thing that is remembered of a series."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from analytics.columns import COLUMNS, NONE, Columns
from analytics.dense_ids import DenseIds
from analytics.gateway_table import GatewayTable
from analytics.pair_index import MISSING, PairIndex, pair_keys, split_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch

FORGET_SHARE = 16
"""When the table is full, one in so many series is forgotten at a time: the longest silent."""

RESERVED_SHARE = 16
"""For one in so many rows of tables that are new, series are numbered that have no row yet."""

LARGE = 1_000_000
"""Slots of a table that no longer doubles when it is full, but takes room for all: memory comes as it is written to."""


class DeviceKey(NamedTuple):
    """A device, unique over tenants and sites."""

    tenant: str
    site: str
    device: str


class MetricKey(NamedTuple):
    """What a device measures."""

    name: str
    labels: tuple[tuple[str, str], ...]


class Resolved(NamedTuple):
    """`series` of each row, shape (rows,), int32, `MISSING` where the table is full.

    `devices` of each device of the batch's table, shape (devices,), int64, `MISSING` where no row is of that device;
    `fresh`: the devices of that table, by row of it, whose attributes may be others than in the gateway's batch before.
    """

    series: NDArray[np.int32]
    devices: NDArray[np.int64]
    fresh: NDArray[np.integer[Any]]


class SeriesTable:
    """At most `max_series` series, `max_of_tenant` of each tenant (0: no fewer).

    Where there is no room, those longest silent (`forget_after_ms`, not in alarm) make some; for want of a tenant's, of its own.
    """

    def __init__(self, max_series: int, forget_after_ms: int, max_of_tenant: int = 0) -> None:
        self._max, self._forget_after_ms = max_series, forget_after_ms
        self._max_of_tenant, self._of_tenant = max_of_tenant or max_series, Counter[str]()
        self.columns = Columns(min(max_series, 1024))
        self.devices: DenseIds[DeviceKey] = DenseIds()
        self.metrics: DenseIds[MetricKey] = DenseIds()
        self._tables: dict[tuple[str, ...], GatewayTable] = {}
        self._index = PairIndex()
        self._high = 0
        self._free: NDArray[np.int64] = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._index)

    @property
    def high(self) -> int:
        """All series are numbered below this."""
        return self._high

    def resolve(self, batch: RollupBatch) -> Resolved:
        """The numbers that the batch's rows and devices have here; each is looked up once."""
        table = self._tables.get(batch.origin[:3])
        known = None if table is None else table.find(batch)
        if table is not None and known is not None:
            return Resolved(known, table.numbers, np.empty(0, np.int64))
        resolved = self._look_up(batch)
        if batch.origin[:3] in self._tables:  # not so when names were forgotten meanwhile
            self._tables[batch.origin[:3]] = self._tables[batch.origin[:3]].learn(batch, resolved.series)
        return resolved

    def reset(self, series: NDArray[np.integer[Any]], names: Iterable[str]) -> None:
        """Set the named columns of these series to what a fresh series has."""
        for name in names:
            self.columns[name][..., series] = COLUMNS[name].fresh

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        columns = {name: column[..., : self._high].tobytes() for name, column in self.columns.items()}
        return msgspec.msgpack.encode((self._high, columns, self.devices.names, self.metrics.names))

    def load(self, dumped: bytes) -> None:
        """Continue from a dump."""
        content = msgspec.msgpack.decode(dumped, type=_Dump)
        self._high = content.high
        self.columns = Columns(max(self._high, min(self._max, 1024)))
        for name, column in self.columns.items():
            stored = np.frombuffer(content.columns[name], column.dtype)
            column[..., : self._high] = stored.reshape(*column.shape[:-1], self._high)
        self.devices, self.metrics = DenseIds(content.devices), DenseIds(content.metrics)
        self._reindex()

    def _look_up(self, batch: RollupBatch) -> Resolved:
        devices, fresh = self._device_numbers(batch)
        metric_keys = (MetricKey(row.name, row.labels) for row in batch.metrics)
        metrics = self.metrics.numbers(metric_keys, batch.column("metric"))
        if not len(batch):
            return Resolved(np.empty(0, np.int32), devices, fresh)
        keys = pair_keys(devices[batch.column("device")], metrics[batch.column("metric")])
        found = self._index.find(keys)
        absent = np.flatnonzero(found == MISSING)
        if absent.size:
            newest = int((batch.column("start") + batch.column("width")).max())
            found[absent] = self._add(batch.origin.tenant, keys[absent], newest, in_use=found[found != MISSING])
            if len(absent) * 2 > len(batch) and found.min() != MISSING:
                named, pairs = metrics[metrics != MISSING], len(np.unique(keys))
                fresh = np.concatenate([fresh, self._reserve(batch, devices, named, pairs)])
        return Resolved(found, devices, fresh)

    def _reserve(
        self, batch: RollupBatch, devices: NDArray[np.int64], metrics: NDArray[np.int64], pairs: int
    ) -> NDArray[np.int64]:
        # Of tables that are new, those few pairs are numbered too that are not among the `pairs` of the rows: what comes later
        # lies with the others then. The rows of the devices that are numbered for it.
        spare = len(devices) * len(metrics) - pairs
        tenant, site = batch.origin.tenant, batch.origin.site
        if spare > min(len(batch) // RESERVED_SHARE, self._room(tenant)):
            return np.empty(0, np.int64)
        silent = np.flatnonzero(devices == MISSING)
        devices[silent] = [self.devices.get(DeviceKey(tenant, site, batch.devices[row].device)) for row in silent]
        keys = pair_keys(np.tile(devices, len(metrics)), np.repeat(metrics, len(devices)))
        keys = keys[self._index.find(keys) == MISSING]
        self._fill(tenant, self._slots(len(keys)).astype(np.int32), keys)
        return silent

    def _device_numbers(self, batch: RollupBatch) -> tuple[NDArray[np.int64], NDArray[np.integer[Any]]]:
        # A gateway's batches mostly name the same devices in the same order: then only those are looked up that speak for
        # the first time.
        rows, before = batch.column("device"), self._tables.get(batch.origin[:3])
        tenant, site = batch.origin.tenant, batch.origin.site
        if before is not None and before.devices == batch.devices:
            numbers = before.numbers
            fresh = np.unique(rows[numbers[rows] == MISSING])
            numbers[fresh] = [self.devices.get(DeviceKey(tenant, site, batch.devices[row].device)) for row in fresh]
            return numbers, fresh
        numbers = self.devices.numbers((DeviceKey(tenant, site, row.device) for row in batch.devices), rows)
        self._tables[batch.origin[:3]] = GatewayTable.of(batch, numbers)
        return numbers, np.flatnonzero(numbers != MISSING)

    def _room(self, tenant: str) -> int:
        return min(self._max - len(self), self._max_of_tenant - self._of_tenant[tenant])

    def _add(self, tenant: str, keys: NDArray[np.int64], newest: int, in_use: NDArray[np.int32]) -> NDArray[np.int32]:
        # Numbered as they come, so that what comes together mostly lies together.
        ordered, first, places = np.unique(keys, return_index=True, return_inverse=True)
        order = np.argsort(first)
        distinct, inverse = ordered[order], np.argsort(order)[places]
        missing = len(distinct) - self._room(tenant)
        if missing > 0:
            self._make_room(tenant, len(distinct), newest, in_use)
        taken = max(0, min(len(distinct), self._room(tenant)))
        series = np.full(len(distinct), MISSING, np.int32)
        series[:taken] = self._slots(taken)
        self._fill(tenant, series[:taken], distinct[:taken])
        if missing > 0:
            self._forget_names()  # only now: the new series' names are in use
        return series[inverse]

    def _fill(self, tenant: str, series: NDArray[np.int32], keys: NDArray[np.int64]) -> None:
        self.reset(series, COLUMNS)
        self.columns["device"][series], self.columns["metric"][series] = split_keys(keys)
        self._index.insert(keys, series)
        self._of_tenant[tenant] += len(keys)

    def _slots(self, count: int) -> NDArray[np.int64]:
        reused, self._free = self._free[:count], self._free[count:]
        first = self._high
        self._high += count - len(reused)
        if self._high > len(self.columns["device"]):
            self._grow()
        return np.concatenate([reused, np.arange(first, self._high)])

    def _grow(self) -> None:
        slots = len(self.columns["device"])
        self.columns.grow(self._max if slots >= LARGE else min(self._max, max(self._high, 2 * slots)))

    def _make_room(self, tenant: str, wanted: int, newest: int, in_use: NDArray[np.int32]) -> None:
        # A tenant that has as much as it may makes room with its own.
        missing = wanted - (self._max_of_tenant - self._of_tenant[tenant])
        if missing > 0:
            mine = np.array([name is not None and name.tenant == tenant for name in self.devices.names], np.bool_)
            self._forget(max(missing, self._max_of_tenant // FORGET_SHARE), newest, in_use, mine)
        missing = wanted - (self._max - len(self))
        if missing > 0:
            everyone = np.ones(len(self.devices.names), np.bool_)
            self._forget(max(missing, self._max // FORGET_SHARE), newest, in_use, everyone)

    def _forget(self, wanted: int, newest: int, in_use: NDArray[np.int32], devices: NDArray[np.bool_]) -> None:
        last_end, alarm = self.columns["last_end"][: self._high], self.columns["alarm"][: self._high]
        silent = self._occupied() & (last_end < newest - self._forget_after_ms) & (alarm == 0)
        silent[in_use] = False
        candidates = np.flatnonzero(silent)
        candidates = candidates[devices[self.columns["device"][candidates]]]
        oldest = candidates[np.argsort(last_end[candidates], kind="stable")[:wanted]]
        if oldest.size:
            self.columns["device"][oldest] = NONE
            self._reindex()

    def _reindex(self) -> None:
        occupied = self._occupied()
        series = np.flatnonzero(occupied)
        keys = pair_keys(*(self.columns[name][series].astype(np.int64) for name in ("device", "metric")))
        self._index = PairIndex(keys, series.astype(np.int32))
        self._free = np.flatnonzero(~occupied)
        self._of_tenant.clear()
        of_device = np.bincount(self.columns["device"][series], minlength=len(self.devices.names))
        for name, count in zip(self.devices.names, of_device.tolist(), strict=True):
            if name is not None:
                self._of_tenant[name.tenant] += count

    def _forget_names(self) -> None:
        self._tables.clear()
        series = np.flatnonzero(self._occupied())
        for names, column in ((self.devices, "device"), (self.metrics, "metric")):
            used = np.zeros(len(names.names), np.bool_)
            used[self.columns[column][series]] = True
            names.keep(used)

    def _occupied(self) -> NDArray[np.bool_]:
        occupied: NDArray[np.bool_] = self.columns["device"][: self._high] != NONE
        return occupied


class _Dump(msgspec.Struct, array_like=True):
    high: int
    columns: dict[str, bytes]
    devices: list[DeviceKey | None]
    metrics: list[MetricKey | None]
