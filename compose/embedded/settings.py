"""How a whole system in one process is set up: the same parts as in production, with other spans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from analytics.alerts.config import AlertsConfig
from analytics.config import AnalyticsConfig
from analytics.detect.config import DetectConfig
from analytics.incidents.config import IncidentsConfig
from analytics.rollouts.config import GateConfig
from dashboards.api.config import ApiConfig, Scope, TokenConfig
from edge_aggregator.config import EdgeConfig
from edge_aggregator.receive.config import BrokerConfig, ListenerConfig
from ingest.contract.topics import MQTT_ROOT
from ingest.runtime.log.open import LogConfig
from ingest.runtime.secrets import write_secret
from ingest.runtime.store.config import StoreConfig

if TYPE_CHECKING:
    from analytics.alerts.receiver_config import AlertmanagerConfig, WebhookConfig
    from compose.embedded.credentials import Credentials
    from compose.stack.endpoints import Endpoints, MqttEndpoint


class Spans(msgspec.Struct, frozen=True, kw_only=True):
    """How quickly things happen, in seconds; the defaults suit a demonstration."""

    window_s: float = 1.0
    lease_s: float = 6.0
    heartbeat_s: float = 1.0
    site_dark_s: float = 5.0
    idle_close_s: float = 3.0


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything of the system is kept, beneath one folder."""

    folder: str

    def of(self, name: str) -> Path:
        """The folder of one part."""
        return Path(self.folder) / name


def edge_config(tenant: str, site: str, places: Places, credentials: Credentials, spans: Spans) -> EdgeConfig:
    """One site's gateway; where its devices are heard is added by `listening` or `subscribed`."""
    return EdgeConfig(
        tenant=tenant,
        site=site,
        gateway=f"gateway-{site}",
        key_file=str(credentials.gateway_key(site)),
        data_dir=str(places.of(f"edge-{site}")),
        centre_keys=[credentials.centre_public_text()],
        window_s=spans.window_s,
        idle_close_s=spans.idle_close_s,
        lease_s=spans.lease_s,
        heartbeat_s=spans.heartbeat_s,
        flush_interval_s=0.2,
        historical_after_s=3.0,
        command_retry_s=1.0,
        journal_bytes=64 << 20,
        journal_file_bytes=8 << 20,
        outbox_bytes=64 << 20,
    )


def listening(edge: EdgeConfig) -> EdgeConfig:
    """The gateway with a listener of its own, on a free port."""
    return msgspec.structs.replace(edge, listener=ListenerConfig(site=edge.site, port=0))


def subscribed(edge: EdgeConfig, broker: MqttEndpoint, places: Places) -> EdgeConfig:
    """The gateway with a subscription at a broker."""
    topics = [f"{MQTT_ROOT}/{edge.site}/+/{channel}" for channel in ("telemetry", "state", "ack", "clock")]
    config = BrokerConfig(
        host=broker.host,
        port=broker.port,
        client_id=edge.gateway,
        topics=topics,
        username=broker.username or None,
        password_file=_secret(places, "mqtt-password", broker.password) if broker.username else None,
    )
    return msgspec.structs.replace(edge, broker=config)


def log_config(places: Places, servers: Endpoints | None) -> LogConfig:
    """The embedded log, or the servers' Kafka."""
    if servers is None:
        return LogConfig(kind="sqlite", path=str(places.of("log.db")))
    kafka = servers.kafka
    return LogConfig(
        kind="kafka",
        bootstrap=kafka.bootstrap,
        username=kafka.username,
        password_file=_secret(places, "kafka-password", kafka.password) if kafka.username else "",
        mechanism=kafka.mechanism,
    )


def store_config(tenant: str, places: Places, servers: Endpoints | None) -> StoreConfig:
    """The embedded store, or the servers' InfluxDB."""
    if servers is None:
        return StoreConfig(kind="sqlite", path=str(places.of("store.db")))
    influx = servers.influxdb
    return StoreConfig(
        kind="influxdb",
        url=influx.url,
        org=influx.org,
        bucket=influx.bucket,
        tenant=tenant,
        token_file=_secret(places, "influxdb-token", influx.token),
    )


def analytics_config(
    places: Places,
    spans: Spans,
    credentials: Credentials,
    webhooks: list[WebhookConfig],
    alertmanagers: list[AlertmanagerConfig],
) -> AnalyticsConfig:
    """Analytics as in production, with shorter waits."""
    return AnalyticsConfig(
        data_dir=str(places.of("analytics")),
        detect=DetectConfig(continues_s=5.0),
        incidents=IncidentsConfig(settle_s=0.5, update_s=10.0, resolve_after_s=5.0),
        alerts=AlertsConfig(webhooks=webhooks, alertmanagers=alertmanagers, site_dark_s=spans.site_dark_s),
        gate=GateConfig(
            signing_key_file=str(credentials.centre_key),
            settle_s=0.5,
            verdict_s=1.0,
            rollback_settle_s=8.0,
            recovery_s=5.0,
        ),
    )


def api_config(tenant: str, credentials: Credentials) -> ApiConfig:
    """The API on a free port, with one token that may do everything."""
    token = TokenConfig(name="demo", tenant=tenant, sha256=credentials.token_sha256(), scopes=list(Scope))
    return ApiConfig(port=0, tokens=[token], signing_key_file=str(credentials.centre_key))


def _secret(places: Places, name: str, content: str) -> str:
    path = places.of("secrets") / name
    write_secret(path, content.encode())
    return str(path)
