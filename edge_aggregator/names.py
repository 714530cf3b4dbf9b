"""The dictionary of a gateway: devices and series as dense integers, with what a window needs to know of a series."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_aggregator.aspects import UPTIME_METRIC, Aspects
from edge_aggregator.columns import Columns
from edge_aggregator.quotas.places import Places
from edge_aggregator.resolution.past_widths import PastWidths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from edge_aggregator.resolution.past_widths import PastWidth
    from edge_aggregator.widths import Widths

OVERFLOW_METRIC = "tidegate_overflow"
"""What exceeds a device's quota is rolled up under this name: every sample counts there, equal timestamps or not."""

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


class Facts(NamedTuple):
    """What the configuration makes of a metric, as in the columns of `Names`."""

    uptime: bool
    overflow: bool
    aspect: int
    reach: int
    early: int
    configured: int
    quiet: int


class SeriesRow(NamedTuple):
    """A series as it is saved: before `switch` (ms) its windows have `width`, from then on `next_width`."""

    id: int
    name: SeriesName
    width: int
    next_width: int
    switch: int


_UNKNOWN, _NO_METRIC = SeriesName(0, ""), MetricName("")
_MOST_FACTS = 4096
_ROWS_AT_ONCE = 1024
_MOST_IDS = 1 << 22  # a window's key has room for no more


