"""The analytics process: detection, incidents, alerts with their delivery, and the rollout gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analytics.alerts.rules import BUILT_IN
from analytics.alerts.service import build_alerts
from analytics.cohorts.service import build_cohorts
from analytics.detect.service import build_detect
from analytics.incidents.service import build_incidents
from analytics.rollouts.service import build_gate
from analytics.rules.file import load_rules
from analytics.rules.kinds import SeriesRule
from analytics.rules.service import build_rules
from analytics.surroundings import Surroundings

if TYPE_CHECKING:
    from analytics.config import AnalyticsConfig
    from ingest.runtime.clock import Clock
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.health import Health
    from ingest.runtime.log.port import Log
    from ingest.runtime.service import Service
    from ingest.runtime.store.port import Store
    from ingest.runtime.telemetry import Telemetry


def build_analytics(
    config: AnalyticsConfig,
    gateways: Gateways,
    *,
    clock: Clock,
    log: Log,
    health: Health,
    telemetry: Telemetry,
    store: Store | None = None,
) -> list[Service]:
    """All services of the process, with what they must remember in `config.data_dir`; notifications show curves from `store`.

    Raises SecretError, RulesError.
    """
    shared = Path(config.shared_dir) if config.shared_dir else None
    within = Surroundings(clock, log, health, telemetry, Path(config.data_dir), shared, config.handover_s)
    written = load_rules(Path(config.alerts.rules_file), taken=BUILT_IN) if config.alerts.rules_file else []
    of_series = [rule for rule in written if isinstance(rule, SeriesRule)]
    return [
        build_detect(config.detect, gateways, within),
        *([build_cohorts(config.detect, within)] if config.detect.cohort_sites else []),
        *build_incidents(config.incidents, gateways, within),
        *([build_rules(of_series, config.alerts, gateways, within)] if of_series else []),
        *build_alerts(config.alerts, gateways, within, written=written, store=store),
        build_gate(config.gate, gateways, within),
    ]
