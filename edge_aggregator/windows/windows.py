"""Event-time windows: which samples are open, late or too late, and when windows close. Pure: no I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_aggregator.by_device import NOBODY, added, by_device
from edge_aggregator.columns import Columns
from edge_aggregator.journal.codec import pack_integers, unpack_integers
from edge_aggregator.windows.groups import group
from edge_aggregator.windows.held import HeldSamples
from edge_aggregator.windows.keys import Spans, series_of, start_of, window_keys
from edge_aggregator.windows.open import OpenWindows
from edge_aggregator.windows.statistics import Kept, no_samples
from edge_aggregator.windows.tails import Tails
from edge_aggregator.windows.told import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from edge_aggregator.by_device import ByDevice
    from edge_aggregator.decode.decoded import Samples
    from edge_aggregator.names import Names
    from edge_aggregator.windows.groups import Groups

_DEVICE_SPEC: dict[str, tuple[str, float]] = {
    "watermark": ("i8", -1),
    "horizon": ("i8", -1),
    "lost_until": ("i8", -1),
    "floor": ("i8", -1),
}


class LateWindows(NamedTuple):
    """Windows that were closed already when samples came; `late`, shape (windows,), counts these samples."""

    spans: Spans
    late: NDArray[np.int64]


class Emerging(NamedTuple):
    """Windows that are to be shipped: rows as in `OpenWindows`, and how often each was to be shown by now.

    `kept` are the samples of the rows that have details and are not dirty, by index of row, in order of arrival.
    """

    rows: dict[str, NDArray[Any]]
    kept: Kept
    stage: NDArray[np.int64]


class Closing(NamedTuple):
    """What closes now, windows to be corrected, and windows that stay open and are shown.

    `closed`, shape (devices,), is the horizon (ms) up to which windows had closed before.
    """

    final: Emerging
    late: LateWindows
    closed: NDArray[np.int64]
    partial: Emerging
    more: bool = False
    """Whether there are windows that close as well, and wait for their turn."""


MOST_AT_ONCE = 10_000
"""Windows; so many take about 20 ms, and one batch."""


class Windows:
    """All windows of a gateway.

    `devices`, one row a device, in ms: `watermark`, the newest timestamp seen; `horizon`, up to which windows have
    closed; `lost_until`, up to which windows may have been dropped from the outbox (they are corrected no more);
    `floor`, up to which windows are too old: it never falls, so that what was rejected once stays so.
    """

    def __init__(self, names: Names, *, lateness_ms: int, idle_ms: int) -> None:
        self._names, self._lateness_ms, self._idle_ms = names, lateness_ms, idle_ms
        self.devices = Columns(_DEVICE_SPEC)
        self.open = OpenWindows()
        self.held, self.tails, self.told = HeldSamples(), Tails(), Told()
        self._late: list[Groups] = []

    def step(self, samples: Samples, position: int) -> ByDevice:
        """Take the samples of the block at `position`; those of them, by device, that are too old."""
        groups, horizon = self._groups(samples)
        closed = groups.start + groups.width <= horizon
        # A whole window is too old or none of it, and that only changes when windows close: no correction, not even one
        # that is under way, can bring in what was rejected.
        too_old = closed & (groups.start + groups.width <= self.devices["floor"][groups.device])
        np.maximum.at(self.devices["watermark"], groups.device, groups.max_ts)
        late = closed & ~too_old
        if late.any():
            self._late.append(groups.only(late))
        self._open(samples, groups, ~closed, position)
        return by_device(groups.device[too_old], groups.size[too_old]) if too_old.any() else NOBODY

    def rebuild(self, samples: Samples, position: int) -> None:
        """Take again what is still open of a block that was processed before a restart."""
        groups, horizon = self._groups(samples)
        self._open(samples, groups, groups.start + groups.width > horizon, position)

    def rebuilt(self) -> None:
        """All blocks have been taken again."""
        rows = self.open.rows
        self.told.trim(window_keys(rows["series"], rows["start"]), rows["count"])

    def close(self, now: int, seen: NDArray[np.int64], pressed: int = 0, most: int = MOST_AT_ONCE) -> Closing:
        """Close what has an end: its device has moved on, or is silent, or the journal must forget up to `pressed`.

        `now` and `seen`, shape (devices,), when each device was heard last, are ms of the gateway's clock. Of more than
        about `most` windows only those of some devices close: all of a device or none, so that its horizon says which.
        """
        closed = self.devices["horizon"].copy()
        closing, waits = self._turn(self._reach(now, seen, pressed), most)
        self._raise_floor()
        gone = self.open.close(closing)
        final = Emerging(gone, self._samples(gone, self.held.take), np.zeros(len(closing), np.int64))
        shown = self._shown(0 if waits else most)
        return Closing(final, self._take_late(), closed, shown, more=waits or len(shown.stage) >= most)

    def newest(self) -> NDArray[np.int64]:
        """Up to when windows may have begun, shape (devices,), in ms."""
        begun: NDArray[np.int64] = np.maximum(self.devices["watermark"], self.devices["horizon"])
        return begun

    def settled_until(self) -> NDArray[np.int64]:
        """Up to when windows are corrected no more, shape (devices,), in ms."""
        over: NDArray[np.int64] = self.devices["horizon"] - self._lateness_ms
        return over

    def past(self, spans: Spans) -> NDArray[np.bool_]:
        """Whether windows are too old to be corrected, shape (windows,)."""
        over: NDArray[np.bool_] = spans.end <= self.devices["floor"][self._names.columns["device"][spans.series]]
        return over

    def configure(self, *, lateness_ms: int, idle_ms: int) -> None:
        """Other bounds from now on; a greater lateness brings nothing back that is too old already."""
        self._lateness_ms, self._idle_ms = lateness_ms, idle_ms

    def samples(self) -> int:
        """Samples that are neither rolled up nor anything else yet."""
        return self.open.samples() - self.told.samples() + sum(int(groups.size.sum()) for groups in self._late)

    def open_of(self) -> ByDevice:
        """The same by device."""
        parts = [by_device(self._device(), self.open.rows["count"])]
        series, explained = self.told.by_series()
        parts.append(by_device(self._names.columns["device"][series], -explained))
        return added(*parts, *(by_device(groups.device, groups.size) for groups in self._late))

    def save(self) -> dict[str, bytes]:
        """The devices' columns, the series' tails, and what was shown of open windows."""
        columns = {name: pack_integers(self.devices[name]) for name in _DEVICE_SPEC}
        return columns | self.tails.save() | self.told.save()

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """As saved, if it was."""
        for name in _DEVICE_SPEC.keys() & parts.keys():
            values = unpack_integers(parts[name])
            self.devices.grow_to(len(values))
            self.devices[name][:] = values
        self.tails.restore(parts)
        self.told.restore(parts)
        self._raise_floor()

    def _raise_floor(self) -> None:
        floor = self.devices["floor"]
        np.maximum(floor, self.devices["horizon"] - self._lateness_ms, out=floor)

    def _groups(self, samples: Samples) -> tuple[Groups, NDArray[np.int64]]:
        self.devices.grow_to(len(self._names.devices))
        groups = group(samples, self._names)
        return groups, self.devices["horizon"][groups.device]

    def _open(self, samples: Samples, groups: Groups, mask: NDArray[np.bool_], position: int) -> None:
        self.open.add(groups.only(mask), position)
        if self._names.asking:
            mask &= self._names.columns["aspect"][groups.series] > 0
            of_sample, keys = np.repeat(mask, groups.size), window_keys(groups.series, groups.start)[mask]
            held = np.repeat(keys, groups.size[mask])
            if not self.held.add(held, samples.ts[of_sample], samples.value[of_sample]):
                self.open.doubt(keys)

    def _device(self) -> NDArray[np.int64]:
        device: NDArray[np.int64] = self._names.columns["device"][self.open.rows["series"]].astype(np.int64)
        return device

    def _reach(self, now: int, seen: NDArray[np.int64], pressed: int) -> NDArray[np.int64]:
        # Up to when each device's windows are to be closed.
        reach: NDArray[np.int64] = np.maximum(self.devices["horizon"], self.devices["watermark"])
        device, end = self._device(), self.open.end()
        idle = (end <= now - self._idle_ms) & (seen[device] <= now - self._idle_ms)
        forced = idle | (self.open.rows["first"] <= pressed)
        np.maximum.at(reach, device[forced], end[forced])
        return reach

    def _turn(self, reach: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], bool]:
        # The rows that close now, and whether others wait: in the order of devices, until there are enough.
        device = self._device()
        closing = np.flatnonzero(self.open.end() <= reach[device])
        each = np.bincount(device[closing], minlength=len(reach))
        waits = (each > 0) & (np.cumsum(each) - each >= most)
        np.copyto(self.devices["horizon"], reach, where=~waits)
        return closing[~waits[device[closing]]], bool(waits.any())

    def _shown(self, most: int) -> Emerging:
        # Windows that are due to be shown (again) and have something new to show; at most so many.
        rows = self.open.rows
        if not most or not self._names.showing or not len(rows):
            nothing = np.empty(0, np.int64)
            return Emerging(self.open.take(nothing), no_samples(), nothing)
        early = self._names.columns["early"][rows["series"]]
        before = self.told.of(window_keys(rows["series"], rows["start"]))
        reached = np.minimum(self.devices["watermark"][self._device()] - rows["start"], rows["width"] - 1)
        stage = np.where(early > 0, reached // np.maximum(early, 1), 0)
        due = np.flatnonzero((stage > before.stage) & (rows["count"] > before.counted))[:most]
        shown = self.open.take(due)
        return Emerging(shown, self._samples(shown, self.held.peek), stage[due])

    def _samples(self, rows: dict[str, NDArray[Any]], get: Callable[[NDArray[np.uint64]], Kept]) -> Kept:
        if not len(self.held) or not len(rows["series"]):
            return no_samples()
        kept = get(window_keys(rows["series"], rows["start"]))
        return kept.only(~rows["dirty"][kept.window])

    def _take_late(self) -> LateWindows:
        parts, self._late = self._late, []
        if not parts:
            return LateWindows(Spans(*[np.empty(0, np.int64)] * 3), np.empty(0, np.int64))
        keys = np.concatenate([window_keys(part.series, part.start) for part in parts])
        width, size = (np.concatenate([getattr(part, name) for part in parts]) for name in ("width", "size"))
        unique, first, back = np.unique(keys, return_index=True, return_inverse=True)
        late = np.zeros(len(unique), np.int64)
        np.add.at(late, back, size)
        return LateWindows(Spans(series_of(unique), start_of(unique), width[first]), late)
