"""A log whose topics and groups have names of their own, where one Kafka serves all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from ingest.contract.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ingest.contract.records import Outgoing, Record
    from ingest.contract.topics import TopicSettings
    from ingest.runtime.log.port import Consumer, Log


class OwnTopics:
    """Every name begins with `prefix` in the log beneath."""

    def __init__(self, log: Log, prefix: str) -> None:
        self._log, self._prefix = log, prefix
        self.close = log.close

    async def ensure_topics(self, topics: Mapping[str, TopicSettings]) -> None:
        await self._log.ensure_topics({self._prefix + name: settings for name, settings in topics.items()})

    async def append(self, records: Sequence[Outgoing]) -> None:
        await self._log.append([replace(record, topic=self._prefix + record.topic) for record in records])

    async def subscribe(
        self,
        topics: Sequence[str],
        *,
        group: str | None,
        member: str,
        resume: Callable[[TopicPartition], int | None] | None = None,
    ) -> Consumer:
        names = [self._prefix + topic for topic in topics]
        begin = resume and (lambda place: resume(self._own(place)))
        consumer = await self._log.subscribe(names, group=group and self._prefix + group, member=member, resume=begin)
        return OwnConsumer(consumer, self._prefix)

    async def read_compacted(self, topic: str) -> dict[bytes, Record]:
        found = await self._log.read_compacted(self._prefix + topic)
        return {key: replace(record, topic=topic) for key, record in found.items()}

    def _own(self, place: TopicPartition) -> TopicPartition:
        return TopicPartition(place.topic.removeprefix(self._prefix), place.partition)


class OwnConsumer:
    def __init__(self, consumer: Consumer, prefix: str) -> None:
        self._consumer, self._prefix = consumer, prefix
        self.close = consumer.close

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        records = await self._consumer.poll(max_records, timeout_s)
        return [replace(record, topic=record.topic.removeprefix(self._prefix)) for record in records]

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._consumer.commit(
            {
                TopicPartition(self._prefix + place.topic, place.partition): following
                for place, following in offsets.items()
            }
        )

    def assigned(self) -> frozenset[TopicPartition]:
        return frozenset(self._own(place) for place in self._consumer.assigned())

    async def end_offsets(self) -> dict[TopicPartition, int]:
        return {self._own(place): end for place, end in (await self._consumer.end_offsets()).items()}

    def _own(self, place: TopicPartition) -> TopicPartition:
        return TopicPartition(place.topic.removeprefix(self._prefix), place.partition)
