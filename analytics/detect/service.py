"""Detection as a service of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.detect.stage import DetectStage
from ingest.runtime.checkpoint import Checkpoint
from ingest.runtime.worker import StageWorker

if TYPE_CHECKING:
    from pathlib import Path

    from analytics.detect.config import DetectConfig
    from ingest.runtime.clock import Clock
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.service import Service
    from ingest.runtime.telemetry import Telemetry

GROUP = "tidegate-analytics"


def build_detect(
    config: DetectConfig,
    gateways: Gateways,
    *,
    clock: Clock,
    log: Log,
    health: Health,
    telemetry: Telemetry,
    data_dir: Path,
) -> Service:
    """Rollups to anomalies; its state is kept in `data_dir`/detect.db."""
    return StageWorker(
        DetectStage(config, gateways, telemetry),
        log=log,
        checkpoint=Checkpoint(data_dir / "detect.db"),
        clock=clock,
        health=health,
        telemetry=telemetry,
        group=GROUP,
        member=config.member,
        tick_s=config.tick_s,
    )
