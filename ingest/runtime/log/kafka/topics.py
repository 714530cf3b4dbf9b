"""Kafka's topics: created as the contract has them, and looked up before they are used."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code

from ingest.contract.records import TopicPartition
from ingest.runtime.log.kafka.errors import PATIENCE_S, finish, unavailable
from ingest.runtime.log.port import LogUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from ingest.contract.topics import TopicSettings
    from ingest.runtime.log.kafka.config import KafkaConfig

COMPACTION_LAG_MS = 86_400_000
"""Every change of a key can be read for a day before only the newest is kept: readers may lag that much."""


class KafkaTopics:
    """What is known of the cluster's topics: partitions by name."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._partitions: dict[str, int] = {}

    async def ensure(self, topics: Mapping[str, TopicSettings]) -> None:
        """Create what is missing and wait until it can be seen. Raises LogUnavailableError."""
        with unavailable("creating topics"):
            async with asyncio.timeout(PATIENCE_S):
                async with self._admin() as admin:
                    await self._look(admin)
                    missing = {name: settings for name, settings in topics.items() if name not in self._partitions}
                    await self._create(admin, missing)
                    while topics.keys() - self._partitions.keys():
                        await asyncio.sleep(0.1)
                        await self._look(admin)

    async def find(self, names: Iterable[str]) -> list[TopicPartition]:
        """All partitions of these topics. Raises LogUnavailableError when one does not exist."""
        wanted = list(names)
        if any(name not in self._partitions for name in wanted):
            with unavailable("looking up topics"):
                async with asyncio.timeout(PATIENCE_S):
                    async with self._admin() as admin:
                        await self._look(admin)
        for name in wanted:
            if name not in self._partitions:
                raise LogUnavailableError(f"topic {name!r} does not exist: tidegate ingest run makes it")
        return [TopicPartition(name, part) for name in wanted for part in range(self._partitions[name])]

    def forget(self) -> None:
        """Look again at the next use: the cluster may have been made anew."""
        self._partitions.clear()

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(**self._config.client(), request_timeout_ms=round(PATIENCE_S * 1000))
        try:
            await admin.start()
            yield admin
        finally:
            await finish(admin.close())

    async def _look(self, admin: AIOKafkaAdminClient) -> None:
        self._partitions = {
            topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics() if topic["partitions"]
        }

    async def _create(self, admin: AIOKafkaAdminClient, topics: Mapping[str, TopicSettings]) -> None:
        if not topics:
            return
        new = [self._new_topic(name, settings) for name, settings in topics.items()]
        response = await admin.create_topics(new)
        for name, code, *message in response.topic_errors:
            if for_code(code) not in (NoError, TopicAlreadyExistsError):
                raise LogUnavailableError(f"kafka: cannot create topic {name!r}: {for_code(code).__name__} {message}")

    def _new_topic(self, name: str, settings: TopicSettings) -> NewTopic:
        # The empty replica assignment is what lets the client pass a replication factor of -1.
        return NewTopic(name, settings.partitions, self._config.replication, {}, topic_configs(settings))


def topic_configs(settings: TopicSettings) -> dict[str, str]:
    """A topic's configuration in Kafka's own terms."""
    configs = {"retention.ms": str(settings.retention_ms), "message.timestamp.type": "LogAppendTime"}
    if settings.compacted:
        configs |= {"cleanup.policy": "compact", "min.compaction.lag.ms": str(COMPACTION_LAG_MS)}
    return configs
