"""The alerts' stage: events in, changes of alerts out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from analytics.alerts import rules
from analytics.alerts.book import Alert, AlertBook, Ended
from analytics.alerts.condition import Order
from analytics.alerts.rollouts import Rollouts, Standing
from analytics.alerts.sites import Heard, Sites
from ingest.contract import names
from ingest.contract.events import (
    AccountEvent,
    AlertState,
    AnomalyEvent,
    DeviceEvent,
    DeviceState,
    GatewayEvent,
    RollbackStatus,
    RolloutPlan,
    Verdict,
)
from ingest.contract.reasons import BatchRejection, EventRejection
from ingest.contract.records import TRACE_HEADER, event_record, read_event
from ingest.contract.topics import ACCOUNTS, ALERTS, ANOMALIES, DEVICES, PLANS, ROLLBACKS, VERDICTS, is_name
from ingest.runtime.gateways import UnverifiedError
from ingest.runtime.worker import StepResult

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from analytics.alerts.condition import Condition
    from analytics.alerts.config import AlertsConfig
    from ingest.contract.events import AlertEvent
    from ingest.contract.records import Outgoing, Record
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.telemetry import Telemetry

T = TypeVar("T", bound=msgspec.Struct)

_NUMBERED = re.compile(rb"(?P<source>.{1,256})/(?P<number>[0-9]{1,18})")

SAVE_MS = 1000
"""How often what led to no change is saved: until then a crash leads to the same records being read again."""


class _State(msgspec.Struct):
    alerts: dict[str, Alert]
    ended: dict[str, Ended]
    heard: dict[str, Heard]
    rollouts: dict[str, Standing]


class AlertsStage:
    """Consumes what may be alarming; see `rules`. Every event is taken as its source said it, once."""

    name = "alerts"
    topics = (ANOMALIES, DEVICES, VERDICTS, ROLLBACKS, PLANS, ACCOUNTS)

    def __init__(self, config: AlertsConfig, gateways: Gateways, telemetry: Telemetry) -> None:
        self._link, self._gateways, self._telemetry = config.link, gateways, telemetry
        by_rule = {
            rules.METRIC_ANOMALY: config.metric_anomaly,
            rules.DEVICE_SILENT: config.device_silent,
            rules.SITE_DARK: config.site_dark,
            rules.ROLLOUT_FAILED: config.rollout_failed,
            rules.LEDGER_BREACH: config.ledger_breach,
        }
        self._book = AlertBook(by_rule, self._annotations, config.forget_s * 1000)
        self._sites, self._rollouts = Sites(config.site_dark_s), Rollouts()
        self._saved_at, self._unsaved = 0, False
        self._readers: dict[str, Callable[[Record, str], Iterator[Condition]]] = {
            ANOMALIES: self._anomaly,
            DEVICES: self._device,
            VERDICTS: self._verdict,
            ROLLBACKS: self._rollback,
            PLANS: self._plan,
            ACCOUNTS: self._account,
        }

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Take events, let time pass, and report every change."""
        changes: list[tuple[AlertEvent, str]] = []
        self._sites.listen(now, len(records))
        for record in records:
            trace = (record.header(TRACE_HEADER) or b"").decode("ascii", "replace")
            for condition in self._readers[record.topic](record, trace):
                changes += self._book.observe(condition, now)
        for condition in self._sites.dark(now):
            changes += self._book.observe(condition, now)
        changes += self._book.tick(now)
        self._show()
        changed = self._is_time_to_save(now, taken=bool(records), spoken=bool(changes))
        return StepResult([_record(event, trace) for event, trace in changes], changed=changed)

    def snapshot(self) -> Mapping[str, bytes]:
        """All alerts, when gateways were heard, and how rollouts stand."""
        state = _State(self._book.alerts, self._book.ended, self._sites.heard, self._rollouts.standings)
        return {"state": msgspec.msgpack.encode(state)}

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue; alerts of gateways that are not in the registry any more come to their end."""
        if "state" not in parts:
            return
        state = msgspec.msgpack.decode(parts["state"], type=_State)
        self._book.alerts, self._book.ended = state.alerts, state.ended
        self._sites.heard, self._rollouts.standings = state.heard, state.rollouts
        self._leave_to_the_registry()

    def _leave_to_the_registry(self) -> None:
        gateways = {f"{known.tenant}/{known.site}/{known.gateway}" for known in self._gateways}
        self._sites.heard = {name: heard for name, heard in self._sites.heard.items() if name in gateways}
        sites = {f"{known.tenant}/{known.site}" for known in self._gateways}
        self._book.end(lambda alert: not _is_served(alert, sites, gateways))

    def _anomaly(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self._read(record, AnomalyEvent)
        if event is not None:
            yield rules.metric_anomaly(event, trace)

    def _device(self, record: Record, trace: str) -> Iterator[Condition]:
        if record.value is None:
            return
        try:
            yield from self._heard_of(record, trace)
        except UnverifiedError as error:
            self._count_dead(record, error.reason)

    def _heard_of(self, record: Record, trace: str) -> Iterator[Condition]:
        if b"/gateway:" in record.key:
            yield self._sites.hear(self._gateways.read(record, GatewayEvent), trace)
            return
        event = self._gateways.read(record, DeviceEvent)
        if not is_name(event.device):
            raise UnverifiedError(BatchRejection.BAD_NAME, event.device[:64])
        if event.state is DeviceState.RETIRED:
            self._book.end(lambda alert: _is_of(alert, event))
        condition = rules.device_silent(event, trace, _order(record))
        if condition is not None:
            yield condition

    def _verdict(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self._read(record, Verdict)
        if event is not None:
            yield from self._rollouts.judged(event, trace)

    def _rollback(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self._read(record, RollbackStatus)
        if event is not None:
            yield from self._rollouts.rolled_back(event, trace)

    def _plan(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self._read(record, RolloutPlan)
        if event is not None:
            yield from self._rollouts.planned(event, trace)

    def _account(self, record: Record, trace: str) -> Iterator[Condition]:
        event = self._read(record, AccountEvent)
        condition = rules.ledger_breach(event, trace) if event is not None else None
        if record.value is None:
            condition = rules.ledger_forgotten(record.key)
        if condition is not None:
            yield condition

    def _read(self, record: Record, kind: type[T]) -> T | None:
        event = read_event(record, kind)
        if event is None and record.value is not None:
            self._count_dead(record, EventRejection.MALFORMED)
        return event

    def _count_dead(self, record: Record, reason: str) -> None:
        self._telemetry.count(names.DEAD_LETTERS, topic=record.topic, reason=reason)

    def _annotations(self, alert: Alert) -> dict[str, str]:
        annotations = {"summary": alert.summary, "runbook": f"docs/runbooks/{alert.name}.md"}
        return annotations | ({"link": self._link} if self._link else {})

    def _is_time_to_save(self, now: int, *, taken: bool, spoken: bool) -> bool:
        self._unsaved |= taken
        is_due = spoken or (self._unsaved and abs(now - self._saved_at) >= SAVE_MS)
        if is_due:
            self._unsaved, self._saved_at = False, now
        return is_due

    def _show(self) -> None:
        for state in (AlertState.PENDING, AlertState.FIRING):
            self._telemetry.gauge(names.ALERTS_ACTIVE, self._book.count(state), state=state)


def _is_served(alert: Alert, sites: Container[str], gateways: Container[str]) -> bool:
    site = f"{alert.tenant}/{alert.labels.get('site')}"
    gateway = f"{site}/{alert.labels.get('gateway')}"
    return ("site" not in alert.labels or site in sites) and ("gateway" not in alert.labels or gateway in gateways)


def _is_of(alert: Alert, device: DeviceEvent) -> bool:
    place = (alert.tenant, alert.labels.get("site"), alert.labels.get("device"))
    return place == (device.tenant, device.site, device.device)


def _order(record: Record) -> Order:
    # A gateway numbers its events: `{gateway}/{boot}/event/{number}`.
    match = _NUMBERED.fullmatch(record.header("ce_id") or b"")
    return Order(match["source"].decode("ascii", "replace"), int(match["number"])) if match else Order()


def _record(event: AlertEvent, trace: str) -> Outgoing:
    return event_record(
        ALERTS,
        event.fingerprint,
        event,
        event_id=f"{event.idempotency_key()}:{event.changed_at}",
        source="tidegate/alerts",
        time=event.changed_at,
        trace=trace or None,
    )
