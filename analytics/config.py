"""The configuration of the analytics process."""

from __future__ import annotations

import msgspec

from analytics.alerts.config import AlertsConfig
from analytics.detect.config import DetectConfig
from analytics.incidents.config import IncidentsConfig
from analytics.rollouts.config import GateConfig


class AnalyticsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`data_dir` holds what the workers must remember.

    Where several analytics processes share the work, `shared_dir` is a folder that all of them see: each leaves the states of
    its partitions there every `handover_s`, and when it ends in order, so that a partition that moves is continued. Without
    one, whoever gets a partition for the first time learns its series anew.
    """

    data_dir: str
    shared_dir: str = ""
    handover_s: float = 60.0
    detect: DetectConfig = DetectConfig()
    incidents: IncidentsConfig = IncidentsConfig()
    alerts: AlertsConfig = AlertsConfig()
    gate: GateConfig

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that cannot be meant."""
        if self.handover_s <= 0:
            raise ValueError("handover_s: expected more than 0")