class Names:
    """Devices and series by id; ids are given in order and never again.

    `columns` has one row a series: device, metric (an index into `metrics`), named, width, next_width, switch, since (ms; before
    `since` it had other widths, in `past`), uptime, overflow, and what is asked of its windows: `aspect`, and `reach`, how far before a window (ms) the sample before it
    may lie. `places` says which series may take samples; those without a place keep their ids while the journal has
    samples of them. `overflowing`: whether there is an overflow series at all; `asking`: whether any has an aspect;
    `early`, after how long (ms) a window is shown before it ends, 0 for never; `showing`: whether any is;
    `quiet`, the width (ms) of its windows while it is quiet, 0 for the `configured` one.
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
        self.series: list[SeriesName] = []
        self.metrics: list[MetricName] = []
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
        self.aspects = aspects or Aspects()
        self.overflowing = self.asking = self.showing = False
        self._widths, self._max_devices = widths, max_devices
        self._device_ids: dict[str, int] = {}
        self._nameless: set[int] = set()
        self._series_ids: dict[SeriesName, int] = {}
        self._metric_ids: dict[tuple[Any, ...], int] = {}
        self._metric_uses: Counter[int] = Counter()
        self._switching = False
        self._known_facts: dict[str, Facts] = {}
        self.past = PastWidths()

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
        fresh = [name for name in names if name not in self._series_ids]
        if fresh:
            room = min(self.places.room_of(fresh[0].device), _MOST_IDS - len(self.series))
            self.define_plain(enumerate(fresh[:room], len(self.series)))

    def overflow_id(self, device: int) -> int:
        """The id of a device's overflow series; -1 when there is no place even for that."""
        found = self._placed(SeriesName(device, OVERFLOW_METRIC), for_overflow=True)
        return -1 if found is None else found

    def overflows(self, series: NDArray[np.int64]) -> bool:
        """Whether one of these is an overflow series."""
        return self.overflowing and bool(self.columns["overflow"][series].any())

    def find_series(self, name: SeriesName) -> int | None:
        """The id of a known series, whether or not it has a place."""
        return self._series_ids.get(name)

    def _placed(self, name: SeriesName, *, for_overflow: bool) -> int | None:
        known = self._series_ids.get(name)
        if known is not None and self.places.holds(known):
            return known
        if not self.places.room(name.device, for_overflow=for_overflow):
            return None
        if known is not None:  # back after a long silence, under its old id
            self.places.take(known, name.device)
            return known
        if len(self.series) >= _MOST_IDS:
            return None
        self.define_series([self._plain(len(self.series), name)])
        return len(self.series) - 1

    def forget_series(self, series: Sequence[int]) -> list[int]:
        """Forget names that nothing refers to any more, their ids are not given again; which of them were known."""
        known = [number for number in series if self.series[number] != _UNKNOWN]
        for number in known:
            del self._series_ids[self.series[number]]
            self.series[number] = _UNKNOWN
            self._release_metric(int(self.columns["metric"][number]))
        self.columns["metric"][known] = 0
        self.columns["named"][known] = False
        self.places.columns["block"][series] = NEVER
        return known

    def grow_to(self, series: int) -> None:
        """Give no id below this one: it names something already, or did once."""
        self.series += [_UNKNOWN] * (series - len(self.series))
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
        fresh = [row for row in rows if row.name not in self._series_ids]
        if not fresh:
            return
        self.grow_to(max(row.id + 1 for row in fresh))
        for row in fresh:
            self.series[row.id] = row.name
            self._series_ids[row.name] = row.id
        ids, facts = [row.id for row in fresh], [self._facts(row.name.metric) for row in fresh]
        first, end = ids[0], ids[0] + len(ids)
        where = slice(first, end) if ids == list(range(first, end)) else ids
        devices = [row.name.device for row in fresh]
        self.places.take_all(where, devices)
        self.columns["device"][where] = devices
        metrics = [self._metric_id(row.name) for row in fresh]
        self._metric_uses.update(metrics)
        self.columns["metric"][where] = metrics
        self.columns["named"][where] = [bool(row.name.metric) for row in fresh]
        for column, values in zip(Facts._fields, zip(*facts, strict=True), strict=True):
            self.columns[column][where] = values
        self.overflowing = self.overflowing or any(fact.overflow for fact in facts)
        self.showing = self.showing or any(fact.early for fact in facts)
        self.asking = self.asking or any(fact.aspect for fact in facts)
        for column in ("width", "next_width", "switch"):
            self.columns[column][where] = [getattr(row, column) for row in fresh]
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

    def rows(self, series: Sequence[int]) -> Iterator[SeriesRow]:
        """`row` of each of these that names something."""
        for first in range(0, len(series), _ROWS_AT_ONCE):
            some = series[first : first + _ROWS_AT_ONCE]
            columns = [self.columns[name][some].tolist() for name in ("width", "next_width", "switch")]
            named = zip(some, [self.series[number] for number in some], *columns, strict=True)
            yield from (SeriesRow(*row) for row in named if row[1] != _UNKNOWN)

    def starts(self, series: NDArray[np.int64], ts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Start and width (ms) of the window of each sample, shape (n,) each; windows are aligned to the epoch."""
        width: NDArray[np.int64] = self.columns["width"][series]
        if self._switching:
            width = np.where(ts < self.columns["switch"][series], width, self.columns["next_width"][series])
            if len(self.past):
                old = ts < self.columns["since"][series]
                width[old] = self.past.of(series[old], ts[old])
        return ts - ts % width, width

    def adopt_widths(self, newest: NDArray[np.int64], kept: NDArray[np.bool_] | None = None) -> list[int]:
        """Let configured widths that differ take effect where windows of both widths begin; which series changed.

        `newest`, shape (devices,): no window that began later than this exists yet. Series that are `kept`, shape
        (series,), stay as they are.
        """
        if not self.metrics:
            return []
        wanted = self.columns["configured"]
        differs = wanted != self.columns["next_width"]
        if kept is not None:
            differs &= ~kept
        changed = np.array([series for series in np.flatnonzero(differs).tolist() if self.row(series)], np.int64)
        self.switch(changed, wanted[changed], newest)
        return [int(series) for series in changed]

    def configure(self, widths: Widths, aspects: Aspects, *, max_devices: int) -> None:
        """Other wishes from now on; `adopt_aspects` and `adopt_widths` bring them to the series that there are."""
        self._widths, self.aspects, self._max_devices = widths, aspects, max_devices
        self._known_facts.clear()
        if self.metrics:
            self.columns["configured"][:] = self._by_metric(widths.of)

    def adopt_aspects(self) -> list[int]:
        """Let configured details that differ take effect at once; which series changed."""
        if not self.metrics:
            return []
        aspect = self._by_metric(self._aspect)
        changed: list[int] = np.flatnonzero(aspect != self.columns["aspect"]).tolist()
        self.columns["aspect"][:] = aspect
        for column, of in (("reach", self._reach), ("early", self.aspects.early), ("quiet", self.aspects.quiet)):
            self.columns[column][:] = self._by_metric(of)
        self.asking, self.showing = bool(aspect.any()), bool(self.columns["early"].any())
        return changed

    def _by_metric(self, of: Callable[[str], int]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.array([of(one.metric) for one in self.metrics], np.int64)[self.columns["metric"]]
        return found

    def _plain(self, series: int, name: SeriesName) -> SeriesRow:
        width = self._facts(name.metric).configured
        return SeriesRow(series, name, width, width, NEVER)

    def _facts(self, metric: str) -> Facts:
        known = self._known_facts.get(metric)
        if known is None:
            if len(self._known_facts) >= _MOST_FACTS:
                self._known_facts.clear()
            known = self._known_facts[metric] = Facts(
                uptime=metric == UPTIME_METRIC,
                overflow=metric == OVERFLOW_METRIC,
                aspect=self._aspect(metric),
                reach=self._reach(metric),
                early=self.aspects.early(metric),
                configured=self._widths.of(metric),
                quiet=self.aspects.quiet(metric),
            )
        return known

    def _aspect(self, metric: str) -> int:
        return 0 if metric == OVERFLOW_METRIC else self.aspects.of(metric)

    def _reach(self, metric: str) -> int:
        return max(self.aspects.reach_ms, 2 * self._widths.of(metric))

    def _metric_id(self, name: SeriesName) -> int:
        known = self._metric_ids.get(name[1:])  # equal to a MetricName, and made faster
        if known is None:
            known = self._metric_ids[MetricName(name.metric, name.labels)] = len(self.metrics)
            self.metrics.append(MetricName(name.metric, name.labels))
        return known

    def _release_metric(self, metric: int) -> None:
        self._metric_uses[metric] -= 1
        if not self._metric_uses[metric]:
            del self._metric_uses[metric], self._metric_ids[self.metrics[metric]]
            self.metrics[metric] = _NO_METRIC

    def switch(self, series: NDArray[np.int64], wanted: NDArray[np.int64], newest: NDArray[np.int64]) -> None:
        """Let these series have windows of the `wanted` widths (ms), shape (n,), from where windows of both begin.

        `newest` as in `adopt_widths`.
        """
        if not len(series):
            return
        columns = self.columns
        device = columns["device"][series]
        reached = np.where(device < len(newest), newest[np.minimum(device, len(newest) - 1)], 0) if len(newest) else 0
        over = reached >= columns["switch"][series]  # the change before this one is over
        past = series[over]
        self.past.add(past, columns["switch"][past], columns["width"][past])
        columns["since"][past] = columns["switch"][past]
        columns["width"][past] = columns["next_width"][past]
        both = np.lcm(columns["width"][series], wanted)
        columns["next_width"][series] = wanted
        columns["switch"][series] = (np.maximum(reached, 0) // both + 1) * both
        self._switching = True

    def load_past(self, rows: list[PastWidth]) -> None:
        """Take over the widths that series had before."""
        series, until = self.past.load(rows)
        self.columns["since"][series] = until

    def forget_past(self, over: NDArray[np.int64]) -> None:
        """Forget widths of times before `over`, shape (devices,), in ms: no sample of them is taken any more."""
        if len(self.past):
            device = np.minimum(self.columns["device"], len(over) - 1)
            self.columns["since"][self.past.forget(over[device])] = -1
