"""What a late sample does to windows after its own: growth and changes of the next one begin at the sample before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.journal.block import Block
from edge_aggregator.windows.keys import Spans, find, series_of, start_of, window_keys
from edge_aggregator.windows.recompute import ranges_of
from edge_aggregator.windows.tails import Before, nothing_before

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_aggregator.windows.recompute import Ground


class Near(NamedTuple):
    """Samples of some series around some windows, shape (n,) each, by (series, ts, value); of which block they are."""

    series: NDArray[np.int64]
    ts: NDArray[np.int64]
    value: NDArray[np.float64]
    position: NDArray[np.int64]

    def upto(self, position: int) -> Near:
        """Those of the blocks up to a position."""
        early = self.position <= position
        return Near(self.series[early], self.ts[early], self.value[early], self.position[early])

    def before(self, spans: Spans) -> Before:
        """The newest sample before each window; -1 where there is none near."""
        place = np.searchsorted(_keys(self.series, self.ts), _keys(spans.series, spans.start)) - 1
        if not len(self.series):
            return nothing_before(len(spans.series))
        there = (place >= 0) & (self.series[place] == spans.series)
        return Before(np.where(there, self.ts[place], -1), np.where(there, self.value[place], 0.0))


def near(spans: Spans, reach: NDArray[np.int64], ground: Ground) -> tuple[Near, NDArray[np.bool_]]:
    """Samples within `reach` (ms), shape (windows,), of the windows; which windows have unreadable blocks there."""
    wider = Spans(spans.series, spans.start - reach, spans.width + 2 * reach)
    wanted = np.zeros(len(ground.names.series), np.bool_)
    wanted[spans.series] = True
    blind = np.zeros(len(reach), np.bool_)
    parts = [[np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)]]
    for block in ground.blocks.overlapping(ranges_of(wider), ground.upto):
        if isinstance(block, Block):
            mask = wanted[block.samples.series]
            columns = [column[mask] for column in block.samples]
            parts.append([*columns, np.full(len(columns[0]), block.position, np.int64)])
        else:
            blind |= (wider.start <= block.max_ts) & (wider.end > block.min_ts)
    series, ts, value, position = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((value, ts, series))
    return Near(series[order], ts[order], value[order], position[order]), blind


def successors(spans: Spans, reach: NDArray[np.int64], found: Near, ground: Ground, closed: NDArray[np.int64]) -> Spans:
    """The windows after these that are not among them and had closed when their device's horizon was `closed` (ms)."""
    if not len(found.series):
        return spans.only(np.zeros(len(spans.series), np.bool_))
    place = np.searchsorted(_keys(found.series, found.ts), _keys(spans.series, spans.end))
    inside = np.minimum(place, len(found.series) - 1)
    there = (place < len(found.series)) & (found.series[inside] == spans.series)
    there &= found.ts[inside] < spans.end + reach
    series, ts = spans.series[there], found.ts[inside[there]]
    start, width = ground.names.widths.starts(series, ts)
    keys, first = np.unique(window_keys(series, start), return_index=True)
    width = width[first]
    own = np.sort(window_keys(spans.series, spans.start))
    device = ground.names.columns["device"][series_of(keys)]
    new = (find(keys, own) < 0) & (start_of(keys) + width <= closed[device])
    return Spans(series_of(keys), start_of(keys), width).only(new)


def _keys(series: NDArray[np.int64], ts: NDArray[np.int64]) -> NDArray[np.uint64]:
    # Unlike a window's key: by series, then by time.
    keys: NDArray[np.uint64] = (series.astype(np.uint64) << np.uint64(42)) | ts.astype(np.uint64)
    return keys
