"""Detection as a service of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.detect.stage import DetectStage

if TYPE_CHECKING:
    from analytics.detect.config import DetectConfig
    from analytics.surroundings import Surroundings
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.service import Service

GROUP = "tidegate-analytics"


def build_detect(config: DetectConfig, gateways: Gateways, within: Surroundings) -> Service:
    """Rollups to anomalies; its state is kept in detect.db."""
    stage = DetectStage(config, gateways, within.telemetry)
    return within.worker(
        stage, "detect.db", group=GROUP, member=config.member, tick_s=config.tick_s, everywhere=stage.everywhere
    )
