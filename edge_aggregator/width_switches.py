"""Which window a sample belongs to, while the widths of windows change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_aggregator.resolution.past_widths import PastWidths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.columns import Columns
    from edge_aggregator.resolution.past_widths import PastWidth

NEVER = np.iinfo(np.int64).max


class WidthSwitches:
    """Over the columns of `Names`, of one row a series: before `switch` (ms) its windows have `width`, then `next_width`.

    Before `since` they had other widths, in `past`. A switch is where windows of both widths begin.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._switching = False
        self.past = PastWidths()

    def defined(self, series: NDArray[np.int64] | slice | list[int]) -> None:
        """These series were taken over with their widths."""
        self._switching = self._switching or bool((self._columns["switch"][series] != NEVER).any())

    def starts(self, series: NDArray[np.int64], ts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Start and width (ms) of the window of each sample, shape (n,) each; windows are aligned to the epoch."""
        columns = self._columns
        width: NDArray[np.int64] = columns["width"][series]
        if self._switching:
            width = np.where(ts < columns["switch"][series], width, columns["next_width"][series])
            if len(self.past):
                old = ts < columns["since"][series]
                width[old] = self.past.of(series[old], ts[old])
        return ts - ts % width, width

    def switch(self, series: NDArray[np.int64], wanted: NDArray[np.int64], newest: NDArray[np.int64]) -> None:
        """Let these series have windows of the `wanted` widths (ms), shape (n,), from where windows of both begin.

        `newest`, shape (devices,): no window that began later than this exists yet.
        """
        if not len(series):
            return
        columns = self._columns
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

    def adopt(self, newest: NDArray[np.int64], kept: NDArray[np.bool_] | None = None) -> list[int]:
        """Let configured widths that differ take effect; which series changed.

        `newest` as in `switch`. Series that are `kept`, shape (series,), stay as they are.
        """
        wanted = self._columns["configured"]
        differs = (wanted != self._columns["next_width"]) & self._columns["named"]
        if kept is not None:
            differs &= ~kept
        changed = np.flatnonzero(differs)
        self.switch(changed, wanted[changed], newest)
        found: list[int] = changed.tolist()
        return found

    def load_past(self, rows: list[PastWidth]) -> None:
        """Take over the widths that series had before."""
        series, until = self.past.load(rows)
        self._columns["since"][series] = until

    def forget_past(self, over: NDArray[np.int64]) -> None:
        """Forget widths of times before `over`, shape (devices,), in ms: no sample of them is taken any more."""
        if len(self.past):
            device = np.minimum(self._columns["device"], len(over) - 1)
            self._columns["since"][self.past.forget(over[device])] = -1
