"""Making room in an outbox that is full: the oldest rollups go first, and every sample in them is accounted for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge_aggregator.names import SeriesName
from edge_aggregator.outbox.outbox import Kind
from edge_aggregator.outbox.revisions import WindowId
from ingest.contract.batch_wire import decode_batch
from ingest.contract.reasons import SampleDrop

if TYPE_CHECKING:
    from edge_aggregator.ledger import Ledger
    from edge_aggregator.names import Names
    from edge_aggregator.outbox.outbox import Outbox, Waiting
    from edge_aggregator.outbox.revisions import Revisions
    from edge_aggregator.windows.windows import Windows

_LOG = logging.getLogger(__name__)


class Room:
    """Keeps an outbox within `most_bytes`."""

    def __init__(self, outbox: Outbox, revisions: Revisions, names: Names, *, most_bytes: int) -> None:
        self._outbox, self._revisions, self._names, self._most_bytes = outbox, revisions, names, most_bytes
        self._full = False

    def configure(self, *, most_bytes: int) -> None:
        """Another bound from now on."""
        self._most_bytes = most_bytes

    def make(self, ledger: Ledger, windows: Windows) -> int:
        """Drop records until the bound is kept; how many. Within the caller's transaction."""
        dropped = 0
        for waiting in self._outbox.droppable() if self._outbox.bytes > self._most_bytes else ():
            self.discard(waiting, ledger, windows)
            dropped += 1
            if self._outbox.bytes <= self._most_bytes:
                break
        if bool(dropped) != self._full:
            self._full = bool(dropped)
            _LOG.warning("the outbox %s", "is full: the oldest records are dropped" if dropped else "has room again")
        return dropped

    def discard(self, waiting: Waiting, ledger: Ledger, windows: Windows) -> None:
        """Forget a record that was never sent. Within the caller's transaction."""
        if waiting.kind is Kind.ROLLUPS and waiting.record.value:
            self._account(waiting.record.value, ledger, windows)
        self._outbox.remove([waiting.id])

    def _account(self, value: bytes, ledger: Ledger, windows: Windows) -> None:
        # A window of which a later revision waits is not lost: that revision is the whole window again. What is lost is
        # corrected no more (`lost_until`), or its samples would be counted twice.
        batch = decode_batch(value)
        columns = ("device", "metric", "start", "width", "count", "revision")
        lost = 0
        for device, metric, start, width, count, revision in zip(
            *(batch.column(name).tolist() for name in columns), strict=True
        ):
            device_id = self._names.find_device(batch.devices[device].device)
            name = batch.metrics[metric]
            series = self._names.find_series(SeriesName(device_id or 0, name.name, name.labels))
            window = WindowId(series or 0, start, width)
            net = self._revisions.net(window, revision) if revision else count
            if not self._revisions.hand_on(window, revision, net):
                lost += net
                until = windows.devices["lost_until"]
                until[device_id] = max(start + width, int(until[device_id or 0]))
        ledger.drop(SampleDrop.OUTBOX_FULL.value, lost)
