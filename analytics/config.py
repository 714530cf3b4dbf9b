"""The configuration of the analytics process."""

from __future__ import annotations

import msgspec

from analytics.alerts.config import AlertsConfig
from analytics.detect.config import DetectConfig
from analytics.rollouts.config import GateConfig


class AnalyticsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`data_dir` holds what the workers must remember."""

    data_dir: str
    detect: DetectConfig = DetectConfig()
    alerts: AlertsConfig = AlertsConfig()
    gate: GateConfig
