"""The alerts' stage: events in, changes of alerts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from analytics.alerts import rules
from analytics.alerts.book import Alert, AlertBook
from ingest.contract import names
from ingest.contract.events import (
    AccountEvent,
    AlertState,
    AnomalyEvent,
    DeviceEvent,
    GatewayEvent,
    RollbackStatus,
    Verdict,
)
from ingest.contract.records import TRACE_HEADER, event_record, read_event
from ingest.contract.topics import ACCOUNTS, ALERTS, ANOMALIES, DEVICES, ROLLBACKS, VERDICTS
from ingest.runtime.gateways import UnverifiedError
from ingest.runtime.worker import StepResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from analytics.alerts.condition import Condition
    from analytics.alerts.config import AlertsConfig
    from ingest.contract.events import AlertEvent
    from ingest.contract.records import Outgoing, Record
    from ingest.runtime.gateways import Gateways
    from ingest.runtime.telemetry import Telemetry


class _Heard(msgspec.Struct):
    """When a gateway's newest heartbeat reached the log (ms)."""

    tenant: str
    site: str
    gateway: str
    at: int


class _State(msgspec.Struct):
    alerts: dict[str, Alert]
    heard: dict[str, _Heard]
    rolled_back: set[str]


class AlertsStage:
    """Consumes what may be alarming; see `rules`."""

    name = "alerts"
    topics = (ANOMALIES, DEVICES, VERDICTS, ROLLBACKS, ACCOUNTS)

    def __init__(self, config: AlertsConfig, gateways: Gateways, telemetry: Telemetry, started: int) -> None:
        self._config, self._gateways, self._telemetry, self._started = config, gateways, telemetry, started
        by_rule = {
            rules.METRIC_ANOMALY: config.metric_anomaly,
            rules.DEVICE_SILENT: config.device_silent,
            rules.SITE_DARK: config.site_dark,
            rules.ROLLOUT_FAILED: config.rollout_failed,
            rules.LEDGER_BREACH: config.ledger_breach,
        }
        self._book = AlertBook(by_rule, self._annotations)
        self._heard: dict[str, _Heard] = {}
        self._rolled_back: set[str] = set()
        self._readers: dict[str, Callable[[Record, str], Iterator[Condition]]] = {
            ANOMALIES: self._anomaly,
            DEVICES: self._device,
            VERDICTS: self._verdict,
            ROLLBACKS: self._rollback,
            ACCOUNTS: self._account,
        }

    def step(self, records: Sequence[Record], now: int) -> StepResult:
        """Take events, let time pass, and report every change."""
        changes: list[tuple[AlertEvent, str]] = []
        for record in records:
            trace = (record.header(TRACE_HEADER) or b"").decode("ascii", "replace")
            for condition in self._readers[record.topic](record, trace):
                changes += self._book.observe(condition, now)
        for condition in self._dark_sites(now):
            changes += self._book.observe(condition, now)
        changes += self._book.tick(now)
        self._show()
        return StepResult([_record(event, trace) for event, trace in changes], changed=bool(records))

    def snapshot(self) -> Mapping[str, bytes]:
        """All living alerts and when gateways were heard."""
        return {"state": msgspec.msgpack.encode(_State(self._book.alerts, self._heard, self._rolled_back))}

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Continue."""
        if "state" in parts:
            state = msgspec.msgpack.decode(parts["state"], type=_State)
            self._book.alerts, self._heard, self._rolled_back = state.alerts, state.heard, state.rolled_back

    def _anomaly(self, record: Record, trace: str) -> Iterator[Condition]:
        event = read_event(record, AnomalyEvent)
        if event is not None:
            yield rules.metric_anomaly(event, trace)

    def _device(self, record: Record, trace: str) -> Iterator[Condition]:
        try:
            if b"/gateway:" in record.key:
                event = self._gateways.read(record, GatewayEvent)
                self._heard[event.gateway] = _Heard(event.tenant, event.site, event.gateway, record.timestamp)
            else:
                yield rules.device_silent(self._gateways.read(record, DeviceEvent), trace)
        except UnverifiedError as error:
            self._telemetry.count(names.DEAD_LETTERS, topic=record.topic, reason=error.reason)

    def _verdict(self, record: Record, trace: str) -> Iterator[Condition]:
        event = read_event(record, Verdict)
        if event is not None:
            condition = rules.rollout_failed(event, trace)
            # A verdict stays `fail` for ever; after the rollback it alarms nobody any more.
            if condition.fingerprint() not in self._rolled_back:
                yield condition

    def _rollback(self, record: Record, trace: str) -> Iterator[Condition]:
        event = read_event(record, RollbackStatus)
        condition = rules.rollback_complete(event, trace) if event is not None else None
        if condition is not None:
            self._rolled_back.add(condition.fingerprint())
            yield condition

    def _account(self, record: Record, trace: str) -> Iterator[Condition]:
        event = read_event(record, AccountEvent)
        if event is not None:
            yield rules.ledger_breach(event, trace)

    def _dark_sites(self, now: int) -> Iterator[Condition]:
        for heard in self._heard.values():
            # What was not heard while this process was away says nothing about the site.
            silent_s = (now - max(heard.at, self._started)) / 1000
            yield rules.site_dark(
                heard.tenant,
                heard.site,
                heard.gateway,
                silent_for_s=max(0.0, silent_s),
                active=silent_s > self._config.site_dark_s,
                at=now,
            )

    def _annotations(self, alert: Alert) -> dict[str, str]:
        annotations = {"summary": alert.summary, "runbook": f"docs/runbooks/{alert.name}.md"}
        return annotations | ({"link": self._config.link} if self._config.link else {})

    def _show(self) -> None:
        for state in (AlertState.PENDING, AlertState.FIRING):
            self._telemetry.gauge(names.ALERTS_ACTIVE, self._book.count(state), state=state)


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
