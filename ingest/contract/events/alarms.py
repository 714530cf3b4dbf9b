"""What detectors saw, and what people are told of it: topics `fleet.anomalies.v1`, `fleet.alerts.v1`."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class AnomalyStatus(StrEnum):
    """The life of an anomaly of one series."""

    ENTERED = "entered"
    CONTINUES = "continues"
    LEFT = "left"


class AnomalyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.anomalies.v1`, key `{site}/{device}`: what a detector saw in one series at window end `at` (ms)."""

    tenant: str
    site: str
    device: str
    metric: str
    labels: tuple[tuple[str, str], ...]
    status: AnomalyStatus
    detector: str
    at: int
    since: int
    value: float
    expected: float
    scale: float
    score: float
    """Calibrated, 0 to 1."""
    tail_probability: float
    reason: str = ""
    firmware: str = ""
    hardware: str = ""
    group: str = ""


class AlertState(StrEnum):
    """The life of an alert."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Topic `fleet.alerts.v1`, key fingerprint: an alert after one change of its life. Times in ms, 0 when not yet."""

    fingerprint: str
    tenant: str
    name: str
    state: AlertState
    severity: str
    labels: dict[str, str]
    annotations: dict[str, str]
    numbers: dict[str, float]
    changed_at: int
    pending_since: int
    starts_at: int
    ends_at: int = 0
    reason: str = ""

    def idempotency_key(self) -> str:
        """Equal for every delivery of the same change."""
        return f"{self.fingerprint}:{self.starts_at}:{self.state.value}"
