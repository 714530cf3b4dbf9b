"""The Log port on Apache Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.runtime.log.kafka.appender import Appender
from ingest.runtime.log.kafka.compacted import read_table
from ingest.runtime.log.kafka.consumer import close_client, open_client, subscribe_alone, subscribe_member
from ingest.runtime.log.kafka.errors import unavailable
from ingest.runtime.log.kafka.topics import KafkaTopics
from ingest.runtime.log.limits import check_sizes
from ingest.runtime.log.port import LogUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ingest.contract.records import Outgoing, Record, TopicPartition
    from ingest.contract.topics import TopicSettings
    from ingest.runtime.clock import Clock
    from ingest.runtime.log.kafka.config import KafkaConfig
    from ingest.runtime.log.port import Consumer


class KafkaLog:
    """A Log in the cluster of `config`; `clock` measures how long the brokers have been silent."""

    def __init__(self, config: KafkaConfig, clock: Clock) -> None:
        """Raises ValueError when the configuration contradicts itself."""
        config.check()
        self._config, self._clock = config, clock
        self._topics = KafkaTopics(config)
        self._appender = Appender(config)
        self._closed = False

    async def ensure_topics(self, topics: Mapping[str, TopicSettings]) -> None:
        """Create what is missing; what exists is left as it is. Raises LogUnavailableError."""
        self._require_open()
        await self._topics.ensure(topics)

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append all, acknowledged by all in-sync replicas on return. Raises LogUnavailableError, RecordTooLargeError."""
        self._require_open()
        if not records:
            return
        check_sizes(records)
        await self._topics.find({record.topic for record in records})
        try:
            await self._appender.append(records)
        except LogUnavailableError:
            self._topics.forget()
            raise

    async def subscribe(
        self,
        topics: Sequence[str],
        *,
        group: str | None,
        member: str,
        resume: Callable[[TopicPartition], int | None] | None = None,
    ) -> Consumer:
        """Join `group` as static member `member`; with group None, read everything alone. Raises LogUnavailableError."""
        self._require_open()
        partitions = await self._topics.find(topics)
        begin = resume or (lambda _: None)
        if group is None:
            return await subscribe_alone(self._config, self._clock, partitions, begin)
        return await subscribe_member(self._config, self._clock, topics, group=group, member=member, resume=begin)

    async def read_compacted(self, topic: str) -> dict[bytes, Record]:
        """The newest record of each key; tombstones are left out. Raises LogUnavailableError."""
        self._require_open()
        partitions = await self._topics.find([topic])
        client = await open_client(self._config)
        try:
            with unavailable(f"reading {topic}"):
                return await read_table(client, partitions)
        finally:
            await close_client(client)

    async def close(self) -> None:
        """Disconnect, within a few seconds even when the brokers are away; consumers are closed by their owners."""
        if not self._closed:
            self._closed = True
            await self._appender.close()

    def _require_open(self) -> None:
        if self._closed:
            raise LogUnavailableError("kafka: the log was closed")
