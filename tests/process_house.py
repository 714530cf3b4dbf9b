"""A whole system of processes in one folder: a gateway, the door, analytics and the API, and the on-call inbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import msgspec

from analytics.alerts.receiver_config import AlertmanagerConfig, WebhookConfig
from compose.demo.client import ApiClient
from compose.demo.inbox import OnCallInbox
from compose.embedded.credentials import make_credentials
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
from compose.fleet.link import BrokerAddress
from compose.processes.config import AnalyticsProcess, ApiProcess, EdgeProcess, IngestProcess, TracingConfig
from compose.stack.ports import free_port
from ingest.contract.topics import every_topic
from ingest.door.config import IngestConfig
from ingest.runtime.clock import SystemClock
from ingest.runtime.log.open import open_log
from ingest.runtime.observe import ObserveConfig
from ingest.runtime.secrets import write_secret
from ingest.runtime.store.open import open_store
from tests.process_kit import STOP_S, Commands, Worker, tidegate, toml, until

if TYPE_CHECKING:
    from pathlib import Path

    from analytics.detect.config import DetectConfig
    from compose.processes.config import Process
    from compose.stack.endpoints import Endpoints
    from ingest.contract.records import Record
    from ingest.runtime.log.port import Log
    from ingest.runtime.store.port import Store, StoreTotals
    from tests.process_kit import Launcher

TENANT, SITE = "acme", "north"
FAST = Spans(window_s=0.5, lease_s=2.0, heartbeat_s=0.3, site_dark_s=6.0, idle_close_s=1.0)
LOOPBACK = "127.0.0.1"


class House:
    """Settings, workers, and what may be asked of the whole; `servers` None: the embedded log and store."""

    def __init__(
        self,
        folder: Path,
        launcher: Launcher | None = None,
        *,
        tenant: str = TENANT,
        site: str = SITE,
        servers: Endpoints | None = None,
        spans: Spans = FAST,
        otlp: str = "",
        detect: DetectConfig | None = None,
        edge_changes: dict[str, Any] | None = None,
        notify_each: bool = False,
    ) -> None:
        self.folder, self.servers, self.spans, self.clock = folder, servers, spans, SystemClock()
        self.tenant, self.site = tenant, site
        self.credentials = make_credentials(folder / "secrets", tenant, [site])
        self.inbox = OnCallInbox(self.credentials.webhook_secret)
        self.launcher: Launcher = launcher or Commands()
        self._places, self._otlp = Places(folder=str(folder)), TracingConfig(otlp_endpoint=otlp)
        self._detect, self._notify_each = detect, notify_each
        self._ports = {kind: free_port() for kind in ("edge", "ingest", "analytics", "api", "devices")}
        self.edge = self._worker("edge", self._edge(edge_changes or {}))
        self.ingest = self._worker("ingest", self._ingest())
        self.analytics = self._worker("analytics", self._analytics())
        self.api = self._worker("api", self._api(), self.credentials.token)
        self.workers = {worker.kind: worker for worker in (self.edge, self.ingest, self.analytics, self.api)}
        self.client = ApiClient(self.api.address, self.credentials.token)

    async def __aenter__(self) -> Self:
        self.inbox.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        await asyncio.to_thread(self.launcher.close)
        self.inbox.stop()

    async def start(self) -> None:
        """All four, until each is ready."""
        for worker in self.workers.values():
            worker.start()
        await asyncio.gather(*(worker.ready() for worker in self.workers.values()))

    async def start_edge(self) -> None:
        """The gateway alone, with the topics that the centre would have made, until it is ready."""
        log = self.log()
        await log.ensure_topics(every_topic())
        await log.close()
        self.edge.start()
        await self.edge.ready()

    async def stop(self) -> None:
        """SIGTERM to each, the edge first: each must end with 0 in time, with everything done."""
        for worker in self.workers.values():
            took = await worker.stop()
            assert took < STOP_S, f"{worker.kind} took {took:.1f} s\n{worker.told()}"

    @property
    def broker(self) -> BrokerAddress:
        """Where devices connect."""
        if self.servers is None:
            return BrokerAddress(host=LOOPBACK, port=self._ports["devices"])
        mqtt = self.servers.mqtt
        return BrokerAddress(
            host=mqtt.host, port=mqtt.port, username=mqtt.device_username, password=mqtt.device_password
        )

    def log(self) -> Log:
        """The log itself; the caller closes it."""
        return open_log(log_config(self._places, self.servers), self.clock)

    def store(self) -> Store:
        """The store itself; the caller closes it."""
        return open_store(store_config(self.tenant, self._places, self.servers))

    async def records(self, *topics: str) -> list[Record]:
        """Everything that these topics hold now."""
        log = self.log()
        found: list[Record] = []
        try:
            consumer = await log.subscribe(topics, group=None, member="test")
            ends = {place: end for place, end in (await consumer.end_offsets()).items() if end}
            while ends and (records := await consumer.poll(10_000, 5.0)):
                found += records
                for record in records:
                    if record.offset + 1 >= ends.get(record.topic_partition, 0):
                        ends.pop(record.topic_partition, None)
            await consumer.close()
        finally:
            await log.close()
        return found

    async def stored(self) -> StoreTotals:
        """Windows and samples in the store."""
        store = self.store()
        try:
            return await store.totals(self.tenant, self.site)
        finally:
            await store.close()

    async def account(self) -> dict[str, Any]:
        """What `tidegate edge status --json` says."""
        code, out, err = await tidegate("edge", "status", str(self.edge.config), "--json")
        assert code == 0, err
        return dict(msgspec.json.decode(out))

    async def books_closed(self, samples: int) -> None:
        """Until so many different samples were rolled up, every window has closed, and the store has them all."""

        async def closed() -> bool:
            ledger = (await self.client.get("/v1/ledger"))["totals"]
            settled = ledger["open"] == 0 and ledger["rolled_up"] == samples
            return settled and (await self.stored()).samples == ledger["stored"] == samples

        await until(closed, f"the books are closed over {samples} samples", self.told)

    def told(self) -> str:
        """What all workers wrote."""
        return "\n".join(f"--- {kind}\n{worker.told()}" for kind, worker in self.workers.items())

    def _worker(self, kind: str, config: Process, token: str = "") -> Worker:
        path = self.folder / f"{kind}.toml"
        path.write_text(toml(config))
        return Worker(self.launcher, kind, path, f"http://{LOOPBACK}:{self._ports[kind]}", token)

    def _edge(self, changes: dict[str, Any]) -> EdgeProcess:
        edge = edge_config(self.tenant, self.site, self._places, self.credentials, self.spans)
        edge = msgspec.structs.replace(edge, flush_interval_s=0.1, commit_interval_s=0.02, **changes)
        if self.servers is None:
            edge = listening(edge)
            assert edge.listener is not None
            port = self._ports["devices"]
            edge = msgspec.structs.replace(edge, listener=msgspec.structs.replace(edge.listener, port=port))
        else:
            edge = subscribed(edge, self.servers.mqtt, self._places)
        return EdgeProcess(
            log=log_config(self._places, self.servers), edge=edge, observe=self._observe("edge"), tracing=self._otlp
        )

    def _ingest(self) -> IngestProcess:
        return IngestProcess(
            log=log_config(self._places, self.servers),
            store=store_config(self.tenant, self._places, self.servers),
            gateways=self.credentials.gateways,
            ingest=IngestConfig(poll_s=0.1, store_retry_most_s=1.0),
            observe=self._observe("ingest"),
            tracing=self._otlp,
        )

    def _analytics(self) -> AnalyticsProcess:
        config = analytics_config(
            self._places, self.spans, self.credentials, [self._webhook()], _alertmanagers(self.servers, self.folder)
        )
        gate = msgspec.structs.replace(config.gate, settle_s=0.2, verdict_s=0.5, rollback_settle_s=6.0, recovery_s=3.0)
        alerts = msgspec.structs.replace(config.alerts, group_wait_s=0.2, notify_each=self._notify_each)
        detect = self._detect or config.detect
        return AnalyticsProcess(
            log=log_config(self._places, self.servers),
            gateways=self.credentials.gateways,
            analytics=msgspec.structs.replace(config, detect=detect, gate=gate, alerts=alerts),
            observe=self._observe("analytics"),
            tracing=self._otlp,
        )

    def _api(self) -> ApiProcess:
        api = msgspec.structs.replace(api_config(self.tenant, self.credentials), port=self._ports["api"])
        return ApiProcess(
            log=log_config(self._places, self.servers),
            store=store_config(self.tenant, self._places, self.servers),
            gateways=self.credentials.gateways,
            api=api,
            tracing=self._otlp,
        )

    def _observe(self, kind: str) -> ObserveConfig:
        return ObserveConfig(port=self._ports[kind])

    def _webhook(self) -> WebhookConfig:
        secret = str(self.credentials.webhook_secret_file())
        return WebhookConfig(name="on-call", url=self.inbox.url, secret_file=secret, most_wait_s=1.0)


def _alertmanagers(servers: Endpoints | None, folder: Path) -> list[AlertmanagerConfig]:
    if servers is None:
        return []
    manager, secret = servers.alertmanager, folder / "secrets" / "alertmanager-password"
    write_secret(secret, manager.password.encode())
    return [
        AlertmanagerConfig(
            name="alertmanager",
            urls=[manager.url],
            username=manager.username,
            password_file=str(secret) if manager.username else "",
            most_wait_s=1.0,
        )
    ]
