"""The dictionary of a gateway: devices and series as dense integers, with what a window needs to know of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.aspects import Aspects
from edge_aggregator.columns import Columns
from edge_aggregator.metric_facts import OVERFLOW_METRIC, Facts, MetricFacts
from edge_aggregator.metric_names import MetricNames
from edge_aggregator.quotas.places import Places
from edge_aggregator.series_names import UNKNOWN, SeriesIndex, SeriesName, SeriesNames
from edge_aggregator.width_switches import NEVER, WidthSwitches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from edge_aggregator.widths import Widths

__all__ = ["Names", "SeriesName", "SeriesRow"]


class SeriesRow(NamedTuple):
    """A series as it is saved: before `switch` (ms) its windows have `width`, from then on `next_width`."""

    id: int
    name: SeriesName
    width: int
    next_width: int
    switch: int


_ROWS_AT_ONCE = 1024
_MOST_IDS = 1 << 22  # a window's key has room for no more


class Names:
    """Devices and series by id; ids are given in order and never again.

    `columns` has one row a series: device, metric (an index into `metrics`), named; width, next_width, switch and since,
    which are those of `widths`; and its metric's `Facts`: uptime, overflow, `aspect` (what is asked of its windows), `reach`
    (how far before a window, in ms, the sample before it may lie), `early` (after how long, in ms, a window is shown before
    it ends, 0 for never), and the widths (ms) `configured` and, while it is quiet, `quiet` (0 for the configured one).
    `places` says which series may take samples; those without a place keep their ids while the journal has samples of
    them. `overflowing`: whether there is an overflow series at all; `asking`: whether any has an aspect; `showing`: whether
    windows of any are shown before they end.
    """

    def __init__(
        self,
        widths: Widths,
        *,
        max_devices: int,
        max_series: int,
        per_device: int = 0,
        aspects: Aspects | None = None,
    ) -> None:
        self.devices: list[str] = []
        self.columns = Columns(
            {
                "device": ("u4", 0),
                "metric": ("u4", 0),
                "named": ("?", 0),
                "width": ("i8", 1),
                "next_width": ("i8", 1),
                "switch": ("i8", NEVER),
                "since": ("i8", -1),
                "uptime": ("?", 0),
                "overflow": ("?", 0),
                "aspect": ("u1", 0),
                "reach": ("i8", 0),
                "early": ("i8", 0),
                "quiet": ("i8", 0),
                "configured": ("i8", 1),
            }
        )
        self.places = Places(max_series, per_device)
        self.facts = MetricFacts(widths, aspects or Aspects())
        self.widths = WidthSwitches(self.columns)
        self.overflowing = self.asking = self.showing = False
        self._max_devices = max_devices
        self._device_ids: dict[str, int] = {}
        self._nameless: set[int] = set()
        self._series_ids = SeriesIndex()
        self._metrics = MetricNames()
        self.metrics = self._metrics.names
        self.series = SeriesNames(self.columns, self.metrics)

    def device_id(self, name: str) -> int | None:
        """The device's id, a new one if need be; None when there are too many devices."""
        known = self._device_ids.get(name)
        if known is not None or len(self.devices) >= self._max_devices:
            return known
        self.define_device(len(self.devices), name)
        return len(self.devices) - 1

    def series_id(self, name: SeriesName) -> int | None:
        """The series' id, a new one if need be; None when there are too many series, of its device or in all."""
        return self._placed(name, for_overflow=False)

    def welcome(self, names: Sequence[SeriesName]) -> None:
        """Give ids to what is new among these series of one device, as far as there is room: `series_id` finds them then.

        Ten at once cost hardly more than one.
        """
        fresh = [name for name in names if self.find_series(name) is None]
        if fresh:
            room = min(self.places.room_of(fresh[0].device), _MOST_IDS - len(self.series))
            self._add([self._plain(number, name) for number, name in enumerate(fresh[:room], len(self.series))])

    def overflow_id(self, device: int) -> int:
        """The id of a device's overflow series; -1 when there is no place even for that."""
        found = self._placed(SeriesName(device, OVERFLOW_METRIC), for_overflow=True)
        return -1 if found is None else found

    def overflows(self, series: NDArray[np.int64]) -> bool:
        """Whether one of these is an overflow series."""
        return self.overflowing and bool(self.columns["overflow"][series].any())

    def find_series(self, name: SeriesName) -> int | None:
        """The id of a known series, whether or not it has a place."""
        metric = self._metrics.find(name.metric, name.labels)
        return None if metric is None else self._series_ids.find(name.device, metric)

    def _placed(self, name: SeriesName, *, for_overflow: bool) -> int | None:
        known = self.find_series(name)
        if known is not None and self.places.holds(known):
            return known
        if not self.places.room(name.device, for_overflow=for_overflow):
            return None
        if known is not None:  # back after a long silence, under its old id
            self.places.take(known, name.device)
            return known
        if len(self.series) >= _MOST_IDS:
            return None
        self._add([self._plain(len(self.series), name)])
        return len(self.series) - 1

    def forget_series(self, series: Sequence[int]) -> list[int]:
        """Forget names that nothing refers to any more, their ids are not given again; which of them were known."""
        known = [number for number, name in zip(series, self.series.of(series), strict=True) if name != UNKNOWN]
        if known:
            self._series_ids.remove(known)
            self.columns["named"][known] = False
            for metric in self.columns["metric"][known].tolist():
                self._metrics.release(metric)
            self.columns["metric"][known] = 0
        self.places.columns["block"][series] = NEVER
        return known

    def grow_to(self, series: int) -> None:
        """Give no id below this one: it names something already, or did once."""
        self.columns.grow_to(series)
        self.places.columns.grow_to(series)

    def have_names(self, series: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these ids, shape (n,), name a series of a device that has a name."""
        known = series < len(self.series)
        if not known.any():
            return known
        within = np.where(known, series, 0)
        device = self.columns["device"][within]
        found: NDArray[np.bool_] = known & self.columns["named"][within] & (device < len(self.devices))
        return found & ~np.isin(device, list(self._nameless)) if self._nameless else found

    def find_device(self, name: str) -> int | None:
        """The id of a known device."""
        return self._device_ids.get(name)

    def define_device(self, device: int, name: str) -> None:
        """Take over a saved device."""
        self._nameless.update(range(len(self.devices), device))
        self._nameless.discard(device)
        self.devices += [""] * (device + 1 - len(self.devices))
        self.devices[device] = name
        self._device_ids[name] = device

    def define_series(self, rows: Sequence[SeriesRow]) -> None:
        """Take over series; those that are known already stay as they are."""
        self._add([row for row in rows if self.find_series(row.name) is None])

    def _add(self, fresh: Sequence[SeriesRow]) -> None:
        if not fresh:
            return
        self.grow_to(max(row.id + 1 for row in fresh))
        ids, facts = [row.id for row in fresh], [self.facts.of(row.name.metric) for row in fresh]
        first, end = ids[0], ids[0] + len(ids)
        where = slice(first, end) if ids == list(range(first, end)) else ids
        devices = [row.name.device for row in fresh]
        self.places.take_all(where, devices)
        self.columns["device"][where] = devices
        metrics = self._metrics.take(row.name[1:] for row in fresh)
        self.columns["metric"][where] = metrics
        for device, metric, number in zip(devices, metrics, ids, strict=True):
            self._series_ids.put(device, metric, number)
        self.columns["named"][where] = [bool(row.name.metric) for row in fresh]
        for column, values in zip(Facts._fields, zip(*facts, strict=True), strict=True):
            self.columns[column][where] = values
        self.overflowing = self.overflowing or any(fact.overflow for fact in facts)
        self.showing = self.showing or any(fact.early for fact in facts)
        self.asking = self.asking or any(fact.aspect for fact in facts)
        for column in ("width", "next_width", "switch"):
            self.columns[column][where] = [getattr(row, column) for row in fresh]
        self.widths.defined(where)

    def define_plain(self, series: Iterable[tuple[int, SeriesName]]) -> None:
        """Take over series of which only the names were saved: their widths are what the configuration says."""
        self.define_series([self._plain(number, name) for number, name in series])

    def row(self, series: int) -> SeriesRow | None:
        """A series as it is to be saved; None for an id that names nothing."""
        return next(self.rows([series]), None)

    def rows(self, series: Sequence[int]) -> Iterator[SeriesRow]:
        """`row` of each of these that names something."""
        for first in range(0, len(series), _ROWS_AT_ONCE):
            some = series[first : first + _ROWS_AT_ONCE]
            columns = [self.columns[name][some].tolist() for name in ("width", "next_width", "switch")]
            named = zip(some, self.series.of(some), *columns, strict=True)
            yield from (SeriesRow(*row) for row in named if row[1] != UNKNOWN)

    def configure(self, widths: Widths, aspects: Aspects, *, max_devices: int) -> None:
        """Other wishes from now on; `adopt_aspects` and `widths.adopt` bring them to the series that there are."""
        self.facts, self._max_devices = MetricFacts(widths, aspects), max_devices
        if self.metrics:
            self.columns["configured"][:] = self._each("configured")

    def adopt_aspects(self) -> list[int]:
        """Let configured details that differ take effect at once; which series changed."""
        if not self.metrics:
            return []
        aspect = self._each("aspect")
        changed: list[int] = np.flatnonzero(aspect != self.columns["aspect"]).tolist()
        self.columns["aspect"][:] = aspect
        for column in ("reach", "early", "quiet"):
            self.columns[column][:] = self._each(column)
        self.asking, self.showing = bool(aspect.any()), bool(self.columns["early"].any())
        return changed

    def _each(self, fact: str) -> NDArray[np.int64]:
        return self._metrics.each(lambda metric: int(getattr(self.facts.of(metric), fact)), self.columns["metric"])

    def _plain(self, series: int, name: SeriesName) -> SeriesRow:
        width = self.facts.of(name.metric).configured
        return SeriesRow(series, name, width, width, NEVER)
