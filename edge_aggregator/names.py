"""The dictionary of a gateway: devices and series as dense integers, with what a window needs to know of a series."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from edge_aggregator.widths import Widths

UPTIME_METRIC = "uptime_s"
"""Seconds since boot: when it falls, the device has rebooted."""

NEVER = np.iinfo(np.int64).max


class SeriesName(NamedTuple):
    """What identifies a series: the device's id, the metric, and sorted (name, value) pairs."""

    device: int
    metric: str
    labels: tuple[tuple[str, str], ...] = ()


class MetricName(NamedTuple):
    """What series of several devices have in common."""

    metric: str
    labels: tuple[tuple[str, str], ...] = ()


class SeriesRow(NamedTuple):
    """A series as it is saved: before `switch` (ms) its windows have `width`, from then on `next_width`."""

    id: int
    name: SeriesName
    width: int
    next_width: int
    switch: int


_UNKNOWN = SeriesName(0, "")


class Names:
    """Devices and series by id; ids are given in order and never again.

    `columns` has one row a series: device, metric (an index into `metrics`), width, next_width, switch (ms), uptime.
    """

    def __init__(self, widths: Widths, *, max_devices: int, max_series: int) -> None:
        self.devices: list[str] = []
        self.series: list[SeriesName] = []
        self.metrics: list[MetricName] = []
        self.columns = Columns(
            {
                "device": ("u4", 0),
                "metric": ("u4", 0),
                "width": ("i8", 1),
                "next_width": ("i8", 1),
                "switch": ("i8", NEVER),
                "uptime": ("?", 0),
            }
        )
        self._widths, self._max_devices, self._max_series = widths, max_devices, max_series
        self._device_ids: dict[str, int] = {}
        self._series_ids: dict[SeriesName, int] = {}
        self._metric_ids: dict[MetricName, int] = {}
        self._switching = False

    def device_id(self, name: str) -> int | None:
        """The device's id, a new one if need be; None when there are too many devices."""
        known = self._device_ids.get(name)
        if known is not None or len(self.devices) >= self._max_devices:
            return known
        self.define_device(len(self.devices), name)
        return len(self.devices) - 1

    def series_id(self, name: SeriesName) -> int | None:
        """The series' id, a new one if need be; None when there are too many series."""
        known = self._series_ids.get(name)
        if known is not None or len(self.series) >= self._max_series:
            return known
        self.define_series([self._plain(len(self.series), name)])
        return len(self.series) - 1

    def find_device(self, name: str) -> int | None:
        """The id of a known device."""
        return self._device_ids.get(name)

    def define_device(self, device: int, name: str) -> None:
        """Take over a saved device."""
        self.devices += [""] * (device + 1 - len(self.devices))
        self.devices[device] = name
        self._device_ids[name] = device

    def define_series(self, rows: Sequence[SeriesRow]) -> None:
        """Take over series; those that are known already stay as they are."""
        fresh = [row for row in rows if row.name not in self._series_ids]
        if not fresh:
            return
        size = max(len(self.series), *(row.id + 1 for row in fresh))
        self.series += [_UNKNOWN] * (size - len(self.series))
        self.columns.grow_to(size)
        for row in fresh:
            self.series[row.id] = row.name
            self._series_ids[row.name] = row.id
        ids = [row.id for row in fresh]
        self.columns["device"][ids] = [row.name.device for row in fresh]
        self.columns["metric"][ids] = [self._metric_id(row.name) for row in fresh]
        self.columns["uptime"][ids] = [row.name.metric == UPTIME_METRIC for row in fresh]
        for column in ("width", "next_width", "switch"):
            self.columns[column][ids] = [getattr(row, column) for row in fresh]
        self._switching = self._switching or any(row.switch != NEVER for row in fresh)

    def define_plain(self, series: Iterable[tuple[int, SeriesName]]) -> None:
        """Take over series of which only the names were saved: their widths are what the configuration says."""
        self.define_series([self._plain(number, name) for number, name in series])

    def row(self, series: int) -> SeriesRow | None:
        """A series as it is to be saved; None for an id that names nothing."""
        if self.series[series] == _UNKNOWN:
            return None
        width, next_width, switch = (int(self.columns[name][series]) for name in ("width", "next_width", "switch"))
        return SeriesRow(series, self.series[series], width, next_width, switch)

    def starts(self, series: NDArray[np.int64], ts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Start and width (ms) of the window of each sample, shape (n,) each; windows are aligned to the epoch."""
        width: NDArray[np.int64] = self.columns["width"][series]
        if self._switching:
            width = np.where(ts < self.columns["switch"][series], width, self.columns["next_width"][series])
        return ts - ts % width, width

    def adopt_widths(self, newest: NDArray[np.int64]) -> list[int]:
        """Let configured widths that differ take effect where windows of both widths begin; which series changed.

        `newest`, shape (devices,): no window that began later than this exists yet.
        """
        wanted = np.array([self._widths.of(metric.metric) for metric in self.metrics], np.int64)
        if not len(self.series):
            return []
        differs = wanted[self.columns["metric"]] != self.columns["next_width"]
        changed: list[int] = [series for series in np.flatnonzero(differs).tolist() if self.row(series)]
        for series in changed:
            device = self.series[series].device
            newest_there = int(newest[device]) if device < len(newest) else 0
            self._switch(series, int(wanted[self.columns["metric"][series]]), newest_there)
        return changed

    def _plain(self, series: int, name: SeriesName) -> SeriesRow:
        width = self._widths.of(name.metric)
        return SeriesRow(series, name, width, width, NEVER)

    def _metric_id(self, name: SeriesName) -> int:
        metric = MetricName(name.metric, name.labels)
        known = self._metric_ids.setdefault(metric, len(self.metrics))
        if known == len(self.metrics):
            self.metrics.append(metric)
        return known

    def _switch(self, series: int, wanted: int, newest: int) -> None:
        columns = self.columns
        if newest >= columns["switch"][series]:  # the change before this one is over
            columns["width"][series] = columns["next_width"][series]
        both = math.lcm(int(columns["width"][series]), wanted)
        columns["next_width"][series] = wanted
        columns["switch"][series] = (max(newest, 0) // both + 1) * both
        self._switching = True
