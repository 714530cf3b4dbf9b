"""Cohorts over sites as a service of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.cohorts.stage import CohortsStage

if TYPE_CHECKING:
    from analytics.detect.config import DetectConfig
    from analytics.surroundings import Surroundings
    from ingest.runtime.service import Service


def build_cohorts(config: DetectConfig, within: Surroundings) -> Service:
    """What sites said of their devices to anomalies of cohorts; its state is kept in cohorts.db."""
    stage = CohortsStage(config, within.telemetry)
    return within.worker(stage, "cohorts.db", group="tidegate-cohorts", member=config.member, tick_s=config.tick_s)
