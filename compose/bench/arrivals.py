"""What of a drain arrives in Kafka, and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ingest.contract.batch_wire import decode_batch
from ingest.contract.topics import ROLLUPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from compose.bench.backlog import Backlog
    from ingest.runtime.clock import Clock
    from ingest.runtime.log.port import Log

_RECORDS = 500
_POLL_S = 0.2


class _Head(msgspec.Struct):
    """What is looked at of a batch that was made before the drain: so that looking costs the drain nothing."""

    historical: bool
    created: int
    rows: int


_HEAD = msgspec.msgpack.Decoder(_Head)


class Arrivals:
    """Reads rollups as they arrive.

    `old` has a (when, rows) for each batch of the backlog, `lags` the lags of live windows, `live_samples` their
    samples; times in ms. `marked`: every batch that had waited for `late_ms` said that it is backlog.
    """

    def __init__(self, log: Log, clock: Clock, backlog: Backlog, begun_ms: int, late_ms: int) -> None:
        self._log, self._clock, self._backlog = log, clock, backlog
        self._begun_ms, self._late_ms = begun_ms, late_ms
        self.more = asyncio.Event()
        self.old: list[tuple[int, int]] = []
        self.lags: list[NDArray[np.int64]] = []
        self.live_samples = 0
        self.marked = True

    async def run(self) -> None:
        """Until cancelled."""
        consumer = await self._log.subscribe([ROLLUPS], group=None, member="bench")
        try:
            while True:
                for record in await consumer.poll(_RECORDS, _POLL_S):
                    self._take(record.value or b"", self._clock.now_ms())
        finally:
            await consumer.close()

    async def live(self, samples: int) -> None:
        """Return once so many samples of live windows have arrived."""
        while self.live_samples < samples:
            self.more.clear()
            await self.more.wait()

    def _take(self, value: bytes, now: int) -> None:
        head = _HEAD.decode(value)
        if head.created < self._begun_ms:
            self.marked &= head.historical or head.created > self._begun_ms - self._late_ms
            self.old.append((now, head.rows))
            return
        batch = decode_batch(value)
        end = batch.column("start") + batch.column("width").astype(np.int64)
        live = end > self._backlog.end_ms + int(batch.column("width").max(initial=0))
        self.lags.append(now - end[live])
        self.live_samples += int(batch.column("count")[live].sum())
        self.more.set()
        if not live.all():  # what the outage had left open
            self.old.append((now, int((~live).sum())))
