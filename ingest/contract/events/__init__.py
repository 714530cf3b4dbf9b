"""What happens in a fleet, as records: one Struct per Kafka topic, JSON on the wire, unknown fields ignored."""

from ingest.contract.events.accounts import AccountEvent
from ingest.contract.events.alarms import AlertEvent, AlertState, AnomalyEvent, AnomalyStatus
from ingest.contract.events.audit import GENESIS, AuditEntry, digest_of
from ingest.contract.events.fleet import DeviceChange, DeviceEvent, DeviceState, GatewayEvent
from ingest.contract.events.plans import (
    OF_FIRST_EVENTS,
    OF_SOAKS,
    ActuatorRef,
    Approval,
    Budget,
    Guard,
    GuardKind,
    Intervention,
    PlanState,
    RollbackMode,
    RolloutPlan,
    Scale,
    Selection,
    Stage,
    Verb,
    Worse,
    margin_range,
)
from ingest.contract.events.pulls import PullEvent
from ingest.contract.events.rollbacks import AckEvent, AckStatus, RollbackPhase, RollbackStatus
from ingest.contract.events.verdicts import Arm, Evidence, EvidenceKind, GuardVerdict, Outcome, Verdict

__all__ = [
    "GENESIS",
    "OF_FIRST_EVENTS",
    "OF_SOAKS",
    "AccountEvent",
    "AckEvent",
    "AckStatus",
    "ActuatorRef",
    "AlertEvent",
    "AlertState",
    "AnomalyEvent",
    "AnomalyStatus",
    "Approval",
    "Arm",
    "AuditEntry",
    "Budget",
    "DeviceChange",
    "DeviceEvent",
    "DeviceState",
    "Evidence",
    "EvidenceKind",
    "GatewayEvent",
    "Guard",
    "GuardKind",
    "GuardVerdict",
    "Intervention",
    "Outcome",
    "PlanState",
    "PullEvent",
    "RollbackMode",
    "RollbackPhase",
    "RollbackStatus",
    "RolloutPlan",
    "Scale",
    "Selection",
    "Stage",
    "Verb",
    "Verdict",
    "Worse",
    "digest_of",
    "margin_range",
]
