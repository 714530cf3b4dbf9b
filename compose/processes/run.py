"""From a process's configuration to a running process."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from analytics.service import build_analytics
from compose.processes.topics import TopicsService
from dashboards.api.service import build_api
from edge_aggregator.service import build_edge
from ingest.door.service import build_ingest
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.open import open_log
from ingest.runtime.observe import ObserveServer
from ingest.runtime.service import Service, run_process
from ingest.runtime.store.open import open_store
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from compose.processes.config import AnalyticsProcess, ApiProcess, EdgeProcess, IngestProcess
    from ingest.runtime.log.open import LogConfig
    from ingest.runtime.log.port import Log
    from ingest.runtime.store.config import StoreConfig
    from ingest.runtime.store.port import Store


class Equipment:
    """What every process has: a clock, metrics and traces, health, and what must be closed at the end."""

    def __init__(self, name: str, otlp_endpoint: str) -> None:
        self.clock, self.health = SystemClock(), Health()
        self.telemetry = Telemetry(f"tidegate-{name}", otlp_endpoint=otlp_endpoint)
        self._closing = AsyncExitStack()

    def log(self, config: LogConfig) -> Log:
        """The log, closed with the process."""
        log = open_log(config, self.clock)
        self._closing.push_async_callback(log.close)
        return log

    def store(self, config: StoreConfig) -> Store:
        """The store, closed with the process."""
        store = open_store(config)
        self._closing.push_async_callback(store.close)
        return store

    async def run(self, services: list[Service]) -> None:
        """Run until SIGTERM, then drain and close."""
        try:
            await run_process(services)
        finally:
            await self._closing.aclose()
            self.telemetry.close()


async def run_edge(config: EdgeProcess) -> None:
    """The edge aggregator of one site."""
    has = Equipment("edge", config.tracing.otlp_endpoint)
    log = has.log(config.log)
    edge = build_edge(config.edge, clock=has.clock, log=log, health=has.health, telemetry=has.telemetry)
    await has.run([edge, ObserveServer(config.observe, health=has.health, telemetry=has.telemetry)])


async def run_ingest(config: IngestProcess) -> None:
    """The central door."""
    has = Equipment("ingest", config.tracing.otlp_endpoint)
    log, store = has.log(config.log), has.store(config.store)
    door = build_ingest(
        config.ingest,
        Gateways(config.gateways),
        clock=has.clock,
        log=log,
        store=store,
        health=has.health,
        telemetry=has.telemetry,
    )
    observe = ObserveServer(config.observe, health=has.health, telemetry=has.telemetry)
    await has.run([TopicsService(log, clock=has.clock, health=has.health), door, observe])


async def run_analytics(config: AnalyticsProcess) -> None:
    """Detection, alerts, gate and rollback."""
    has = Equipment("analytics", config.tracing.otlp_endpoint)
    log = has.log(config.log)
    services = build_analytics(
        config.analytics,
        Gateways(config.gateways),
        clock=has.clock,
        log=log,
        health=has.health,
        telemetry=has.telemetry,
    )
    observe = ObserveServer(config.observe, health=has.health, telemetry=has.telemetry)
    await has.run([TopicsService(log, clock=has.clock, health=has.health), *services, observe])


async def run_api(config: ApiProcess) -> None:
    """The API and the page."""
    has = Equipment("api", config.tracing.otlp_endpoint)
    log, store = has.log(config.log), has.store(config.store)
    api = build_api(
        config.api,
        Gateways(config.gateways),
        clock=has.clock,
        log=log,
        store=store,
        health=has.health,
        telemetry=has.telemetry,
    )
    await has.run([TopicsService(log, clock=has.clock, health=has.health), api])
