"""Which windows of a batch count: a store keeps what was written last, so nothing older may be written after it.

Batches arrive in any order (the newest first after an outage). Of two batches of one gateway that touch the windows of
one series with the same start, whatever their widths, the one with the higher seq counts: it either corrects what the
other says or covers the same time. To know that later, it is enough to remember what was corrected or replaced, and only
while a batch with a lower seq may still arrive that touches it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ingest.runtime.store.port import WindowKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from ingest.contract.batch import RollupBatch

REPLACED = -1
"""Stands for the revision of a window that a batch replaced by others."""

MAX_REMEMBERED = 10_000
"""Windows remembered of one gateway: what keeps its account below the size of a record."""

CLOCK_MARGIN_MS = 3_600_000
"""How far a window may begin after its batch was created: a device's or gateway's clock that runs ahead."""


class Mark(NamedTuple):
    """What was done last to the window of a series with a certain start: by which seq, its revision and width since.

    The revision is REPLACED when no window starts there any more.
    """

    seq: int
    revision: int
    width: int


class Kept(NamedTuple):
    """What of a batch counts: indexes of rows, shape (n,); how many were superseded; windows to remove."""

    rows: NDArray[np.intp]
    superseded: int
    removes: list[WindowKey]


class RevisionGuard:
    """Starts of one gateway's series where something was corrected or replaced, by their 64-bit keys."""

    def __init__(self, marks: Mapping[int, Mark] | None = None) -> None:
        self.marks: dict[int, Mark] = dict(marks or {})

    def sift(self, batch: RollupBatch) -> Kept:
        """What of this batch counts beside everything that was noted."""
        if not self.marks and not len(batch.replaces.get("start", ())):
            return Kept(np.arange(len(batch), dtype=np.intp), 0, [])
        keys = start_keys(batch, batch.columns)
        known = np.flatnonzero(np.isin(keys, self._keys())).tolist()
        superseded = [row for row in known if not self._counts(int(keys[row]), _mark(batch, row))]
        rows = np.delete(np.arange(len(batch), dtype=np.intp), superseded)
        removes = [_window(batch, row) for row, key in _replaced(batch) if self._counts(key, _removal(batch, row))]
        return Kept(rows, len(superseded), removes)

    def note(self, batch: RollupBatch, kept: Kept, newest_missing: int | None) -> int:
        """Note what was corrected and replaced: how many older notes had to be forgotten for it.

        `newest_missing` bounds `created` (ms) of the lower seqs that may still arrive, None when none may.
        """
        if newest_missing is None:
            return 0
        reach = newest_missing + CLOCK_MARGIN_MS
        for key, start, mark in _touched(batch, kept):
            if (start < reach or key in self.marks) and self._counts(key, mark):
                self.marks[key] = mark
        return self._forget_beyond(MAX_REMEMBERED)

    def forget_up_to(self, seq: int) -> None:
        """Forget what was noted by seqs up to `seq`: nothing below them may still arrive."""
        if self.marks:
            self.marks = {key: mark for key, mark in self.marks.items() if mark.seq > seq}

    def _counts(self, key: int, new: Mark) -> bool:
        # The later batch counts; and of two revisions of one window never the lower one, whatever a gateway says.
        old = self.marks.get(key)
        if old is None:
            return True
        lower = REPLACED < new.revision < old.revision and new.width == old.width
        return new.seq >= old.seq and not lower

    def _keys(self) -> NDArray[np.uint64]:
        return np.fromiter(self.marks, np.uint64, len(self.marks))

    def _forget_beyond(self, most: int) -> int:
        surplus = len(self.marks) - most
        for key in sorted(self.marks, key=lambda key: self.marks[key].seq)[: max(0, surplus)]:
            del self.marks[key]
        return max(0, surplus)


def start_keys(batch: RollupBatch, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.uint64]:
    """A 64-bit key per window, shape (rows,), equal for equal device, metric, labels and start only.

    (Unlike ones share a key in about one of 10^11 batches of 10^4 rows that meet 10^4 marks.)
    """
    devices = _hashes(row.device for row in batch.devices)[columns["device"]]
    metrics = _hashes(repr((row.name, row.labels)) for row in batch.metrics)[columns["metric"]]
    return _mixed(_mixed(devices, metrics), columns["start"])


def _mixed(keys: NDArray[np.uint64], values: NDArray[Any]) -> NDArray[np.uint64]:
    # SplitMix64's finaliser (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    mixed = (keys ^ values.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, "<u8")


def _touched(batch: RollupBatch, kept: Kept) -> Iterator[tuple[int, int, Mark]]:
    # (key, start, mark) of corrections, of all rows of a batch that changes widths, and of what it replaces.
    replaced = list(_replaced(batch))
    rows = kept.rows if replaced else kept.rows[batch.column("revision")[kept.rows] > 0]
    chosen = {name: batch.column(name)[rows] for name in ("device", "metric", "start")}
    keys = start_keys(batch, chosen).tolist()
    marks = (_mark(batch, row) for row in rows.tolist())
    yield from zip(keys, chosen["start"].tolist(), marks, strict=True)
    yield from ((key, int(batch.replaces["start"][row]), _removal(batch, row)) for row, key in replaced)


def _replaced(batch: RollupBatch) -> Iterator[tuple[int, int]]:
    # Place and key of the replaced windows, but for those where the batch writes another with the same start.
    if len(batch.replaces.get("start", ())):
        own = set(start_keys(batch, batch.columns).tolist())
        keys = start_keys(batch, batch.replaces).tolist()
        yield from ((row, key) for row, key in enumerate(keys) if key not in own)


def _mark(batch: RollupBatch, row: int) -> Mark:
    return Mark(batch.seq, int(batch.column("revision")[row]), int(batch.column("width")[row]))


def _removal(batch: RollupBatch, row: int) -> Mark:
    return Mark(batch.seq, REPLACED, int(batch.replaces["width"][row]))


def _window(batch: RollupBatch, row: int) -> WindowKey:
    replaced = {name: int(column[row]) for name, column in batch.replaces.items()}
    metric = batch.metrics[replaced["metric"]]
    device = batch.devices[replaced["device"]].device
    return WindowKey(batch.origin.site, device, metric.name, metric.labels, replaced["start"])
