"""Making room in an outbox that is full: resolution goes before coverage, and every sample is accounted for."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.outbox.written import Written
from edge_aggregator.windows.keys import window_key
from ingest.contract.batch_wire import decode_batch
from ingest.contract.reasons import SampleDrop

if TYPE_CHECKING:
    from edge_aggregator.ledger import Ledger
    from edge_aggregator.names import Names
    from edge_aggregator.outbox.degrade import Degrader, Scene
    from edge_aggregator.outbox.outbox import Outbox, Waiting
    from edge_aggregator.outbox.revisions import Revisions
    from edge_aggregator.windows.windows import Windows
    from ingest.contract.batch import RollupBatch

_LOG = logging.getLogger(__name__)

ROOM_AGAIN = 0.8
"""Below this part of its bound an outbox is not said to be full any more."""


class Room:
    """Keeps an outbox within `most_bytes`; `made` counts how: by records merged and dropped."""

    def __init__(
        self, outbox: Outbox, revisions: Revisions, names: Names, degrader: Degrader, *, most_bytes: int
    ) -> None:
        self._outbox, self._revisions, self._names, self._degrader = outbox, revisions, names, degrader
        self._most_bytes, self._written = most_bytes, Written(names, revisions)
        self.made: Counter[str] = Counter()
        self._full = ""

    def configure(self, *, most_bytes: int) -> None:
        """Another bound from now on."""
        self._most_bytes = most_bytes

    def make(self, scene: Scene) -> int:
        """Merge the oldest records, then drop records, until the bound is kept; how many were dropped.

        Within the caller's transaction.
        """
        before, dropped = self.made.copy(), 0
        while self._over() and self._degrader.step(scene):
            self.made["merged"] += 1
        for waiting in self._outbox.droppable() if self._over() else ():
            self.discard(waiting, scene.ledger, scene.windows)
            dropped += 1
            if not self._over():
                break
        self.made["dropped"] += dropped
        self._tell(self.made - before)
        return dropped

    def discard(self, waiting: Waiting, ledger: Ledger, windows: Windows) -> None:
        """Forget a record that was never sent. Within the caller's transaction."""
        if waiting.kind is Kind.ROLLUPS and waiting.record.value:
            batch = decode_batch(waiting.record.value)
            ledger.withdraw(batch.ledger, SampleDrop.OUTBOX_FULL.value, *self._lost(batch, windows))
        self._outbox.remove([waiting.id])

    def _over(self) -> bool:
        return self._outbox.bytes > self._most_bytes

    def _lost(self, batch: RollupBatch, windows: Windows) -> tuple[Counter[int], Counter[int]]:
        # By device. A window of which a later revision is there is not lost: that revision is the whole window again. Nor is
        # one that was shown before it ended: it will be shipped whole. What is lost is corrected no more (`lost_until`), or
        # its samples would be counted twice.
        lost, reopened, until = Counter[int](), Counter[int](), windows.devices["lost_until"]
        ids = [self._id(row.device) for row in batch.devices]
        columns = [batch.column("device"), batch.column("revision"), self._written.nets(batch)]
        rows = zip(self._written.windows(batch), *(column.tolist() for column in columns), strict=True)
        for window, device, revision, net in rows:
            if window is None:
                lost[ids[device]] += net
                continue
            handed_on = self._revisions.hand_on(window, revision, net)
            self._revisions.drop(window, revision)
            if handed_on:
                continue
            if windows.told.reopen(window_key(window.series, window.start), net):
                reopened[ids[device]] += net
            else:
                lost[ids[device]] += net
                until[ids[device]] = max(window.start + window.width, int(until[ids[device]]))
        return lost, reopened

    def _id(self, device: str) -> int:
        known = self._names.find_device(device)
        return -1 if known is None else known

    def _tell(self, made: Counter[str]) -> None:
        how = "dropped" if made["dropped"] else "merged into coarser ones" if made["merged"] else self._full
        if not made and self._outbox.bytes < ROOM_AGAIN * self._most_bytes:
            how = ""
        if how != self._full:
            self._full = how
            _LOG.warning("the outbox %s", f"is full: the oldest records are {how}" if how else "has room again")
