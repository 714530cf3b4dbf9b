"""What topics say in the API's tests: plans, verdicts, alerts, incidents, accounts, and gateways that sign."""

from __future__ import annotations

from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest.contract.commands import key_id
from ingest.contract.events import (
    AccountEvent,
    Affected,
    AlertEvent,
    AlertState,
    AnomalyEvent,
    AnomalyStatus,
    DeviceChange,
    DeviceEvent,
    DeviceState,
    GatewayEvent,
    IncidentEvent,
    IncidentState,
    MaintenanceWindow,
    Matcher,
    RuleEvent,
    Shared,
    Silence,
    Symptom,
)
from ingest.contract.events.maintenance import Hours
from ingest.contract.records import DETAIL_HEADER, REASON_HEADER, Outgoing, event_record
from ingest.contract.topics import (
    ACCOUNTS,
    ALERT_HISTORY,
    ALERTS,
    ANOMALIES,
    DEVICES,
    INCIDENTS,
    MAINTENANCE,
    ROLLUPS,
    RULES,
    SILENCES,
    dead,
)
from ingest.runtime.gateways import GatewayConfig, signature_headers
from ingest.runtime.secrets import public_key_text

NOW = 1_790_000_000_000
DIGEST = "sha256:" + "ab" * 32


class Gateway:
    """A gateway that signs what it says."""

    def __init__(self, tenant: str, site: str, name: str = "") -> None:
        self.tenant, self.site, self.name = tenant, site, name or f"gw-{site}"
        self._key = Ed25519PrivateKey.generate()

    def config(self) -> GatewayConfig:
        key = public_key_text(self._key.public_key())
        return GatewayConfig(gateway=self.name, tenant=self.tenant, site=self.site, public_key=key)

    def sign(self, key: str, event: msgspec.Struct) -> Outgoing:
        record = event_record(DEVICES, key, event, event_id=key, source=f"tidegate/{self.site}/{self.name}", time=NOW)
        headers = signature_headers(record.value or b"", self._key, key_id(self._key.public_key()))
        return msgspec.structs.replace(record, headers=(*record.headers, *headers))

    def device(self, name: str, at: int = NOW, **fields: Any) -> Outgoing:
        known = {
            "change": DeviceChange.FIRST_SEEN,
            "state": DeviceState.ONLINE,
            "firmware": "2.2.0",
            "hardware": "rev-a",
            "group": "pumps",
            "last_seen": at,
        }
        event = DeviceEvent(
            tenant=self.tenant, site=self.site, gateway=self.name, device=name, at=at, **(known | fields)
        )
        return self.sign(f"{self.site}/{name}", event)

    def dead_letter(self, value: bytes = b"a batch", reason: str = "malformed") -> Outgoing:
        """A batch that it signed and that could not be taken."""
        why = ((REASON_HEADER, reason.encode()), (DETAIL_HEADER, f"of {self.name}".encode()))
        signed = signature_headers(value, self._key, key_id(self._key.public_key()))
        return Outgoing(dead(ROLLUPS), self.site.encode(), value, (*signed, *why))

    def heartbeat(self, at: int, **fields: Any) -> Outgoing:
        known = {"devices": 0, "silent": 0, "cut_off": False}
        event = GatewayEvent(tenant=self.tenant, site=self.site, gateway=self.name, at=at, **(known | fields))
        return self.sign(f"{self.site}/gateway:{self.name}", event)


def record(topic: str, key: str, event: msgspec.Struct) -> Outgoing:
    return event_record(topic, key, event, event_id=key, source="tidegate/test", time=NOW)


def alert_record(fingerprint: str = "f1", tenant: str = "acme", **fields: Any) -> Outgoing:
    known = {
        "name": "MetricAnomaly",
        "state": AlertState.FIRING,
        "severity": "warning",
        "labels": {"site": "north", "device": "pump-1"},
        "annotations": {"summary": "heap is above what is usual"},
        "numbers": {"value": 91.5, "expected": 40.0},
        "changed_at": NOW,
        "pending_since": NOW - 1000,
        "starts_at": NOW,
    }
    return record(ALERTS, fingerprint, AlertEvent(fingerprint=fingerprint, tenant=tenant, **(known | fields)))


