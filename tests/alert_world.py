"""What alerts are made of, for tests: records of the fleet, and a stage that is fed with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from analytics.alerts.config import AlertsConfig, FlapConfig, RuleConfig
from analytics.alerts.matching import read_matcher
from analytics.alerts.stage import AlertsStage
from ingest.contract.events import (
    AccountEvent,
    Acknowledgement,
    Affected,
    AlertEvent,
    AlertState,
    AnomalyEvent,
    AnomalyStatus,
    DeviceChange,
    DeviceState,
    IncidentEvent,
    IncidentState,
    MaintenanceWindow,
    Outcome,
    RollbackPhase,
    RollbackStatus,
    Silence,
    SilenceKind,
    Verdict,
)
from ingest.contract.events.maintenance import WEEKDAYS, Hours
from ingest.contract.records import Outgoing, Record
from ingest.contract.topics import (
    ACCOUNTS,
    ACKNOWLEDGEMENTS,
    ALERTS,
    ANOMALIES,
    DEVICES,
    INCIDENTS,
    MAINTENANCE,
    ROLLBACKS,
    SILENCES,
    VERDICTS,
)
from ingest.runtime.telemetry import Telemetry
from tests.gate_world import T0, TENANT, Fleet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from analytics.alerts.maintenance import MaintenanceConfig

FIRING, RESOLVED, PENDING = AlertState.FIRING, AlertState.RESOLVED, AlertState.PENDING
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def taken(record: Outgoing, offset: int = 0) -> Record:
    """The record as the log gives it."""
    return Record(record.topic, 0, offset, record.key, record.value, record.headers, T0)


def event_of(topic: str, key: str, event: msgspec.Struct, trace: str = "") -> Outgoing:
    headers = (("traceparent", trace.encode()),) if trace else ()
    return Outgoing(topic, key.encode(), msgspec.json.encode(event), headers)


def anomaly(
    device: str, at: int, status: AnomalyStatus = AnomalyStatus.ENTERED, *, site: str = "north", trace: str = ""
) -> Outgoing:
    event = AnomalyEvent(
        tenant=TENANT,
        site=site,
        device=device,
        metric="memory",
        labels=(("core-id", "0"),),
        status=status,
        detector="robust_level",
        at=at,
        since=at,
        value=97.5,
        expected=41.0,
        scale=2.0,
        score=0.99,
        tail_probability=1e-9,
        firmware="2.3.0",
        hardware="rev-b",
    )
    return event_of(ANOMALIES, f"{site}/{device}", event, trace)


def cohort_shift(at: int, status: AnomalyStatus = AnomalyStatus.ENTERED) -> Outgoing:
    """All devices of a kind have shifted together."""
    event = AnomalyEvent(
        tenant=TENANT,
        site="",
        device="",
        metric="memory",
        labels=(("firmware", "2.3.0"), ("hardware", "rev-b"), ("width_ms", "60000")),
        status=status,
        detector="cohort_shift",
        at=at,
        since=T0,
        value=1.02,
        expected=0.01,
        scale=0.1,
        score=0.6,
        tail_probability=1e-7,
        firmware="2.3.0",
        hardware="rev-b",
        sites=7,
        devices=40,
    )
    return event_of(ANOMALIES, "acme/memory", event)


def incident(number: int, **fields: object) -> Outgoing:
    """One event of an incident of two devices."""
    known: dict[str, object] = {
        "incident": "inc-1",
        "tenant": TENANT,
        "state": IncidentState.OPEN,
        "reason": "opened",
        "at": T0,
        "since": T0,
        "newest": T0,
        "told": 1,
        "summary": "memory high on 2 devices at north; hardware rev-b: 100 % of the affected, 8 % of the fleet",
        "devices": 2,
        "sites": 1,
        "series": 2,
        "active": 2,
        "root_cause": "memory",
        "cause_sentence": "hardware rev-b: 100 % of the affected, 8 % of the fleet",
        "affected": [
            Affected(site="north", device=device, metric="memory", since=T0) for device in ("north-01", "north-02")
        ],
    }
    event = IncidentEvent(number=number, **(known | fields))
    return event_of(INCIDENTS, event.incident, event)


class Gateway:
    """Numbers its events, as gateways do."""

    def __init__(self, fleet: Fleet, site: str = "north") -> None:
        self.fleet, self.site, self.said = fleet, site, 0

    def silent(self, device: str, at: int) -> Outgoing:
        return self._say(device, at, DeviceChange.SILENT, DeviceState.SILENT)

    def returned(self, device: str, at: int) -> Outgoing:
        return self._say(device, at, DeviceChange.RETURNED, DeviceState.ONLINE)

    def lost(self, device: str, at: int) -> Outgoing:
        return self._say(device, at, DeviceChange.LOST, DeviceState.LOST)

    def retired(self, device: str, at: int) -> Outgoing:
        return self._say(device, at, DeviceChange.RETIRED, DeviceState.RETIRED)

    def beat(self, at: int) -> Outgoing:
        return self.fleet.beat(self.site, at)

    def _say(self, device: str, at: int, change: DeviceChange, state: DeviceState) -> Outgoing:
        self.said += 1
        record = self.fleet.device(self.site, device, at, change, state=state)
        numbered = ("ce_id", f"gw-{self.site}/boot-1/event/{self.said}".encode())
        return msgspec.structs.replace(record, headers=(*record.headers, numbered))


def verdict(outcome: Outcome = Outcome.FAIL, *, since: int = T0, rollout: str = "fw-2.3") -> Outgoing:
    event = Verdict(
        rollout=rollout,
        tenant=TENANT,
        verdict=outcome,
        score=0.0,
        e_value=150.0,
        log10_e=2.18,
        alpha=0.05,
        n_canary=30,
        n_control=30,
        reason="crash: 9 of 9 first events are canaries'",
        at=since,
        since=since,
        guards=[],
        policy_hash="p",
        offsets={},
    )
    return event_of(VERDICTS, rollout, event)


def rollback(phase: RollbackPhase, *, rollout: str = "fw-2.3") -> Outgoing:
    event = RollbackStatus(
        rollout=rollout,
        tenant=TENANT,
        phase=phase,
        decided_at=T0,
        at=T0,
        commanded=[],
        done=[],
        recovered=[],
        unreachable=[],
    )
    return event_of(ROLLBACKS, rollout, event)


def account(finding: str, *, boot: str = "boot-1") -> Outgoing:
    event = AccountEvent(
        tenant=TENANT,
        site="north",
        gateway="gw-north",
        boot=boot,
        partition=0,
        offset=1,
        received_seqs=[(1, 5)],
        chain_seq=5,
        chain_digest=bytes(32),
        finding=finding,
        first_broken_seq=0 if finding == "balanced" else 6,
        received=1,
        rolled_up=1,
        duplicate=0,
        rejected={},
        dropped={},
        open=0,
        stored=1,
        batches=1,
        duplicate_batches=0,
        at=T0,
    )
    return event_of(ACCOUNTS, f"{TENANT}/north/gw-north/{boot}", event)


def silence(
    *matchers: str, starts_at: int, ends_at: int, name: str = "s1", tenant: str = TENANT, kind: str = "silence"
) -> Outgoing:
    said = Silence(
        id=name,
        tenant=tenant,
        matchers=[read_matcher(text) for text in matchers],
        starts_at=starts_at,
        ends_at=ends_at,
        by="ada",
        at=starts_at,
        kind=SilenceKind(kind),
    )
    return event_of(SILENCES, name, said)


def maintenance(
    *matchers: str, at: int = T0, name: str = "w1", tenant: str = TENANT, ends_at: int = 0, **hours: Any
) -> Outgoing:
    """A window that somebody made at `at`."""
    known = {"begins": "00:00", "lasts_s": 3600.0} | ({} if "date" in hours else {"days": list(WEEKDAYS)})
    window = MaintenanceWindow(
        id=name,
        tenant=tenant,
        matchers=[read_matcher(text) for text in matchers],
        hours=Hours(**(known | hours)),
        by="ada",
        at=at,
        ends_at=ends_at,
    )
    return event_of(MAINTENANCE, name, window)


def acknowledged(alert: AlertEvent, *, by: str = "ada", withdrawn: bool = False) -> Outgoing:
    said = Acknowledgement(
        fingerprint=alert.fingerprint,
        tenant=alert.tenant,
        starts_at=alert.starts_at,
        by=by,
        at=alert.starts_at,
        withdrawn=withdrawn,
    )
    return event_of(ACKNOWLEDGEMENTS, alert.fingerprint, said)


class Watched:
    """A stage and what it said."""

    def __init__(
        self, fleet: Fleet, *, tick_ms: int = 200, **config: RuleConfig | FlapConfig | float | list[MaintenanceConfig]
    ) -> None:
        self.fleet, self.telemetry, self.tick_ms, self.now = fleet, Telemetry("test"), tick_ms, T0
        self.config = msgspec.structs.replace(AlertsConfig(notify_each=True), **config)
        self.stage = AlertsStage(self.config, fleet.gateways, self.telemetry)
        self.said: list[AlertEvent] = []

    def feed(self, *records: Outgoing) -> list[AlertEvent]:
        """One step at the present moment."""
        result = self.stage.step([taken(record) for record in records], self.now)
        newest = [outgoing for outgoing in result.outgoing if outgoing.topic == ALERTS]
        changes = [msgspec.json.decode(outgoing.value or b"", type=AlertEvent) for outgoing in newest]
        self.said += changes
        return changes

    def wait(self, seconds: float) -> list[AlertEvent]:
        """Time passes, tick by tick."""
        changes, until = [], self.now + round(seconds * 1000)
        while self.now < until:
            self.now = min(until, self.now + self.tick_ms)
            changes += self.feed()
        return changes

    def absent(self, seconds: float) -> None:
        """The process does nothing for so long."""
        self.now += round(seconds * 1000)

    def restart(self, parts: Mapping[str, bytes] | None = None) -> None:
        """Another process continues."""
        parts = parts if parts is not None else dict(self.stage.snapshot())
        self.stage = AlertsStage(self.config, self.fleet.gateways, self.telemetry)
        self.stage.restore(parts)

    def skipped(self, topic: str, reason: str) -> float:
        labels = {"topic": topic, "reason": reason}
        return self.telemetry.registry.get_sample_value("tidegate_dead_letters_total", labels) or 0.0


def states(changes: list[AlertEvent]) -> list[tuple[str, AlertState]]:
    return [(change.name, change.state) for change in changes]


__all__ = ["DEVICES", "T0", "TENANT", "TRACE", "Fleet", "Gateway", "Watched"]
