"""Commands from the centre: read from the log, kept durably, then committed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from ingest.contract.records import TopicPartition
from ingest.contract.topics import COMMANDS
from ingest.runtime.backoff import Backoff
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_aggregator.core import Core
    from edge_aggregator.thread import OneThread
    from ingest.contract.records import Record
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Consumer, Log

POLL_S = 0.5
_MOST_RECORDS = 500


class CommandConsumer:
    """Reads as the one member of the gateway's own group; `taken` is called after each commit."""

    def __init__(
        self,
        core: Core,
        thread: OneThread,
        log: Log,
        gateway: str,
        *,
        clock: Clock,
        health: Health,
        part: str,
        taken: Callable[[], None],
    ) -> None:
        self._core, self._thread, self._log, self._gateway = core, thread, log, gateway
        self._clock, self._health, self._part, self._taken = clock, health, part, taken
        self._backoff = Backoff(random.Random())  # noqa: S311 - jitter, not a secret

    async def run(self) -> None:
        """Until cancelled; while the log is away it waits with jittered backoff and says so."""
        while True:
            try:
                await self._run_connected()
            except LogUnavailableError as error:
                self._health.waiting(self._part, f"log: {error}")
                await self._clock.sleep(self._backoff.next())

    async def _run_connected(self) -> None:
        group = f"tidegate-edge-{self._gateway}"
        consumer = await self._log.subscribe([COMMANDS], group=group, member=self._gateway)
        try:
            while True:
                records = await consumer.poll(_MOST_RECORDS, POLL_S)
                self._health.ready(self._part)
                self._backoff.reset()
                if records:
                    await self._take(consumer, records)
        finally:
            await consumer.close()

    async def _take(self, consumer: Consumer, records: Sequence[Record]) -> None:
        await self._thread.run(self._core.take_commands, records, self._clock.now_ms())
        self._taken()
        offsets = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
        try:
            await consumer.commit(offsets)
        except PartitionLostError:  # they will be read again, and recognised
            self._health.waiting(self._part, "the partitions moved to another member")
