"""Rules about series as a service of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.rules.stage import RulesStage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.alerts.config import AlertsConfig
    from analytics.rules.kinds import SeriesRule
    from analytics.surroundings import Surroundings
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.service import Service

GROUP = "tidegate-rules"


def build_rules(rules: Sequence[SeriesRule], config: AlertsConfig, gateways: Gateways, within: Surroundings) -> Service:
    """Rollups to conditions; its state is kept in rules.db."""
    stage = RulesStage(rules, gateways, within.telemetry, config.max_series, round(config.forget_s * 1000))
    return within.worker(stage, "rules.db", group=GROUP, member=config.member, tick_s=config.tick_s)
