"""What is remembered of the series in alarm, and only of these: they are few, and it would cost memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from analytics.detectors.novelty import Ranges
from analytics.detectors.signals import SIGNALS

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Alarm(NamedTuple):
    """Columns of shape (alarms,): times in ms; `low`, `high` (signals, alarms) are the ranges before the alarm."""

    since: NDArray[np.int64]
    told: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def ranges(self) -> Ranges:
        """What it was like before."""
        return Ranges(self.low, self.high)


class Alarms:
    """Alarms by series, in the order of their numbers."""

    def __init__(self) -> None:
        self.series = np.empty(0, np.int64)
        no_range = np.empty((SIGNALS, 0), np.float32)
        self._alarm = Alarm(np.empty(0, np.int64), np.empty(0, np.int64), no_range, no_range)

    def __len__(self) -> int:
        return len(self.series)

    def of(self, series: NDArray[np.int64]) -> Alarm:
        """Those of `series`, all in alarm: copies."""
        return Alarm._make(column[..., self._at(series)] for column in self._alarm)

    def tell(self, series: NDArray[np.int64], now: NDArray[np.int64]) -> None:
        """Remember when somebody was told of these last."""
        self._alarm.told[self._at(series)] = now

    def begin(self, series: NDArray[np.int64], alarm: Alarm) -> None:
        """These distinct series, none of them in alarm, now are."""
        if series.size:
            joined = np.concatenate([self.series, series])
            order = np.argsort(joined, kind="stable")
            both = zip(self._alarm, alarm, strict=True)
            self._alarm = Alarm._make((np.concatenate([old, new], axis=-1)[..., order] for old, new in both))
            self.series = joined[order]

    def end(self, series: NDArray[np.int64]) -> None:
        """These are not in alarm any more."""
        if series.size:
            stays = ~np.isin(self.series, series)
            self.series = self.series[stays]
            self._alarm = Alarm._make(column[..., stays] for column in self._alarm)

    def dump(self) -> bytes:
        """Everything, as MessagePack."""
        return msgspec.msgpack.encode([self.series.tobytes(), *(column.tobytes() for column in self._alarm)])

    def load(self, dumped: bytes) -> None:
        """Continue from a dump."""
        series, *columns = msgspec.msgpack.decode(dumped, type=list[bytes])
        self.series = np.frombuffer(series, np.int64).copy()
        since, told, low, high = columns
        times = [np.frombuffer(part, np.int64).copy() for part in (since, told)]
        ranges = [np.frombuffer(part, np.float32).reshape(SIGNALS, -1).copy() for part in (low, high)]
        self._alarm = Alarm._make([*times, *ranges])

    def _at(self, series: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.series, series)
