"""Reading on in partitions of the embedded log, each from its own position."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ingest.runtime.log.sqlite.records import end_offset, read_on

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from ingest.contract.records import Record, TopicPartition
    from ingest.runtime.log.sqlite.changes import Changes
    from ingest.runtime.log.sqlite.topics import Partition
    from ingest.runtime.log.sqlite.worker_thread import WorkerThread


class Reader:
    """The positions of one consumer."""

    def __init__(
        self, thread: WorkerThread, changes: Changes, resume: Callable[[TopicPartition], int | None] | None
    ) -> None:
        self.thread, self.changes = thread, changes
        self._resume = resume or (lambda _: None)
        self._positions: dict[Partition, int] = {}

    async def begin(self, partitions: Iterable[Partition], committed: Mapping[Partition, int]) -> None:
        """Take these up at the caller's own offset, else the committed one, else the first record.

        An offset beyond the end belongs to another log: reading begins at the first record, as it does with Kafka.
        """
        ends = await self._ends(partitions)
        for partition, end in ends.items():
            own = self._resume(partition.place)
            start = committed.get(partition, 0) if own is None else own
            self._positions[partition] = start if start <= end else 0

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Read these no longer."""
        for partition in partitions:
            self._positions.pop(partition, None)

    async def poll(self, prepare: Callable[[], Awaitable[None]], max_records: int, timeout_s: float) -> list[Record]:
        """What comes next, after `prepare` has settled which partitions are read; empty after `timeout_s`."""
        now = asyncio.get_running_loop().time
        deadline = now() + timeout_s
        while True:
            seen = self.changes.count
            await prepare()
            records = await self._read(max_records)
            if records or (left := deadline - now()) <= 0:
                return records
            await self.changes.wait(seen, left)

    async def end_offsets(self) -> dict[TopicPartition, int]:
        """The offsets that the next records will get."""
        return {partition.place: end for partition, end in (await self._ends(self._positions)).items()}

    async def _read(self, max_records: int) -> list[Record]:
        places = list(self._positions.items())
        records = await self.thread.run(lambda db: read_on(db, places, max_records))
        following = {record.topic_partition: record.offset + 1 for record in records}
        # Those that were read go to the back of the queue, so that a busy partition does not starve the others.
        for partition, _ in places:
            if partition.place in following:
                self._positions.pop(partition)
                self._positions[partition] = following[partition.place]
        return records

    async def _ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        wanted = list(partitions)
        return await self.thread.run(lambda db: {partition: end_offset(db, partition) for partition in wanted})
