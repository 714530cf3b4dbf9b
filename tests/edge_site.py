"""A whole gateway in a test: the service with its listener, the embedded log, and what the centre reads from it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_aggregator.receive.config import ListenerConfig
from edge_aggregator.service import build_edge
from ingest.contract.batch_wire import decode_batch
from ingest.contract.topics import ROLLUPS, every_topic
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import GatewayConfig, Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import generate_private_key, public_key_text
from ingest.runtime.telemetry import Telemetry
from tests.edge_bench import SITE, edge_config
from tests.mqtt_intake import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edge_aggregator.receive.mqtt.listener import MqttListener
    from edge_aggregator.service import EdgeService
    from ingest.contract.batch import RollupBatch
    from ingest.contract.records import Record
    from ingest.runtime.log.port import Log

FAST: dict[str, Any] = {
    "window_s": 1.0,
    "idle_close_s": 1.0,
    "lease_s": 2.0,
    "heartbeat_s": 0.3,
    "flush_interval_s": 0.1,
    "commit_interval_s": 0.02,
    "command_retry_s": 0.2,
}
"""Everything soon, so that a test need not wait."""


class Site:
    """One gateway that runs, its centre's key, and the log as the centre sees it."""

    def __init__(self, folder: Path, log: Log, centre: Ed25519PrivateKey) -> None:
        self.folder, self.log, self.centre = folder, log, centre
        self.clock, self.health, self.telemetry = SystemClock(), Health(), Telemetry("test")
        public = generate_private_key(folder / "gateway.pem").public_key()
        gateway = GatewayConfig(gateway="gw-1", tenant="acme", site=SITE, public_key=public_key_text(public))
        self.gateways = Gateways([gateway])
        self.edge: EdgeService

    @property
    def port(self) -> int:
        return self.listener.port or 0

    @property
    def listener(self) -> MqttListener:
        listener: Any = self.edge.receivers[0]
        return listener

    async def records(self, topic: str) -> list[Record]:
        """Everything in a topic, each record signed by the gateway."""
        consumer = await self.log.subscribe([topic], group=None, member="test")
        found: list[Record] = []
        try:
            while records := await consumer.poll(10_000, 0.0):
                found += records
        finally:
            await consumer.close()
        for record in found:
            self.gateways.verify(record)
        return sorted(found, key=lambda record: (record.partition, record.offset))

    async def batches(self) -> list[RollupBatch]:
        return [decode_batch(record.value or b"") for record in await self.records(ROLLUPS)]

    @asynccontextmanager
    async def running(self, log: Log | None = None, **changes: Any) -> AsyncIterator[EdgeService]:
        """The gateway, until the block ends; then it is drained."""
        config = edge_config(
            self.folder,
            listener=ListenerConfig(site=SITE, port=0),
            **(FAST | {"centre_keys": [public_key_text(self.centre.public_key())]} | changes),
        )
        self.edge = build_edge(
            config, clock=self.clock, log=log or self.log, health=self.health, telemetry=self.telemetry
        )
        running = asyncio.create_task(self.edge.run())
        try:
            async with asyncio.timeout(DEADLINE_S):
                ready = asyncio.create_task(self.listener.listening.wait())
                await asyncio.wait({ready, running}, return_when=asyncio.FIRST_COMPLETED)
                ready.cancel()
            yield self.edge
        finally:
            self.edge.drain()
            await running


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    log = SqliteLog(folder / "log.db", SystemClock())
    await log.ensure_topics(every_topic())
    try:
        yield Site(folder, log, Ed25519PrivateKey.generate())
    finally:
        await log.close()
