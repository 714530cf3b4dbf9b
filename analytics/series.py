"""The series table: dense ids for (device, metric, labels), and one array per thing that is remembered of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from analytics.dense_ids import DenseIds
from analytics.detectors.profile import SLOTS, UNKNOWN
from analytics.detectors.signals import MEMORIES, SIGNALS
from analytics.pair_index import MISSING, PairIndex, pair_keys, split_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ingest.contract.batch import DeviceRow, RollupBatch

NONE = np.uint32(0xFFFFFFFF)
"""The device of a slot that is free."""
UNASSIGNED = -1
"""The cohort of a series that has not been put into one yet."""


class Column(NamedTuple):
    """What is remembered of a series: `parts` numbers of `dtype`, arrays of shape (series,), or (parts, series) if many."""

    dtype: str
    fresh: float = 0
    parts: int = 1


COLUMNS: dict[str, Column] = {
    "device": Column("<u4", 0xFFFFFFFF),
    "metric": Column("<u4"),
    "cohort": Column("<i2", UNASSIGNED),
    "width": Column("<u4"),
    "kind": Column("u1"),
    "last_end": Column("<i8"),
    "previous": Column("<f8", np.nan),
    "resolution": Column("<f4", 1),
    "alarm": Column("u1"),
    "calm": Column("u1"),
    # robust level and scale
    "origin": Column("<f4"),
    "level": Column("<f4"),
    "scale": Column("<f4"),
    "samples": Column("<f4"),
    "seen": Column("u1"),
    "rises": Column("u1"),
    "falls": Column("u1"),
    "bin_1": Column("u1"),
    "bin_2": Column("u1"),
    "peak": Column("u1"),
    "quiet": Column("u1"),
    # novelty
    "windows": Column("<u2"),
    "means": Column("<f4", 0, len(MEMORIES)),
    "restless": Column("<f4"),
    "profile_mean": Column("<f4"),
    "low": Column("<f4", np.inf, SIGNALS),
    "high": Column("<f4", -np.inf, SIGNALS),
    "newest": Column("<f4"),
    "records": Column("<u2"),
    "excess": Column("<f4"),
    # stuck values
    "repeats": Column("<u2"),
    "longest_run": Column("<u2"),
    "changes": Column("u1"),
    # silence beside a device that talks
    "absent": Column("u1"),
    "longest_gap": Column("<u2"),
    # means of many windows
    "slow_seen": Column("<u2"),
    "slow_level": Column("<f4"),
    "slow_scale": Column("<f4"),
    "lean": Column("<f4"),
    "unrest": Column("<f4"),
    "usual_unrest": Column("<f4"),
    "unrest_spread": Column("<f4"),
    "drift_peak": Column("u1"),
    "unrest_peak": Column("u1"),
    # profile of the week
    "expected": Column("<f4", np.nan),
    "hour_sum": Column("<f4"),
    "hour_windows": Column("<u2"),
    "profile": Column("u1", UNKNOWN, SLOTS),
    "profile_low": Column("<f4"),
    "profile_width": Column("<f4"),
}
"""Times in ms; numbers of the value's unit are distances from `origin`, its first value. `bin_*` and `peak` are
histogram bins of surprise: of the last two windows, and the highest of a run of remarkable ones. `seen`: windows that the level rests on, `windows`: those that novelty has seen; `newest`: the fading peak of novelty.
"""

FORGET_SHARE = 16
"""When the table is full, one in so many series is forgotten at a time: the longest silent."""

LARGE = 1_000_000
"""Slots of a table that no longer doubles when it is full, but takes room for all: memory comes as it is written to."""

State = dict[str, "NDArray[Any]"]


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
    """At most `max_series` series; when full, those longest silent (`forget_after_ms`, not in alarm) make room."""

    def __init__(self, max_series: int, forget_after_ms: int) -> None:
        self._max, self._forget_after_ms = max_series, forget_after_ms
        self.columns = fresh_columns(min(max_series, 1024))
        self.devices: DenseIds[DeviceKey] = DenseIds()
        self.metrics: DenseIds[MetricKey] = DenseIds()
        self._tables: dict[tuple[str, ...], tuple[list[DeviceRow], NDArray[np.int64]]] = {}
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
            found[absent] = self._add(keys[absent], newest, in_use=found[found != MISSING])
        return Resolved(found, devices, fresh)

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
        self.columns = fresh_columns(max(self._high, min(self._max, 1024)))
        for name, column in self.columns.items():
            stored = np.frombuffer(content.columns[name], column.dtype)
            column[..., : self._high] = stored.reshape(*column.shape[:-1], self._high)
        self.devices, self.metrics = DenseIds(content.devices), DenseIds(content.metrics)
        self._reindex()

    def _device_numbers(self, batch: RollupBatch) -> tuple[NDArray[np.int64], NDArray[np.integer[Any]]]:
        # A gateway's batches mostly name the same devices in the same order: then only those are looked up that speak for
        # the first time.
        rows, before = batch.column("device"), self._tables.get(batch.origin[:3])
        tenant, site = batch.origin.tenant, batch.origin.site
        if before is not None and before[0] == batch.devices:
            numbers = before[1]
            fresh = np.unique(rows[numbers[rows] == MISSING])
            numbers[fresh] = [self.devices.get(DeviceKey(tenant, site, batch.devices[row].device)) for row in fresh]
            return numbers, fresh
        numbers = self.devices.numbers((DeviceKey(tenant, site, row.device) for row in batch.devices), rows)
        self._tables[batch.origin[:3]] = batch.devices, numbers
        return numbers, np.flatnonzero(numbers != MISSING)

    def _add(self, keys: NDArray[np.int64], newest: int, in_use: NDArray[np.int32]) -> NDArray[np.int32]:
        # Numbered as they come, so that what comes together mostly lies together.
        ordered, first, places = np.unique(keys, return_index=True, return_inverse=True)
        order = np.argsort(first)
        distinct, inverse = ordered[order], np.argsort(order)[places]
        missing = len(distinct) - (self._max - len(self))
        if missing > 0:
            self._forget(max(missing, self._max // FORGET_SHARE), newest, in_use)
        taken = min(len(distinct), self._max - len(self))
        series = np.full(len(distinct), MISSING, np.int32)
        series[:taken] = self._slots(taken)
        self._fill(series[:taken], distinct[:taken])
        if missing > 0:
            self._forget_names()  # only now: the new series' names are in use
        return series[inverse]

    def _fill(self, series: NDArray[np.int32], keys: NDArray[np.int64]) -> None:
        self.reset(series, COLUMNS)
        self.columns["device"][series], self.columns["metric"][series] = split_keys(keys)
        self._index.insert(keys, series)

    def _slots(self, count: int) -> NDArray[np.int64]:
        reused, self._free = self._free[:count], self._free[count:]
        first = self._high
        self._high += count - len(reused)
        if self._high > len(self.columns["device"]):
            self._grow()
        return np.concatenate([reused, np.arange(first, self._high)])

    def _grow(self) -> None:
        # Column by column, so that only one is there twice. What is beyond the series that are there is never read.
        slots = len(self.columns["device"])
        size = self._max if slots >= LARGE else min(self._max, max(self._high, 2 * slots))
        for name, column in COLUMNS.items():
            grown = np.empty(_shape(column, size), column.dtype)
            grown[..., :slots] = self.columns[name]
            self.columns[name] = grown

    def _forget(self, wanted: int, newest: int, in_use: NDArray[np.int32]) -> None:
        last_end, alarm = self.columns["last_end"][: self._high], self.columns["alarm"][: self._high]
        silent = self._occupied() & (last_end < newest - self._forget_after_ms) & (alarm == 0)
        silent[in_use] = False
        candidates = np.flatnonzero(silent)
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


def fresh_columns(series: int) -> State:
    """The columns of so many series of which nothing is known."""
    return {name: np.full(_shape(column, series), column.fresh, column.dtype) for name, column in COLUMNS.items()}


def _shape(column: Column, series: int) -> tuple[int, ...]:
    return (series,) if column.parts == 1 else (column.parts, series)
