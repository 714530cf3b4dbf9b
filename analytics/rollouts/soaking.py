"""A rollout's soaks: every device's mean of the guarded metrics, before its draw and while it soaks, out of rollup windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingest.contract.batch import MetricRow, RollupBatch

SETTLE_MS = 60_000
"""A soak is told so long after its end: by then its last windows have closed and been read."""


class Sums(msgspec.Struct, array_like=True):
    """Of one device and metric: the start (ms) of the newest window that was taken, and the sum and count of all taken."""

    newest: int = -1
    total: float = 0.0
    count: int = 0

    def mean(self) -> float:
        """NaN without samples."""
        return self.total / self.count if self.count else math.nan


class Soaking(msgspec.Struct, kw_only=True):
    """The sums by device (`site/device`), one for each of `metrics`: `before` the draw, and `during` the soak.

    Of each series a window is taken once and in order of time: what is sent again, corrected or drained from a backlog later than
    newer windows is not, in both arms alike. `spans` (ms, from and before) is when each enrolled device soaks.
    """

    metrics: list[str]
    before: dict[str, list[Sums]] = {}
    during: dict[str, list[Sums]] = {}
    spans: dict[str, tuple[int, int]] = {}

    def begin(self, device: str, start: int, end: int) -> None:
        """A device was enrolled, or enrolled again; it soaks from `start` to before `end`."""
        self.spans[device] = (start, end)
        self.during.pop(device, None)

    def is_over(self, device: str, at: int) -> bool:
        """Whether the soak that the device is in now is told at `at` (ms): an earlier one that was broken off is not."""
        return device in self.spans and self.spans[device][1] + SETTLE_MS == at

    def add(self, batch: RollupBatch, *, measure_past: bool) -> None:
        """Take the windows of guarded metrics without labels; `measure_past`: also of devices that are not enrolled yet."""
        places = np.array([self._place(metric) for metric in batch.metrics] or [-1])
        wanted = np.flatnonzero(places[batch.column("metric")] >= 0) if len(batch) else np.zeros(0, dtype=np.int64)
        columns = [
            batch.column(name)[wanted].tolist() for name in ("device", "metric", "start", "width", "sum", "count")
        ]
        for device, metric, start, width, total, count in zip(*columns, strict=True):
            key = f"{batch.origin.site}/{batch.devices[device].device}"
            if not measure_past and key not in self.spans:
                continue
            self._take(key, int(places[metric]), start, start + width, (total, count))

    def finish(self, device: str) -> list[tuple[str, float, float | None]]:
        """The soak of a device is over: metric, mean, and the mean from before where known; without what was never heard.

        Its past is kept: a later stage may enrol it again.
        """
        self.spans.pop(device, None)
        during, before = self.during.pop(device, []), self.before.get(device, [])
        found = []
        for place, sums in enumerate(during):
            past = before[place].mean() if before else math.nan
            if sums.count:
                found.append((self.metrics[place], sums.mean(), None if math.isnan(past) else past))
        return found

    def forget_strangers(self, site: str, enrolled: Mapping[str, object]) -> None:
        """A site was drawn: what was kept of devices that were not is forgotten."""
        prefix = f"{site}/"
        self.before = {k: sums for k, sums in self.before.items() if not k.startswith(prefix) or k in enrolled}

    def _place(self, metric: MetricRow) -> int:
        return self.metrics.index(metric.name) if metric.name in self.metrics and not metric.labels else -1

    def _take(self, device: str, place: int, start: int, end: int, sums: Sequence[float]) -> None:
        span = self.spans.get(device)
        if span is None:
            book = self.before
        elif span[0] <= start and end <= span[1]:
            book = self.during
        else:
            return
        mine = book.setdefault(device, [Sums() for _ in self.metrics])[place]
        if start > mine.newest:
            mine.newest, mine.total, mine.count = start, mine.total + sums[0], mine.count + int(sums[1])
