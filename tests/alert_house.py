"""A log, and the alerts' services as they are shipped, with receivers of tests."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from analytics.alerts.config import AlertsConfig
from analytics.alerts.receiver_config import WebhookConfig
from analytics.alerts.service import build_alerts
from analytics.surroundings import Surroundings
from ingest.runtime.clock import SystemClock
from ingest.runtime.health import Health
from ingest.runtime.log.sqlite import SqliteLog
from ingest.runtime.secrets import write_secret
from ingest.runtime.service import run_until
from ingest.runtime.telemetry import Telemetry
from tests.alert_world import Fleet, anomaly
from tests.receivers import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from ingest.contract.events import AnomalyStatus
    from tests.receivers import Receiver


class House:
    """A log, and the alerts' services as often as they are started."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, SystemClock()
        self.log = SqliteLog(folder / "log.db", self.clock)
        self.gateways = Fleet().gateways
        self.health, self.telemetry = Health(), Telemetry("alerts")
        self._reported_at = 0
        write_secret(folder / "secret", b"fixed for the test")

    def webhook(self, receiver: Receiver, name: str = "on-call", **more: Any) -> WebhookConfig:
        more = {"most_wait_s": 0.05, "timeout_s": 5.0} | more
        return WebhookConfig(name=name, url=receiver.url, secret_file=str(self.folder / "secret"), **more)

    @asynccontextmanager
    async def running(self, **config: Any) -> AsyncIterator[asyncio.Task[None]]:
        config = {"group_wait_s": 0.05, "tick_s": 0.02, "notify_each": True} | config
        services = build_alerts(
            AlertsConfig(**config),
            self.gateways,
            Surroundings(self.clock, self.log, self.health, self.telemetry, self.folder),
        )
        stop = asyncio.Event()
        running = asyncio.create_task(run_until(services, stop))
        try:
            yield running
        finally:
            stop.set()
            await running

    async def report(self, status: AnomalyStatus, *devices: str, trace: str = "") -> None:
        self._reported_at = at = max(self.clock.now_ms(), self._reported_at + 1)  # windows follow each other
        await self.log.append([anomaly(device, at, status, trace=trace) for device in devices])

    def metric(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(name, labels) or 0.0

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not reached():  # noqa: ASYNC110 - what is looked at has no event
                await asyncio.sleep(0.01)
