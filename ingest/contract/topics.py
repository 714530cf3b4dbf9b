"""Names of the MQTT and Kafka topics, and how a device's place is read from one."""

from __future__ import annotations

import re
from typing import NamedTuple

MQTT_ROOT = "tidegate/v1"

ROLLUPS = "telemetry.rollups.v1"
SAMPLES = "telemetry.samples.v1"
REQUESTS = "telemetry.requests.v1"
PULLS = "telemetry.pulls.v1"
DEVICES = "fleet.devices.v1"
ANOMALIES = "fleet.anomalies.v1"
CONDITIONS = "fleet.conditions.v1"
RULES = "fleet.rules.v1"
ALERTS = "fleet.alerts.v1"
ALERT_HISTORY = "fleet.alerts.history.v1"
SILENCES = "fleet.silences.v1"
MAINTENANCE = "fleet.maintenance.v1"
ACKNOWLEDGEMENTS = "fleet.acknowledgements.v1"
COHORTS = "fleet.cohorts.v1"
SUMMARIES = "fleet.summaries.v1"
INCIDENTS = "fleet.incidents.v1"
FEEDBACK = "fleet.feedback.v1"
PLANS = "rollout.plans.v1"
EVIDENCE = "rollout.evidence.v1"
VERDICTS = "rollout.verdicts.v1"
COMMANDS = "rollout.commands.v1"
ACKS = "rollout.acks.v1"
ACCOUNTS = "ingest.accounts.v1"
ROLLBACKS = "rollout.rollbacks.v1"
AUDIT = "rollout.audit.v1"


class TopicSettings(NamedTuple):
    """How a Kafka topic is kept: `compacted` keeps the newest record per key, else records expire by time."""

    partitions: int
    compacted: bool
    retention_ms: int


_DAY_MS = 86_400_000
_TIMED = TopicSettings(partitions=8, compacted=False, retention_ms=7 * _DAY_MS)
_COMPACTED = TopicSettings(partitions=8, compacted=True, retention_ms=-1)
_SINGLE_COMPACTED = TopicSettings(partitions=1, compacted=True, retention_ms=-1)
_PULLED = TopicSettings(partitions=8, compacted=False, retention_ms=_DAY_MS)
_YEAR = TopicSettings(partitions=1, compacted=False, retention_ms=365 * _DAY_MS)
_KEPT = TopicSettings(partitions=1, compacted=False, retention_ms=-1)
_EVIDENCE = TopicSettings(partitions=1, compacted=False, retention_ms=90 * _DAY_MS)

SETTINGS: dict[str, TopicSettings] = {
    ROLLUPS: _TIMED,
    SAMPLES: _PULLED,
    REQUESTS: _YEAR,
    PULLS: _YEAR,
    DEVICES: _COMPACTED,
    ANOMALIES: _TIMED,
    CONDITIONS: _TIMED,
    RULES: _SINGLE_COMPACTED,
    ALERTS: _COMPACTED,
    ALERT_HISTORY: _YEAR,
    SILENCES: _SINGLE_COMPACTED,
    MAINTENANCE: _SINGLE_COMPACTED,
    ACKNOWLEDGEMENTS: _SINGLE_COMPACTED,
    COHORTS: _TIMED,
    SUMMARIES: _TIMED,
    INCIDENTS: _COMPACTED,
    FEEDBACK: _SINGLE_COMPACTED,
    PLANS: _SINGLE_COMPACTED,
    EVIDENCE: _EVIDENCE,
    VERDICTS: _SINGLE_COMPACTED,
    COMMANDS: _TIMED,
    ACKS: _TIMED,
    ACCOUNTS: _COMPACTED,
    ROLLBACKS: _SINGLE_COMPACTED,
    AUDIT: _KEPT,
}
"""Every topic that tidegate writes; dead-letter topics are derived by `dead`."""


def dead(topic: str) -> str:
    """The dead-letter topic of `topic`."""
    return f"{topic}.dead"


DEAD_SETTINGS = TopicSettings(partitions=1, compacted=False, retention_ms=30 * _DAY_MS)


def every_topic() -> dict[str, TopicSettings]:
    """All topics with their settings, dead-letter topics included."""
    return SETTINGS | {dead(topic): DEAD_SETTINGS for topic in SETTINGS}


NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")
"""What a tenant, site, gateway or device may be called: one MQTT topic level, one safe tag value."""


def is_name(text: str) -> bool:
    """Whether `text` may name a tenant, site, gateway, device or rollout."""
    return NAME_PATTERN.fullmatch(text) is not None


class DeviceTopic(NamedTuple):
    """A device's MQTT topic, taken apart: `channel` is telemetry, state, command, ack, alarm or clock."""

    site: str
    device: str
    channel: str


CHANNELS = frozenset({"telemetry", "state", "command", "ack", "alarm", "clock"})


def device_topic(site: str, device: str, channel: str) -> str:
    """The MQTT topic of one channel of a device."""
    return f"{MQTT_ROOT}/{site}/{device}/{channel}"


def read_device_topic(topic: str) -> DeviceTopic | None:
    """Take a device's MQTT topic apart; None when it is not one of ours."""
    if not topic.startswith(MQTT_ROOT + "/"):
        return None
    parts = topic[len(MQTT_ROOT) + 1 :].split("/")
    if len(parts) != len(DeviceTopic._fields) or parts[2] not in CHANNELS:
        return None
    return DeviceTopic(*parts) if is_name(parts[0]) and is_name(parts[1]) else None
