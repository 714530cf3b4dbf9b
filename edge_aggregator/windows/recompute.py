"""Windows computed anew from the journal's raw samples."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from edge_aggregator.journal.block import Block
from edge_aggregator.windows.keys import Spans, find, window_keys
from edge_aggregator.windows.statistics import Statistics, joined, statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from edge_aggregator.journal.block import LostBlock
    from edge_aggregator.names import Names

_NEAR_MS = 60_000
MOST_AT_ONCE = 500_000
"""Samples; each takes about a hundred bytes while its window is computed."""


class BlockSource(Protocol):
    """Where raw samples are read from: the journal."""

    def overlapping(self, ranges: Iterable[tuple[int, int]], upto: int) -> Iterator[Block | LostBlock]:
        """The blocks up to position `upto` with samples that may lie in one of the ranges [start, end), in ms."""
        ...


class Ground(NamedTuple):
    """What windows are computed from: the blocks up to position `upto`, and the dictionary; `most` samples at once."""

    blocks: BlockSource
    upto: int
    names: Names
    most: int = MOST_AT_ONCE


class Recomputed(NamedTuple):
    """Statistics with all blocks, and with those up to position `since` only; whether a block was unreadable."""

    now: Statistics
    before: Statistics
    incomplete: NDArray[np.bool_]


class _Found(NamedTuple):
    window: NDArray[np.int64]
    ts: NDArray[np.int64]
    value: NDArray[np.float64]
    position: NDArray[np.int64]


def recompute(spans: Spans, ground: Ground, since: int = 0) -> Recomputed:
    """The windows of `spans`, shape (windows,), from the blocks up to position `ground.upto`.

    Windows with more than `ground.most` samples in all are computed in parts, so that memory stays bounded whatever has come
    out of order. Samples are kept of windows that are asked for details.
    """
    keys = window_keys(spans.series, spans.start)
    order = np.argsort(keys)
    incomplete = np.zeros(len(keys), np.bool_)
    parts, size = [_NOTHING], 0
    for block in ground.blocks.overlapping(ranges_of(spans), ground.upto) if len(keys) else ():
        if isinstance(block, Block):
            parts.append(_among(block, keys[order], ground.names))
            size += len(parts[-1].window)
            if size > ground.most and len(keys) > 1:
                parts.clear()
                return _in_halves(spans, order, partial(recompute, ground=ground, since=since))
        else:
            incomplete |= (spans.start <= block.max_ts) & (spans.end > block.min_ts)
    columns: list[NDArray[Any]] = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    found = _Found(*columns)
    window, early = order[found.window], found.position <= since
    ts = _times(spans.series[window], found.ts, ground.names)
    asked = ground.names.columns["aspect"][spans.series] > 0
    now = statistics(window, ts, found.value, len(keys))
    before = statistics(window[early], ts[early], found.value[early], len(keys))
    return Recomputed(_keeping(now, asked), _keeping(before, asked), incomplete)


def _in_halves(spans: Spans, order: NDArray[np.int64], again: Callable[[Spans], Recomputed]) -> Recomputed:
    # By time, so that each half looks at other blocks.
    halves = np.split(order, [len(order) // 2])
    found = [again(Spans(*(column[half] for column in spans))) for half in halves]
    incomplete = np.empty(len(order), np.bool_)
    for half, one in zip(halves, found, strict=True):
        incomplete[half] = one.incomplete
    now = joined(halves, [one.now for one in found])
    return Recomputed(now, joined(halves, [one.before for one in found]), incomplete)


def _keeping(found: Statistics, asked: NDArray[np.bool_]) -> Statistics:
    return found._replace(kept=found.kept.only(asked[found.kept.window]))


_NOTHING = _Found(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.int64))


def _times(series: NDArray[np.int64], ts: NDArray[np.int64], names: Names) -> NDArray[np.int64]:
    # In an overflow series every sample counts, in the order of the journal: its place stands for its timestamp.
    return np.where(names.columns["overflow"][series], np.arange(len(ts)), ts) if names.overflowing else ts


def _among(block: Block, keys: NDArray[np.uint64], names: Names) -> _Found:
    known = block.samples.series < len(names.series)  # a lost block takes names with it
    series, ts, value = block.samples.series[known], block.samples.ts[known], block.samples.value[known]
    window = find(window_keys(series, names.widths.starts(series, ts)[0]), keys)
    wanted = window >= 0
    return _Found(window[wanted], ts[wanted], value[wanted], np.full(int(wanted.sum()), block.position, np.int64))


def ranges_of(spans: Spans) -> list[tuple[int, int]]:
    """The times of windows, ms; what is near each other is one range."""
    order = np.argsort(spans.start)
    ranges: list[tuple[int, int]] = []
    for begins, ends in zip(spans.start[order].tolist(), spans.end[order].tolist(), strict=True):
        if ranges and begins <= ranges[-1][1] + _NEAR_MS:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], ends))
        else:
            ranges.append((begins, ends))
    return ranges
