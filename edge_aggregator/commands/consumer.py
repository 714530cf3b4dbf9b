"""What the centre sends down: read from the log, kept durably, then committed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from ingest.contract.records import TopicPartition
from ingest.runtime.backoff import Backoff
from ingest.runtime.log.port import LogUnavailableError, PartitionLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ingest.contract.records import Record
    from ingest.runtime.clock import Clock
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Consumer, Log

    Take = Callable[[Sequence[Record], int], Awaitable[None]]

POLL_S = 2.0
"""How long one look waits at the most; what comes ends it at once."""
_MOST_RECORDS = 2_000
"""A wave of commands is kept in few transactions: each writes a good part of the table's pages."""


class DownConsumer:
    """Reads one topic as the one member of the gateway's own `group`; what `take` has kept (at ms) is committed."""

    def __init__(
        self,
        log: Log,
        topic: str,
        take: Take,
        *,
        group: str,
        member: str,
        clock: Clock,
        health: Health,
        part: str,
        poll_s: float = POLL_S,
    ) -> None:
        self._log, self._topic, self._take_records, self._group, self._member = log, topic, take, group, member
        self._clock, self._health, self._part, self._poll_s = clock, health, part, poll_s
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
        consumer = await self._log.subscribe([self._topic], group=self._group, member=self._member)
        try:
            while True:
                records = await consumer.poll(_MOST_RECORDS, self._poll_s)
                self._health.ready(self._part)
                self._backoff.reset()
                if records:
                    await self._take(consumer, records)
        finally:
            await consumer.close()

    async def _take(self, consumer: Consumer, records: Sequence[Record]) -> None:
        await self._take_records(records, self._clock.now_ms())
        offsets = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
        try:
            await consumer.commit(offsets)
        except PartitionLostError:  # they will be read again, and recognised
            self._health.waiting(self._part, "the partitions moved to another member")
