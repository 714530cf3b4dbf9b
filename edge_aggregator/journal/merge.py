"""Merging: a run of small blocks that are processed becomes one dense block with the same samples.

A commit every 100 ms has about one sample a series, which does not compress; a minute of them does. Nothing is decided
anew: samples stay as they are, by series and in order of arrival within a series. That is all that recomputing and
rebuilding windows look at, so blocks that an open window needs may be merged as well. What only a block that is not
processed yet needs (messages, dead letters, signs of life) goes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edge_aggregator.decode.decoded import Notes, Samples
from edge_aggregator.journal.content import Content, NewNames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_aggregator.journal.block import Block
    from edge_aggregator.journal.index import Index

MOST_BLOCKS = 2048
"""In one merged block: what bounds the work when blocks are nearly empty."""


class Merging(NamedTuple):
    """When a run is long enough: at so many samples, or when it spans so many ms of arrivals; never more samples."""

    samples: int
    span_ms: int

    def run(self, index: Index, processed: int, *, ended: bool) -> list[int]:
        """Rows of the first run of an index that is due; `ended`: the file takes no more. None: empty."""
        rows = index.rows
        # Only what was never merged, so that no sample is written more than twice.
        able = (rows["position"] == rows["last"]) & (rows["last"] <= processed) & ~rows["spoilt"]
        able &= rows["samples"] * 2 <= self.samples
        for part in _stretches(np.flatnonzero(able), rows["position"]):
            for run in self._cut(part, rows["samples"][part]):
                whole = run[-1] != part[-1]
                spans = int(rows["taken"][run[-1]] - rows["taken"][run[0]]) >= self.span_ms
                if len(run) > 1 and (whole or spans or ended):
                    return [int(row) for row in run]
        return []

    def _cut(self, part: NDArray[np.int64], samples: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        runs, begun, total = [], 0, 0
        for at, count in enumerate(samples.tolist()):
            if total + count > self.samples or at - begun >= MOST_BLOCKS:
                runs.append(part[begun:at])
                begun, total = at, 0
            total += count
        return [*runs, part[begun:]]


def merged(blocks: Sequence[Block]) -> Content:
    """The content of blocks that follow each other, as that of one."""
    series, ts, value = (np.concatenate(columns) for columns in zip(*(block.samples for block in blocks), strict=True))
    order = np.argsort(series, kind="stable")
    rejected, rejected_of = Counter[str](), Counter[int]()
    for block in blocks:
        rejected.update(block.notes.rejected)
        rejected_of.update(block.notes.rejected_of)
    return Content(
        Samples(series[order], ts[order], value[order]),
        Notes(taken=max(block.notes.taken for block in blocks), rejected=dict(rejected), rejected_of=dict(rejected_of)),
        _joined([block.names for block in blocks]),
    )


def _joined(parts: Sequence[NewNames]) -> NewNames:
    devices = {device: name for part in parts for device, name in part.devices}
    series = {row[0]: row for part in parts for row in part.series}
    return NewNames(list(devices.items()), list(series.values()))


def _stretches(rows: NDArray[np.int64], position: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    # Rows that follow each other, in the index and in the journal.
    if not len(rows):
        return []
    breaks = np.flatnonzero((np.diff(rows) > 1) | (np.diff(position[rows]) > 1)) + 1
    return np.split(rows, breaks)
