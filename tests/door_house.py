"""A door with everything around it for tests: the embedded log, a store, and somebody who waits for what must happen."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ingest.contract.events import AccountEvent
from ingest.contract.records import read_event
from ingest.contract.topics import ACCOUNTS, ROLLUPS, every_topic
from ingest.door.config import IngestConfig
from ingest.door.dead import dead_letters
from ingest.door.service import build_ingest
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.store.sqlite import SqliteStore
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ingest.contract.records import Outgoing
    from ingest.door.dead import DeadLetter
    from ingest.runtime.log.port import Log
    from ingest.runtime.service import Service
    from ingest.runtime.store.port import Store, StoreTotals
    from tests.signed_gateway import SignedGateway

DEADLINE_S = 180.0
FAST = IngestConfig(poll_s=0.02, store_retry_first_s=0.01, store_retry_most_s=0.05, keep_up_s=0.05)


class DoorHouse:
    """One log and one store in a folder; doors come and go."""

    def __init__(
        self, folder: Path, *gateways: SignedGateway, store: Store | None = None, log: Log | None = None
    ) -> None:
        self.clock = SystemClock()
        self.log: Log = log or SqliteLog(folder / "log.db", self.clock)
        self.store: Store = store or SqliteStore(folder / "store.db")
        self.gateways = Gateways([gateway.config for gateway in gateways])
        self.health = Health()
        self.spans = InMemorySpanExporter()
        self.telemetry = Telemetry("test", processors=(SimpleSpanProcessor(self.spans),))
        self._running: list[tuple[Service, asyncio.Task[None]]] = []

    async def __aenter__(self) -> Self:
        await self.log.ensure_topics(every_topic())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self.log.close()
        await self.store.close()
        self.telemetry.close()

    def start(self, config: IngestConfig = FAST, log: Log | None = None) -> asyncio.Task[None]:
        door = build_ingest(
            config,
            self.gateways,
            clock=self.clock,
            log=log or self.log,
            store=self.store,
            health=self.health,
            telemetry=self.telemetry,
        )
        self._running.append((door, asyncio.create_task(door.run())))
        return self._running[-1][1]

    async def stop(self) -> None:
        """Drain every door and wait for its end."""
        while self._running:
            door, task = self._running.pop()
            door.drain()
            await task

    async def kill(self) -> None:
        """End every door where it stands."""
        while self._running:
            _, task = self._running.pop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def send(self, *records: Outgoing) -> None:
        await self.log.append(records)

    async def until(self, condition: Callable[[], bool]) -> None:
        await eventually(condition, self._running)

    async def until_batches(self, count: int) -> AccountEvent:
        """Wait for an account of so many batches, duplicates included: the only one there is."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            accounts = await self.accounts()
            if accounts and sum(a.batches + a.duplicate_batches for a in accounts) >= count:
                return accounts[0]
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {count} batches in {await self.accounts()}, health {self.health.reasons()}")

    async def accounts(self) -> list[AccountEvent]:
        found = [read_event(record, AccountEvent) for record in (await self.log.read_compacted(ACCOUNTS)).values()]
        return [account for account in found if account is not None]

    async def letters(self, count: int = 0) -> list[DeadLetter]:
        """The dead letters, at least `count` of them."""
        deadline = time.monotonic() + DEADLINE_S
        while len(letters := await dead_letters(self.log, ROLLUPS)) < count:
            assert time.monotonic() < deadline, f"{len(letters)} dead letters, expected {count}"
            await asyncio.sleep(0.01)
        return letters

    async def totals(self) -> StoreTotals:
        return await self.store.totals("acme")

    def metric(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(name, labels) or 0.0


async def eventually(condition: Callable[[], bool], running: object = None) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"it never came true; {running}"
        await asyncio.sleep(0.005)
