"""The analytics process: detection, alerts with their delivery, and the rollout gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analytics.alerts.service import build_alerts
from analytics.detect.service import build_detect
from analytics.rollouts.service import build_gate

if TYPE_CHECKING:
    from analytics.config import AnalyticsConfig
    from ingest.runtime.clock import Clock
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.service import Service
    from ingest.runtime.telemetry import Telemetry


def build_analytics(
    config: AnalyticsConfig,
    gateways: Gateways,
    *,
    clock: Clock,
    log: Log,
    health: Health,
    telemetry: Telemetry,
) -> list[Service]:
    """All services of the process, with what they must remember in `config.data_dir`. Raises SecretError."""
    data_dir = Path(config.data_dir)
    detect = build_detect(
        config.detect, gateways, clock=clock, log=log, health=health, telemetry=telemetry, data_dir=data_dir
    )
    alerts = build_alerts(
        config.alerts, gateways, clock=clock, log=log, health=health, telemetry=telemetry, data_dir=data_dir
    )
    gate = build_gate(
        config.gate, gateways, clock=clock, log=log, health=health, telemetry=telemetry, data_dir=data_dir
    )
    return [detect, *alerts, gate]
