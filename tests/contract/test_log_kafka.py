"""Apache Kafka behaves as every Log does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from ingest.runtime.clock import SystemClock
from ingest.runtime.log.kafka import KafkaConfig, KafkaLog
from tests.contract.log_behaviour import LogBehaviour
from tests.contract.log_place import LogPlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from compose.stack.endpoints import KafkaEndpoint
    from ingest.runtime.log.port import Consumer, Log
    from tests.servers import RunningServer


class KafkaPlace(LogPlace):
    def __init__(self, server: RunningServer[KafkaEndpoint], config: KafkaConfig) -> None:
        super().__init__()
        self._server, self._config = server, config

    def make(self) -> Log:
        return KafkaLog(self._config, SystemClock())

    async def crash(self, consumer: Consumer) -> None:
        # Stopped behind the adapter's back, a static member does not leave its group.
        await consumer._client.stop()  # type: ignore[attr-defined]  # of this adapter

    def pass_lease(self) -> None:
        """The session timeout is the broker's business."""

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self._server.stop)
        yield
        await asyncio.to_thread(self._server.start)


@pytest.mark.servers
class TestKafkaLog(LogBehaviour):
    @pytest.fixture
    def place(self, kafka: RunningServer[KafkaEndpoint], kafka_config: KafkaConfig) -> LogPlace:
        return KafkaPlace(kafka, kafka_config)
