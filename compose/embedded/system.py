"""A whole system in one process: a gateway a site, the central door, analytics and the API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from analytics.service import build_analytics
from compose.embedded.settings import (
    Places,
    Spans,
    analytics_config,
    api_config,
    edge_config,
    listening,
    log_config,
    store_config,
    subscribed,
)
from compose.embedded.uplink import Uplink
from compose.fleet.link import BrokerAddress
from dashboards.api.service import build_api
from edge_aggregator.receive.mqtt.listener import MqttListener
from edge_aggregator.service import build_edge
from ingest.contract.topics import every_topic
from ingest.door.config import IngestConfig
from ingest.door.service import build_ingest
from ingest.runtime.gateways import Gateways
from ingest.runtime.health import Health
from ingest.runtime.log.open import open_log
from ingest.runtime.service import Service, run_until
from ingest.runtime.store.open import open_store
from ingest.runtime.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.alerts.receiver_config import AlertmanagerConfig, WebhookConfig
    from compose.embedded.credentials import Credentials
    from compose.stack.endpoints import Endpoints
    from edge_aggregator.service import EdgeService
    from ingest.runtime.clock import Clock


class System:
    """Built from settings, started, looked at through `api_address`, stopped."""

    def __init__(
        self,
        tenant: str,
        sites: Sequence[str],
        *,
        places: Places,
        spans: Spans,
        credentials: Credentials,
        clock: Clock,
        webhooks: list[WebhookConfig],
        alertmanagers: list[AlertmanagerConfig] | None = None,
        servers: Endpoints | None = None,
    ) -> None:
        self.health, self.telemetry = Health(), Telemetry("tidegate")
        self.log = open_log(log_config(places, servers), clock)
        self.store = open_store(store_config(tenant, places, servers))
        self.uplinks = {site: Uplink(self.log) for site in sites}
        self.edges: dict[str, EdgeService] = {}
        self.tenant = tenant
        self._sites, self._places, self._spans = sites, places, spans
        self._credentials, self._clock, self._servers = credentials, clock, servers
        self._listeners: dict[str, MqttListener] = {}
        self._webhooks, self._alertmanagers = webhooks, alertmanagers or []
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Create the topics, start every part, and wait until the API answers."""
        await self.log.ensure_topics(every_topic())
        services: list[Service] = [self._edge(site) for site in self._sites]
        services += self._centre()
        self._running = asyncio.create_task(run_until(services, self._stop))
        ready = asyncio.create_task(self._ready())
        await asyncio.wait({self._running, ready}, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            await self._running
        await ready

    async def stop(self) -> None:
        """Drain every part and close what they shared. Raises what a part raised."""
        self._stop.set()
        try:
            if self._running is not None:
                await self._running
        finally:
            await self.store.close()
            await self.log.close()
            self.telemetry.close()

    @property
    def api_address(self) -> str:
        """Where the API and the page are."""
        return self._api.address

    def broker(self, site: str) -> BrokerAddress:
        """Where the devices of a site connect."""
        if self._servers is None:
            port = self._listeners[site].port
            if port is None:
                raise RuntimeError(f"the listener of {site} does not listen yet")
            return BrokerAddress(host="127.0.0.1", port=port)
        mqtt = self._servers.mqtt
        return BrokerAddress(
            host=mqtt.host, port=mqtt.port, username=mqtt.device_username, password=mqtt.device_password
        )

    async def _ready(self) -> None:
        await self._api.started.wait()
        for listener in self._listeners.values():
            await listener.listening.wait()

    def _edge(self, site: str) -> EdgeService:
        config = edge_config(self.tenant, site, self._places, self._credentials, self._spans)
        receivers, downlink = None, None
        if self._servers is None:
            config = listening(config)
            assert config.listener is not None  # just given
            downlink = self._listeners[site] = MqttListener(config.listener, self._clock, name=site)
            receivers = [downlink]
        else:
            config = subscribed(config, self._servers.mqtt, self._places)
        edge = self.edges[site] = build_edge(
            config,
            clock=self._clock,
            log=self.uplinks[site],
            health=self.health,
            telemetry=self.telemetry,
            receivers=receivers,
            downlink=downlink,
        )
        return edge

    def _centre(self) -> list[Service]:
        gateways = Gateways(self._credentials.gateways)
        self._api = build_api(
            api_config(self.tenant, self._credentials),
            gateways,
            clock=self._clock,
            log=self.log,
            store=self.store,
            health=self.health,
            telemetry=self.telemetry,
        )
        door = build_ingest(
            IngestConfig(),
            gateways,
            clock=self._clock,
            log=self.log,
            store=self.store,
            health=self.health,
            telemetry=self.telemetry,
        )
        analytics = build_analytics(
            analytics_config(self._places, self._spans, self._credentials, self._webhooks, self._alertmanagers),
            gateways,
            clock=self._clock,
            log=self.log,
            health=self.health,
            telemetry=self.telemetry,
            store=self.store,
        )
        return [door, *analytics, self._api]
