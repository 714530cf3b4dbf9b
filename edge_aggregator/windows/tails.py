"""The newest sample of each series in windows that have closed: what growth and changes go on from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.columns import Columns
from edge_aggregator.journal.codec import pack_integers, unpack_integers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edge_aggregator.windows.statistics import Kept

_PREFIX = "tail_"


class Before(NamedTuple):
    """The sample before each window, shape (windows,); `ts` (ms) is -1 where there is none."""

    ts: NDArray[np.int64]
    value: NDArray[np.float64]


def nothing_before(windows: int) -> Before:
    """No samples."""
    return Before(np.full(windows, -1, np.int64), np.zeros(windows))


class Tails:
    """By series id; series that nothing is linked over have none."""

    def __init__(self) -> None:
        self._rows = Columns({"ts": ("i8", -1), "value": ("f8", 0.0)})

    def before(self, series: NDArray[np.int64], kept: Kept) -> Before:
        """The sample before each of these windows, which close one after the other; the newest becomes the tail.

        `series`, shape (windows,), rises, and within a series the windows do; `kept` are their samples, by window and time.
        """
        self._grow(series)
        found = Before(self._rows["ts"][series], self._rows["value"][series])
        last = np.flatnonzero(np.append(kept.window[1:] != kept.window[:-1], True)[: len(kept.window)])
        window = kept.window[last]
        follows = np.flatnonzero(series[window[1:]] == series[window[:-1]])
        found.ts[window[follows + 1]], found.value[window[follows + 1]] = (
            kept.ts[last[follows]],
            kept.value[last[follows]],
        )
        self.advance(series[window], kept.ts[last], kept.value[last])
        return found

    def peek(self, series: NDArray[np.int64]) -> Before:
        """The sample before windows that all begin after those that have closed."""
        self._grow(series)
        return Before(self._rows["ts"][series], self._rows["value"][series])

    def advance(self, series: NDArray[np.int64], ts: NDArray[np.int64], value: NDArray[np.float64]) -> None:
        """Take the newest samples of closed windows, shape (n,) each, in order of time within a series."""
        self._grow(series)
        newer = ts >= self._rows["ts"][series]
        self._rows["ts"][series[newer]], self._rows["value"][series[newer]] = ts[newer], value[newer]

    def save(self) -> dict[str, bytes]:
        """All tails there are."""
        series = np.flatnonzero(self._rows["ts"] >= 0)
        columns = (series, self._rows["ts"][series], self._rows["value"][series].view(np.int64))
        names = ("series", "ts", "value")
        return (
            {_PREFIX + name: pack_integers(column) for name, column in zip(names, columns, strict=True)}
            if len(series)
            else {}
        )

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """As saved."""
        if _PREFIX + "series" in parts:
            series, ts, value = (unpack_integers(parts[_PREFIX + name]) for name in ("series", "ts", "value"))
            self.advance(series, ts, value.view(np.float64))

    def _grow(self, series: NDArray[np.int64]) -> None:
        if len(series):
            self._rows.grow_to(int(series.max()) + 1)
