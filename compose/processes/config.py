"""What stands in the TOML file of each process."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from analytics.config import AnalyticsConfig
from dashboards.api.config import ApiConfig
from edge_aggregator.config import EdgeConfig
from ingest.door.config import IngestConfig
from ingest.runtime.gateways import GatewayConfig
from ingest.runtime.log.open import LogConfig
from ingest.runtime.observe import ObserveConfig
from ingest.runtime.store.config import StoreConfig


class TracingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where spans go: the base address of an OTLP/HTTP collector; empty means nowhere."""

    otlp_endpoint: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for what is no address."""
        parts = urlsplit(self.otlp_endpoint)
        if self.otlp_endpoint and not (parts.scheme in {"http", "https"} and parts.hostname):
            raise ValueError(f"otlp_endpoint is {self.otlp_endpoint!r}, expected for example http://127.0.0.1:4318")


class LoggingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process's own loggers write to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "warning"


class EdgeProcess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tidegate edge run`."""

    log: LogConfig
    edge: EdgeConfig
    observe: ObserveConfig = ObserveConfig(port=9461)
    tracing: TracingConfig = TracingConfig()
    logging: LoggingConfig = LoggingConfig()


class IngestProcess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tidegate ingest run`."""

    log: LogConfig
    store: StoreConfig
    gateways: list[GatewayConfig]
    ingest: IngestConfig = IngestConfig()
    observe: ObserveConfig = ObserveConfig(port=9462)
    tracing: TracingConfig = TracingConfig()


class AnalyticsProcess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tidegate analytics run`; from `store`, when it is given, come the curves in notifications."""

    log: LogConfig
    gateways: list[GatewayConfig]
    analytics: AnalyticsConfig
    store: StoreConfig | None = None
    observe: ObserveConfig = ObserveConfig(port=9463)
    tracing: TracingConfig = TracingConfig()


class ApiProcess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tidegate api run`; /metrics, /healthz and /readyz are the API's own."""

    log: LogConfig
    store: StoreConfig
    gateways: list[GatewayConfig]
    api: ApiConfig = ApiConfig()
    tracing: TracingConfig = TracingConfig()


class LogOnly(msgspec.Struct, frozen=True, kw_only=True):
    """What a command that only looks into the log reads of any process's file."""

    log: LogConfig


Process = EdgeProcess | IngestProcess | AnalyticsProcess | ApiProcess

KINDS: dict[str, type[Process]] = {
    "edge": EdgeProcess,
    "ingest": IngestProcess,
    "analytics": AnalyticsProcess,
    "api": ApiProcess,
}
"""The processes by name."""
