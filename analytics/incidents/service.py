"""Incidents as services of a process: what was said is put in order, then decided on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.incidents.relay import RelayStage
from analytics.incidents.stage import IncidentsStage

if TYPE_CHECKING:
    from analytics.incidents.config import IncidentsConfig
    from analytics.surroundings import Surroundings
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.service import Service


def build_incidents(config: IncidentsConfig, gateways: Gateways, within: Surroundings) -> list[Service]:
    """Anomalies and devices to summaries, summaries to incidents; their state is kept in summaries.db and incidents.db."""
    member, tick_s = config.member, config.tick_s
    relay, incidents = RelayStage(config, gateways, within.telemetry), IncidentsStage(config, within.telemetry)
    return [
        within.worker(relay, "summaries.db", group="tidegate-summaries", member=member, tick_s=tick_s),
        within.worker(incidents, "incidents.db", group="tidegate-incidents", member=member, tick_s=tick_s),
    ]
