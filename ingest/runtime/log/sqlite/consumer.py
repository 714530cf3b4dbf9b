"""Consumers of the embedded log: a member of a group, or somebody who reads everything alone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ingest.runtime.log.port import LogUnavailableError, PartitionLostError
from ingest.runtime.log.sqlite.groups import Member, Standing, commit, committed, generation, leave, rebalance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingest.contract.records import Record, TopicPartition
    from ingest.runtime.clock import Clock
    from ingest.runtime.log.sqlite.reader import Reader
    from ingest.runtime.log.sqlite.topics import Partition, Topics


class TailConsumer:
    """Reads all partitions, alone."""

    def __init__(self, reader: Reader, partitions: Sequence[Partition]) -> None:
        self._reader, self._partitions = reader, partitions
        self._begun = False

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records`; empty after `timeout_s`. Raises LogUnavailableError."""
        return await self._reader.poll(self._begin, max_records, timeout_s)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:  # noqa: ARG002 - the port's signature
        """Raises ValueError: there is no group to remember anything for."""
        raise ValueError("a consumer without a group has nothing to commit to: subscribe with a group")

    def assigned(self) -> frozenset[TopicPartition]:
        """All partitions."""
        return frozenset(partition.place for partition in self._partitions)

    async def end_offsets(self) -> dict[TopicPartition, int]:
        """For each partition, the offset that the next record will get. Raises LogUnavailableError."""
        await self._begin()
        return await self._reader.end_offsets()

    async def close(self) -> None:
        """Nothing is held."""

    async def _begin(self) -> None:
        if not self._begun:
            await self._reader.begin(self._partitions, {})
            self._begun = True


class GroupConsumer:
    """One life of a member of a group: claims its share while it polls, reads what it holds."""

    def __init__(self, reader: Reader, member: Member, topics: Topics, clock: Clock) -> None:
        self._reader, self._member, self._topics, self._clock = reader, member, topics, clock
        self._standing = Standing({}, -1)
        self._renew_at = 0
        self._closed = False

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Up to `max_records`; empty after `timeout_s`. Raises LogUnavailableError."""
        return await self._reader.poll(self._keep_up, max_records, timeout_s)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Remember the offsets of what is still held; raises PartitionLostError when something is not."""
        claims = self._standing.claims
        by_place = {partition.place: partition for partition in claims}
        lost = offsets.keys() - by_place.keys()
        held = {by_place[place]: following for place, following in offsets.items() if place not in lost}
        await self._reader.thread.run(lambda db: commit(db, self._member, claims, held))
        if lost:
            raise PartitionLostError(f"not assigned: {', '.join(f'{p.topic}/{p.partition}' for p in sorted(lost))}")

    def assigned(self) -> frozenset[TopicPartition]:
        """What was held at the last poll."""
        return frozenset(partition.place for partition in self._standing.claims)

    async def end_offsets(self) -> dict[TopicPartition, int]:
        """For each assigned partition, the offset that the next record will get. Raises LogUnavailableError."""
        return await self._reader.end_offsets()

    async def close(self) -> None:
        """Leave the group, so that the others take over at once; when the file is away, the lease runs out."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(LogUnavailableError):
                await self._reader.thread.run(lambda db: leave(db, self._member))
            self._reader.changes.notify()

    async def _keep_up(self) -> None:
        if self._closed:
            raise LogUnavailableError("this consumer was closed: subscribe again")
        now = self._clock.now_ms()
        if now < self._renew_at and await self._generation() == self._standing.generation:
            return
        standing = await self._reader.thread.run(lambda db: rebalance(db, self._member, self._topics, now))
        await self._take_up(standing)
        self._renew_at = now + self._member.lease_ms // 3

    async def _generation(self) -> int:
        return await self._reader.thread.run(lambda db: generation(db, self._member.group))

    async def _take_up(self, standing: Standing) -> None:
        before, now = self._standing.claims, standing.claims
        new = [partition for partition, epoch in now.items() if before.get(partition) != epoch]
        self._reader.drop(before.keys() - now.keys())
        if new:
            known = await self._reader.thread.run(lambda db: committed(db, self._member.group, new))
            await self._reader.begin(new, known)
        if standing.generation != self._standing.generation:
            self._reader.changes.notify()
        self._standing = standing
