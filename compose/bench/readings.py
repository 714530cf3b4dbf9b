"""Readings of devices as columns: what the bench feeds, and what bytes per sample are counted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Readings(NamedTuple):
    """Messages in order of arrival, every one with all metrics.

    `device` int64 and `ts` int64 (ms since the epoch) have shape (messages,), `value` float64 (messages, metrics).
    `decimals`: how many a metric is written with; 0 stands for whole numbers.
    """

    metrics: tuple[str, ...]
    decimals: tuple[int, ...]
    device: NDArray[np.int64]
    ts: NDArray[np.int64]
    value: NDArray[np.float64]

    def samples(self) -> int:
        """How many numbers there are."""
        return int(self.value.size)

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Series, ts and value, shape (samples,) each, in order of arrival.

        A series is numbered device * metrics + metric.
        """
        count = len(self.metrics)
        series = self.device[:, None] * count + np.arange(count)
        return series.ravel(), np.repeat(self.ts, count), self.value.ravel()

    def topics(self, site: str) -> list[str]:
        """The topic of every message."""
        return [f"tidegate/v1/{site}/device-{number:05d}/telemetry" for number in self.device.tolist()]

    def payloads(self) -> list[bytes]:
        """The JSON of every message, numbers as a device would print them."""
        names = zip(self.metrics, self.decimals, strict=True)
        body = ",".join(f'"{name}":%.{decimals}f' for name, decimals in names)
        form = f'{{"ts":%d,"metrics":{{{body}}}}}'
        rows = zip(self.ts.tolist(), self.value.tolist(), strict=True)
        return [(form % (ts, *values)).encode() for ts, values in rows]

    def part(self, first: int, last: int) -> Readings:
        """The messages from `first` to before `last`."""
        here = slice(first, last)
        return self._replace(device=self.device[here], ts=self.ts[here], value=self.value[here])