def anomaly_record(device: str = "pump-1", tenant: str = "acme", **fields: Any) -> Outgoing:
    known = {
        "site": "north",
        "metric": "heap",
        "labels": (),
        "status": AnomalyStatus.ENTERED,
        "detector": "level",
        "at": NOW,
        "since": NOW,
        "value": 91.5,
        "expected": 40.0,
        "scale": 2.0,
        "score": 0.99,
        "tail_probability": 1e-6,
        "reason": "above what is usual",
        "firmware": "2.2.0",
    }
    event = AnomalyEvent(tenant=tenant, device=device, **(known | fields))
    return record(ANOMALIES, f"{event.site}/{device}", event)


def incident_record(incident: str = "inc-1", tenant: str = "acme", **fields: Any) -> Outgoing:
    share = Shared(
        attributes={"hardware": "rev-b"},
        affected=2,
        of_affected=2,
        fleet=8,
        of_fleet=100,
        log10_p=-4.2,
        sentence="hardware rev-b: 100 % of the affected, 8 % of the fleet",
    )
    series = [
        Affected(site="north", device=name, metric="heap", since=NOW, value=91.5, expected=40.0, scale=2.0)
        for name in ("pump-1", "pump-2")
    ]
    known = {
        "state": IncidentState.GROWING,
        "reason": "opened",
        "at": NOW,
        "number": 1,
        "since": NOW,
        "newest": NOW,
        "told": 1,
        "summary": f"heap high on 2 devices at north; {share.sentence}",
        "devices": 2,
        "sites": 1,
        "series": 2,
        "active": 2,
        "root_cause": "heap",
        "cause_sentence": share.sentence,
        "cause": [share],
        "symptoms": [Symptom(metric="heap", above=True, devices=2, first_on=2, since=NOW, deviation=25.75)],
        "affected": series,
    }
    return record(INCIDENTS, incident, IncidentEvent(incident=incident, tenant=tenant, **(known | fields)))


def account_record(tenant: str = "acme", site: str = "north", **fields: Any) -> Outgoing:
    known = {
        "gateway": f"gw-{site}",
        "boot": "b1",
        "partition": 0,
        "offset": 5,
        "received_seqs": [(1, 5)],
        "chain_seq": 5,
        "chain_digest": bytes(32),
        "finding": "balanced",
        "first_broken_seq": 0,
        "received": 110,
        "rolled_up": 100,
        "duplicate": 4,
        "rejected": {"malformed": 3},
        "dropped": {},
        "open": 3,
        "stored": 100,
        "batches": 5,
        "duplicate_batches": 0,
        "at": NOW,
    }
    event = AccountEvent(tenant=tenant, site=site, **(known | fields))
    return record(ACCOUNTS, f"{event.gateway}/{event.boot}", event)


def silence_record(name: str = "s-1", tenant: str = "acme", **fields: Any) -> Outgoing:
    known = {
        "matchers": [Matcher(label="site", pattern="north")],
        "starts_at": NOW,
        "ends_at": NOW * 2,
        "by": f"{tenant}-all",
        "at": NOW,
        "comment": "works on the roof",
    }
    return record(SILENCES, name, Silence(id=name, tenant=tenant, **(known | fields)))


def maintenance_record(name: str = "w-1", tenant: str = "acme", **fields: Any) -> Outgoing:
    known = {
        "matchers": [Matcher(label="site", pattern="north")],
        "hours": Hours(begins="02:00", lasts_s=7200.0, days=["sat", "sun"], timezone="Europe/Berlin"),
        "by": f"{tenant}-all",
        "at": NOW,
        "comment": "updates of the mast",
    }
    return record(MAINTENANCE, name, MaintenanceWindow(id=name, tenant=tenant, **(known | fields)))


def rule_record(name: str = "MetricAnomaly", **fields: Any) -> Outgoing:
    known = {"kind": "anomaly", "severity": "warning", "for_s": 0.0, "keep_firing_s": 0.0, "runbook": "", "at": NOW}
    return record(RULES, name, RuleEvent(name=name, **(known | fields)))


def alert_change(state: AlertState, at: int, fingerprint: str = "f1", tenant: str = "acme", **fields: Any) -> Outgoing:
    """A change of an alert as the history has it."""
    made = alert_record(fingerprint, tenant, state=state, changed_at=at, **fields)
    return msgspec.structs.replace(made, topic=ALERT_HISTORY)
