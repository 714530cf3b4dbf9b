"""A rollout's soaks: every device's guarded statistics, before its draw and while it soaks, out of rollup windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from analytics.rollouts.sketched import Sketched
from analytics.rollouts.statistics import Statistic, windows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analytics.rollouts.statistics import Found
    from ingest.contract.batch import RollupBatch

SETTLE_MS = 60_000
"""A soak is told so long after its end: by then its last windows have closed and been read."""


class Sums(msgspec.Struct, array_like=True):
    """Of one device and statistic: the start (ms) of the newest window that was taken, and the sum and count of all taken."""

    newest: int = -1
    total: float = 0.0
    count: int = 0


class Book(msgspec.Struct):
    """The windows of many devices: by device (`site/device`) the sums of each statistic, and the sketches of quantiles."""

    sums: dict[str, list[Sums]] = {}
    sketched: Sketched = msgspec.field(default_factory=Sketched)

    def value(self, device: str, place: int, statistic: Statistic) -> float:
        """The `place`-th statistic of a device; NaN without samples."""
        mine = self.sums[device][place] if device in self.sums else Sums()
        if not mine.count:
            return math.nan
        if statistic.level is None:
            return statistic.of(mine.total, mine.count)
        return self.sketched.quantile(_name(place, device), statistic.level)

    def forget(self, devices: Iterable[str]) -> None:
        """What is kept of these devices."""
        for device in devices:
            kept = self.sums.pop(device, [])
            self.sketched.drop(_name(place, device) for place in range(len(kept)))


class Soaking(msgspec.Struct, kw_only=True):
    """What was heard of each of `statistics`, `before` the draw and `during` the soak.

    Of each series a window is taken once and in order of time: what is sent again, corrected or drained from a backlog later than
    newer windows is not, in both arms alike. `spans` (ms, from and before) is when each enrolled device soaks.
    """

    statistics: list[Statistic]
    before: Book = msgspec.field(default_factory=Book)
    during: Book = msgspec.field(default_factory=Book)
    spans: dict[str, tuple[int, int]] = {}

    def begin(self, device: str, start: int, end: int) -> None:
        """A device was enrolled, or enrolled again; it soaks from `start` to before `end`."""
        self.spans[device] = (start, end)
        self.during.forget([device])

    def is_over(self, device: str, at: int) -> bool:
        """Whether the soak that the device is in now is told at `at` (ms): an earlier one that was broken off is not."""
        return device in self.spans and self.spans[device][1] + SETTLE_MS == at

    def add(self, batch: RollupBatch, *, measure_past: bool) -> None:
        """Take the windows of guarded metrics without labels; `measure_past`: also of devices that are not enrolled yet."""
        for place, statistic in enumerate(self.statistics):
            self._add(batch, place, windows_of(statistic, batch), measure_past=measure_past)

    def finish(self, device: str) -> list[tuple[str, float, float | None]]:
        """The soak of a device is over: statistic, value, and that from before where known; without what was never heard.

        Its past is kept: a later stage may enrol it again.
        """
        self.spans.pop(device, None)
        found = []
        for place, statistic in enumerate(self.statistics):
            value, past = (book.value(device, place, statistic) for book in (self.during, self.before))
            # Counts of spans of different lengths are not compared.
            known = not math.isnan(past) and not statistic.counts
            found.append((statistic.name, value, past if known else None))
        self.during.forget([device])
        return [one for one in found if not math.isnan(one[1])]

    def forget_strangers(self, site: str, enrolled: Mapping[str, object]) -> None:
        """A site was drawn: what was kept of devices that were not is forgotten."""
        prefix = f"{site}/"
        self.before.forget([k for k in self.before.sums if k.startswith(prefix) and k not in enrolled])

    def _add(self, batch: RollupBatch, place: int, found: Found, *, measure_past: bool) -> None:
        device, start, width = (batch.column(name)[found.row].tolist() for name in ("device", "start", "width"))
        keys = [f"{batch.origin.site}/{batch.devices[number].device}" for number in device]
        taken: dict[bool, list[int]] = {True: [], False: []}
        for n, (total, count) in enumerate(zip(found.total.tolist(), found.samples.tolist(), strict=True)):
            is_past = keys[n] not in self.spans
            if (measure_past if is_past else self._is_inside(keys[n], start[n], start[n] + width[n])) and _take(
                self._book(is_past), keys[n], place, len(self.statistics), Sums(start[n], total, count)
            ):
                taken[is_past].append(n)
        if self.statistics[place].level is not None:
            for is_past, rows in taken.items():
                which = np.searchsorted(batch.details.sketch_row, found.row[rows])
                names = [_name(place, keys[n]) for n in rows]
                self._book(is_past).sketched.add(names, batch.details.sketches.take(which))

    def _book(self, is_past: bool) -> Book:  # noqa: FBT001 - which of two
        return self.before if is_past else self.during

    def _is_inside(self, device: str, start: int, end: int) -> bool:
        span = self.spans[device]
        return span[0] <= start and end <= span[1]


def _take(book: Book, device: str, place: int, places: int, window: Sums) -> bool:
    # Whether the window is newer than all that was taken.
    mine = book.sums.setdefault(device, [Sums() for _ in range(places)])[place]
    if window.newest <= mine.newest:
        return False
    mine.newest, mine.total, mine.count = window.newest, mine.total + window.total, mine.count + window.count
    return True


def _name(place: int, device: str) -> str:
    return f"{place}/{device}"
