"""From a process's configuration to a running process. Each loads only the rooms it consists of."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from compose.processes.report import Report
from compose.processes.topics import TopicsService
from ingest.runtime.clock import SystemClock
from ingest.runtime.gateways import Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.open import open_log
from ingest.runtime.observe import ObserveServer, listen, server_tls
from ingest.runtime.service import Service, run_process
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from compose.processes.config import AnalyticsProcess, ApiProcess, EdgeProcess, IngestProcess
    from edge_aggregator.config import EdgeConfig
    from edge_aggregator.receive.config import ListenerConfig
    from ingest.runtime.log.open import LogConfig
    from ingest.runtime.log.port import Log
    from ingest.runtime.observe import ObserveConfig
    from ingest.runtime.store.config import StoreConfig
    from ingest.runtime.store.port import Store


class Equipment:
    """What every process has: a clock, metrics and traces, health, and what must be closed at the end."""

    def __init__(self, name: str, otlp_endpoint: str) -> None:
        # The Kafka client logs at every try what the report and /readyz say once.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        self.clock, self.health = SystemClock(), Health()
        self.telemetry = Telemetry(f"tidegate-{name}", otlp_endpoint=otlp_endpoint)
        self._closing = AsyncExitStack()

    def log(self, config: LogConfig, *, seldom: bool = False) -> Log:
        """The log, closed with the process; `seldom`: little is read from it."""
        log = open_log(config, self.clock, seldom=seldom)
        self._closing.push_async_callback(log.close)
        return log

    def store(self, config: StoreConfig) -> Store:
        """The store, closed with the process."""
        from ingest.runtime.store.open import open_store  # noqa: PLC0415 - an edge process has no store

        store = open_store(config)
        self._closing.push_async_callback(store.close)
        return store

    def topics(self, log: Log) -> TopicsService:
        """Creates the topics that are missing."""
        return TopicsService(log, clock=self.clock, health=self.health)

    def observe(self, config: ObserveConfig) -> ObserveServer:
        """/metrics, /healthz and /readyz."""
        return ObserveServer(config, health=self.health, telemetry=self.telemetry)

    async def run(
        self, services: Sequence[Service], *, started: Sequence[asyncio.Event], introduction: Callable[[], str]
    ) -> None:
        """Run until SIGTERM, then drain and close."""
        report = Report(started, introduction, clock=self.clock, health=self.health)
        try:
            await run_process([*services, report])
        finally:
            await self._closing.aclose()
            self.telemetry.close()


async def run_edge(config: EdgeProcess, path: Path) -> None:
    """The edge aggregator of one site; its configuration came from `path`, and is read again on SIGHUP."""
    from compose.processes.memory import SpareMemory, collect_rarely  # noqa: PLC0415 - the other processes do without it
    from compose.processes.reload import ReloadService  # noqa: PLC0415 - the same
    from edge_aggregator.receive.mqtt.listener import MqttListener  # noqa: PLC0415 - the other processes do without it
    from edge_aggregator.service import build_edge  # noqa: PLC0415 - the same

    if config.edge.listener is not None:
        _require_free(config.edge.listener)
    has = Equipment("edge", config.tracing.otlp_endpoint)
    log, observe = has.log(config.log, seldom=True), has.observe(config.observe)
    edge = build_edge(config.edge, clock=has.clock, log=log, health=has.health, telemetry=has.telemetry)
    listeners = [receiver for receiver in edge.receivers if isinstance(receiver, MqttListener)]
    collect_rarely()
    await has.run(
        [edge, observe, ReloadService(path, config, edge, has.telemetry), SpareMemory()],
        started=[observe.started, *(listener.listening for listener in listeners)],
        introduction=lambda: (
            f"edge {config.edge.gateway} of site {config.edge.site}, devices at "
            f"{_devices(config.edge, [listener.port for listener in listeners])}, "
            f"{_named(config.log)}, {_observed(observe)}"
        ),
    )


async def run_ingest(config: IngestProcess) -> None:
    """The central door."""
    from ingest.door.service import build_ingest  # noqa: PLC0415 - the other processes do without it

    has = Equipment("ingest", config.tracing.otlp_endpoint)
    log, store, observe = has.log(config.log), has.store(config.store), has.observe(config.observe)
    door = build_ingest(
        config.ingest,
        Gateways(config.gateways),
        clock=has.clock,
        log=log,
        store=store,
        health=has.health,
        telemetry=has.telemetry,
    )
    place = config.store.path or config.store.url
    await has.run(
        [has.topics(log), door, observe],
        started=[observe.started],
        introduction=lambda: (
            f"ingest {config.ingest.member}, {_named(config.log)}, "
            f"store {config.store.kind} {place}, {_observed(observe)}"
        ),
    )


async def run_analytics(config: AnalyticsProcess) -> None:
    """Detection, alerts, gate and rollback."""
    from analytics.service import build_analytics  # noqa: PLC0415 - the other processes do without it

    has = Equipment("analytics", config.tracing.otlp_endpoint)
    log, observe = has.log(config.log), has.observe(config.observe)
    services = build_analytics(
        config.analytics,
        Gateways(config.gateways),
        clock=has.clock,
        log=log,
        health=has.health,
        telemetry=has.telemetry,
        store=has.store(config.store) if config.store is not None else None,
    )
    alerts = config.analytics.alerts
    receivers = [*(webhook.name for webhook in alerts.webhooks), *(manager.name for manager in alerts.alertmanagers)]
    await has.run(
        [has.topics(log), *services, observe],
        started=[observe.started],
        introduction=lambda: (
            f"analytics, {_named(config.log)}, alerts go to {', '.join(receivers) or 'nobody'}, {_observed(observe)}"
        ),
    )


async def run_api(config: ApiProcess) -> None:
    """The API and the page."""
    from compose.processes.memory import collect_rarely  # noqa: PLC0415 - the other processes do without it
    from dashboards.api.service import build_api  # noqa: PLC0415 - the same

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
        # A look for garbage among all devices takes a quarter of a second: they are no garbage.
        settled=collect_rarely,
    )
    await has.run(
        [has.topics(log), api],
        started=[api.started],
        introduction=lambda: f"api and page at {api.address}, {_named(config.log)}, {len(config.api.tokens)} tokens",
    )


def _require_free(config: ListenerConfig) -> None:
    # Once it runs, the listener waits for an address that is taken; at the start that is a mistake to be told at once.
    if config.tls is not None:
        server_tls(config.tls.cert_file or "", config.tls.key_file or "")
    if config.port:
        listen(config.host, config.port).close()


def _devices(config: EdgeConfig, ports: Sequence[int | None]) -> str:
    if config.listener is not None:
        return f"mqtt://{config.listener.host}:{ports[0]}"
    return f"broker {config.broker.host}:{config.broker.port}" if config.broker else "nowhere"


def _named(log: LogConfig) -> str:
    return f"log {log.kind} {log.path or log.bootstrap}"


def _observed(observe: ObserveServer) -> str:
    return f"metrics at {observe.address}/metrics" if observe.address else "no metrics"
