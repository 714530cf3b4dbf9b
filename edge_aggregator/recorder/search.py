"""Looking for a request's samples in the journal, a few blocks at a time."""

from __future__ import annotations

import fnmatch
import re
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from edge_aggregator.journal.block import Block
from edge_aggregator.recorder.selection import Key, Selection, last_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_aggregator.decode.decoded import Samples
    from edge_aggregator.journal.block import LostBlock
    from edge_aggregator.journal.journal import Journal
    from edge_aggregator.names import Names
    from ingest.contract.requests import SampleRequest

PASS_SAMPLES = 131_072
"""Samples selected in one pass over the blocks: 3 MiB, 6 while selecting."""

TURN_BLOCKS = 16
TURN_SAMPLES = 65_536
"""A turn ends after so many blocks, or the block that reaches so many samples: a few milliseconds."""


class Search:
    """One attempt to answer a request from the blocks up to position `upto`, pass by pass in rising time.

    `sent` samples have been taken so far, of at most `most`; `lost` are the blocks that could not be read.
    """

    def __init__(self, request: SampleRequest, wanted: NDArray[np.bool_], upto: int, most: int) -> None:
        self.request, self.most, self.sent = request, most, 0
        self.lost: dict[int, LostBlock] = {}
        self.complete = True
        """Whether everything that was found has been taken."""
        self.until = request.end
        """Everything before it (ms) has been taken; at it and after it only when `complete`."""
        self._wanted, self._upto = wanted, upto
        self._position = 1
        self._barren: set[int] = set()
        self.selection = self._select(None)

    def turn(self, journal: Journal) -> bool:
        """Read a little, of one file at the most; whether this pass is over."""
        if not self._wanted.any():
            return True
        for first, last in journal.folder.covering(self._position, self._upto):
            end = min(last, self._upto)
            if first not in self._barren and self._read(journal, first, end):
                return False
            self._position = end + 1
            if first not in self._barren:
                self._note_barren(journal, first, end)
                return self._position > self._upto
        return True

    def take(self) -> Samples:
        """What this pass has found, in order; begins the next one."""
        found = self.selection.settle()
        self.sent += len(found.ts)
        self._position = 1
        self.complete = not self.selection.full
        if len(found.ts):
            key = last_key(found)
            self.until = key.ts if self.selection.full else self.request.end
            self.selection = self._select(key)
        return found

    def over(self) -> bool:
        """Whether nothing more is to be taken."""
        return self.complete or self.sent >= self.most

    def _select(self, after: Key | None) -> Selection:
        start = self.request.start if after is None else after.ts
        return Selection(start, self.request.end, min(PASS_SAMPLES, self.most - self.sent), after)

    def _read(self, journal: Journal, first: int, end: int) -> bool:
        # Whether the file may have more.
        read, since = 0, max(self._position, first)
        blocks = journal.overlapping([(self.selection.start, self.selection.end)], end, since=since)
        for number, block in enumerate(islice(blocks, TURN_BLOCKS), start=1):
            # Blocks may be merged meanwhile: what was taken of one already is taken again, and copies count once.
            self._position = max(self._position, block.position + 1, block.last + 1)
            read += self._take(block)
            if number == TURN_BLOCKS or read >= TURN_SAMPLES:
                return self._position <= end
        return False

    def _note_barren(self, journal: Journal, first: int, end: int) -> None:
        # A file that has nothing of what is still to come need not be opened in later passes.
        rest = [(self.selection.start, self.request.end)]
        if next(journal.overlapping(rest, end, since=first), None) is None:
            self._barren.add(first)

    def _take(self, block: Block | LostBlock) -> int:
        if isinstance(block, Block):
            self.selection.add(block.samples, self._known(block.samples))
            return max(1, len(block.samples.ts))
        self.lost[block.position] = block
        return 1

    def _known(self, samples: Samples) -> NDArray[np.bool_]:
        # A series that got its id after the search began is not wanted, nor an id that no name belongs to.
        missing = int(samples.series.max(initial=-1)) + 1 - len(self._wanted)
        return np.pad(self._wanted, (0, missing)) if missing > 0 else self._wanted


def wanted_series(names: Names, device: str, metrics: Sequence[str]) -> NDArray[np.bool_]:
    """Which series, shape (series,), match the pattern of devices and one of the patterns of metrics (none: all)."""
    if not len(names.series):
        return np.zeros(0, np.bool_)
    devices = _matching(names.devices, [device])
    kinds = _matching([metric.metric for metric in names.metrics], metrics or ["*"])
    wanted: NDArray[np.bool_] = (
        names.columns["named"] & devices[names.columns["device"]] & kinds[names.columns["metric"]]
    )
    return wanted


def _matching(texts: Sequence[str], patterns: Sequence[str]) -> NDArray[np.bool_]:
    matches = re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match
    return np.array([matches(text) is not None for text in texts], np.bool_)
